"""Whether the event loop may commit a group itself: while the disk is quick, and the group is small.

Written to the page cache, a small group takes about 1 ms. Where one takes much longer and the loop slept in it (the
disk is busy, dirty pages are throttled) the next ones go to the writer's thread, 50 of them, then one more is tried;
each trial that is slow again doubles that. So the loop stands still for a slow disk once in a second, and ever more
rarely. A loop that did not sleep was in want of a processor, which the thread would be as well.
"""

import time
from resource import RUSAGE_THREAD, getrusage

ROWS, BYTES = 500, 1024 * 1024
"""Of a small group: 2 ms, and 1.5 ms more."""
SLOW = 0.005
"""Seconds."""
FEWEST, MOST = 50, 3200
"""Groups for the thread, between two trials."""


class Calm:
    """`ever` is False where each commit waits for the disk."""

    def __init__(self, ever: bool = True) -> None:
        self._ever = ever
        self._left = 0
        """Groups for the thread until the next trial."""
        self._pause = FEWEST
        self._began = 0.0
        self._sleeps = 0

    def allows(self, rows: int, weight: int) -> bool:
        """Whether a group of so many rows and bytes may be committed on the loop; asked once for each."""
        if not self._ever or rows > ROWS or weight > BYTES:
            return False
        if self._left:
            self._left -= 1
            return False
        return True

    def begin(self) -> None:
        """Such a group begins."""
        self._began, self._sleeps = time.perf_counter(), _sleeps()

    def end(self, failed: bool) -> None:
        """It is done."""
        if failed or (time.perf_counter() - self._began > SLOW and _sleeps() > self._sleeps):
            self._left, self._pause = self._pause, min(2 * self._pause, MOST)
        else:
            self._pause = FEWEST


def _sleeps() -> int:
    """How often this thread has waited for something."""
    return getrusage(RUSAGE_THREAD).ru_nvcsw
