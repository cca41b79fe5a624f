"""How late the event loop is: the one resource that all activations share.

A timer asks for a turn four times a second and measures how late it comes. That costs some 10 us a second, whatever the
load is; what the loop stands still for between two of them is seen by the share of it that the next one waits.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.measures import Histogram, one

if TYPE_CHECKING:
    from prometheus_client import Metric

PERIOD = 0.25
"""seconds"""


class Lag:
    """Of the loop that runs inside `measured`."""

    def __init__(self) -> None:
        self.times = Histogram()
        self.last = 0.0
        """Seconds that the last turn came late."""
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def measured(self) -> Iterator["Lag"]:
        self._ask()
        try:
            yield self
        finally:
            assert self._timer is not None
            self._timer.cancel()

    def metrics(self) -> Iterator["Metric"]:
        return one(names.LAG, self.times)

    def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + PERIOD
        self._timer = loop.call_at(due, self._turn, due)

    def _turn(self, due: float) -> None:
        self.last = max(0.0, asyncio.get_running_loop().time() - due)
        self.times.observe(self.last)
        self._ask()
