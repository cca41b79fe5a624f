"""Pipes that fill while nobody awaits what is in them, read in time and not one by one.

A loop that is woken by each line which an action prints, some microseconds before its answer comes and the line would
be read anyway, spends more on waking up than on all the rest of that activation's log. So the pipes stand in an epoll
of their own: the loop waits for that one, and when it has been told, it does not listen for `REST`. Where much is
written it goes on at once: a writer must not wait for a reader who rests.
"""

import asyncio
import select
from collections.abc import Callable
from typing import ClassVar

REST = 0.005
"""Seconds. What an action prints in them must have room in its pipe; its lines are stamped so much too late at most."""
LITTLE = 4096
"""What may have been in a pipe, as `upcall.logs.pipes.cost` has it, for the loop to rest."""

Read = Callable[[int], float]
"""Takes a descriptor that can be read; gives what that has cost, infinite where something is left."""


class Watch:
    """All pipes of one loop."""

    _of: ClassVar[dict[asyncio.AbstractEventLoop, "Watch"]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._reads: dict[int, Read] = {}
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "Watch":
        watch = cls._of.get(loop)
        if watch is None:
            watch = cls._of[loop] = cls(loop)
            watch._listen()
        return watch

    def add(self, fd: int, read: Read) -> None:
        self._reads[fd] = read
        self._epoll.register(fd, select.EPOLLIN)

    def drop(self, fd: int) -> None:
        """Before it is closed; one that is not there is fine. The last one takes the epoll with it."""
        if self._reads.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        if not self._reads:
            del self._of[self._loop]
            self._hush()
            self._epoll.close()

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def _hush(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        found = self._epoll.poll(0)
        most = max([self._reads[fd](fd) for fd, _ in found], default=0)
        if most <= LITTLE and self._reads:
            self._hush()
            self._timer = self._loop.call_later(REST, self._listen)
