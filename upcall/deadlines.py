"""Deadlines of many things by one coarse timer (docs/DESIGN.md, rule 2).

What is in flight stands in a dictionary with its deadline, unsorted: nearly everything leaves before it is due, so an
entry costs one store, one comparison and one delete. The timer is armed for the soonest deadline that was ever set, and
stays when that one is dropped: as most deadlines lie equally far ahead, it fires once in such a while, and not for each
thing. Only when it fires is everything looked through (40 µs a thousand), and it is armed for the soonest of the rest.

`period` makes it coarse: what falls due within it goes together, and is told that much late at most, never early.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

PERIOD = 0.02
"""seconds"""
NEVER = float("inf")


def clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's, without the method around it where that is asyncio's own: a warm activation asks five times."""
    return monotonic if getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time else loop.time


class Expiring(Protocol):
    """Something in flight."""

    def expire(self) -> None:
        """Its deadline has passed; it has been taken out, and may be set again."""


class Deadlines:
    """One timer on the loop that runs when it is made."""

    def __init__(self, period: float = PERIOD) -> None:
        self._loop = asyncio.get_running_loop()
        self._period = period
        self._due: dict[Expiring, float] = {}
        self._soonest = NEVER
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def time(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def set(self, item: Expiring, when: float) -> None:
        """Call `item.expire()` soon after `when` on the loop's clock, unless it is set anew or dropped before."""
        self._due[item] = when
        if when < self._soonest:
            self._arm(when)

    def drop(self, item: Expiring) -> None:
        """It has ended; one that is not there is fine."""
        self._due.pop(item, None)

    def close(self) -> None:
        """Disarm; nothing expires any more."""
        self._due.clear()
        self._disarm()

    def _arm(self, when: float) -> None:
        self._disarm()
        self._soonest = when
        self._timer = self._loop.call_at(when + self._period, self._sweep)

    def _disarm(self) -> None:
        self._soonest = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._disarm()
        now = self._loop.time()
        late = [item for item, when in self._due.items() if when <= now]
        for item in late:
            if self._due.get(item, NEVER) <= now:  # another one's end may have dropped it, or set it anew
                del self._due[item]
                item.expire()
        soonest = min(self._due.values(), default=NEVER)
        if soonest < self._soonest:
            self._arm(soonest)
