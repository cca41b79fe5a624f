"""Time-outs of many requests by one coarse timer (performance.md rule 2).

What is in flight stands in a dict with its deadline; each `period` the whole of it is looked through. That is cheaper
than keeping it sorted as long as nearly everything leaves before its deadline: an entry costs one store and one delete,
and the sweep of a thousand entries 40 µs. While nothing is in flight no timer is armed.
"""

import asyncio
from typing import Protocol

PERIOD = 0.02
"""seconds; a time-out is noticed that much late at most"""


class Expiring(Protocol):
    """Something in flight."""

    def expire(self) -> None:
        """Its deadline has passed; it has been taken out."""


class Deadlines:
    """One timer for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, period: float = PERIOD) -> None:
        self._loop = loop
        self._period = period
        self._due: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def set(self, item: Expiring, when: float) -> None:
        """Call `item.expire()` soon after `when` on the loop's clock, unless it is dropped before."""
        self._due[item] = when
        if self._timer is None:
            self._timer = self._loop.call_later(self._period, self._sweep)

    def drop(self, item: Expiring) -> None:
        """It has ended; one that is not there is fine."""
        self._due.pop(item, None)

    def close(self) -> None:
        """Disarm; nothing expires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [item for item, when in self._due.items() if when <= now]
        for item in late:
            if self._due.pop(item, None) is not None:
                item.expire()
        if self._due and self._timer is None:
            self._timer = self._loop.call_later(self._period, self._sweep)
