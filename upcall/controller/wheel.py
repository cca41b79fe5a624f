"""Deadlines of many things by one coarse timer: arming and disarming are a dictionary's insert and delete.

Things are kept in buckets of `step` seconds; a thing is told that its time has come in the step after it, never before
it. The timer runs only while something is armed.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Calls `due` with each thing whose time has come."""

    def __init__(self, due: Callable[[T], None], step: float = 0.02) -> None:
        self._due = due
        self._step = step
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[int, dict[T, None]] = {}
        self._armed = 0
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    def time(self) -> float:
        return self._loop.time()

    def arm(self, when: float, thing: T) -> int:
        """`when` is in the loop's time. Gives what `disarm` asks for."""
        number = int(when / self._step) + 1
        number = max(number, self._next)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
        bucket[thing] = None
        self._armed += 1
        if self._timer is None:
            self._next = min(number, int(self._loop.time() / self._step))
            self._timer = self._loop.call_later(self._step, self._turn)
        return number

    def disarm(self, number: int, thing: T) -> None:
        del self._buckets[number][thing]
        self._armed -= 1

    def close(self) -> None:
        """Nothing is due any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._armed = 0

    def _turn(self) -> None:
        now = int(self._loop.time() / self._step)
        late: list[T] = []
        while self._next <= now:
            late += self._buckets.pop(self._next, ())
            self._next += 1
        self._armed -= len(late)
        self._timer = None
        for thing in late:
            self._due(thing)
        if self._armed and self._timer is None:
            self._timer = self._loop.call_later(self._step, self._turn)
        elif not self._armed:
            self._buckets.clear()
