"""When the log of an activation is complete (spec: logs.md §2).

Runtimes write their sentinels around the answer, some before it and some after, so they are waited for; nothing polls,
what comes is looked at as it comes. Who brings none, or may fail to (a foreign image, an activation that went wrong),
is given a little time: what is there, and what comes before nothing has come for `settling()` seconds. A runtime of
ours promises that all is there when its answer is: nothing is waited for, and it brings no sentinels.

`quiet` is how long a sentinel is waited for; where another machine passes the output on it takes longer.

Activations that share a container cannot be told apart: each takes what is there, and waits for nothing that another
one may have taken.
"""

import asyncio
from collections.abc import Callable

import msgspec

from upcall.logs.pipes import TURNS
from upcall.logs.stream import LogStream
from upcall.ports import Lines

QUIET = 2.0
"""Seconds without anything new, after which a sentinel is missing."""
_LEAST = 5
"""MB: in all it takes `QUIET` seconds for each MB of the limit, and for so many at least."""
_SETTLINGS = 10
"""In all a foreign image is waited for that many times as long as it must be silent."""


class _Waiting(msgspec.Struct, eq=False):
    limit: int
    complete: bool
    done: Callable[[Lines], None]
    quiet: float
    until: float
    heard: float


class Collection:
    """Of one container. `drain` reads what is there and says whether that was all; `sentinels`: each activation brings
    them; `shared`: activations may overlap."""

    def __init__(
        self,
        stream: LogStream,
        drain: Callable[[], bool],
        *,
        sentinels: bool,
        shared: bool,
        settling: Callable[[], float],
        quiet: float = QUIET,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._drain = drain
        self._sentinels = sentinels
        self.shared = shared
        self._settling = settling
        self._quiet = quiet
        self._whole = False
        self._over = False
        self._waiting: _Waiting | None = None
        self._timer: asyncio.TimerHandle | None = None

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        """Call `done` with the activation's lines; where it has ended already, before this returns."""
        self._read(limit, complete and self._sentinels and not self.shared, done, TURNS)

    def promise(self) -> None:
        """What is printed before an answer is there when the answer is."""
        self._whole, self._sentinels = True, False

    def heard(self) -> None:
        """Something has come."""
        waiting = self._waiting
        if waiting is not None:
            waiting.heard = self._loop.time()
            if self._stream.ended:
                self._end()

    def over(self) -> None:
        """Nothing comes any more but what can be read now."""
        self._over = True
        waiting = self._stop()
        if waiting is not None:
            self._read(waiting.limit, waiting.complete, waiting.done, TURNS)

    def _read(self, limit: int, complete: bool, done: Callable[[Lines], None], turns: int) -> None:
        """At once where little is left to read, else over turns of the loop."""
        if turns and not self._drain():
            self._loop.call_soon(self._read, limit, complete, done, turns - 1)
        elif self._whole or self.shared or self._over or self._stream.ended:
            done(self._stream.take(limit, complete))
        else:
            self._wait(limit, complete, done)

    def _wait(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        self._end()  # nobody is waited for twice
        quiet, times = (self._quiet, max(limit >> 20, _LEAST)) if complete else (self._settling(), _SETTLINGS)
        now = self._loop.time()
        self._waiting = _Waiting(limit, complete, done, quiet, now + quiet * times, now)
        self._timer = self._loop.call_at(now + quiet, self._look)

    def _look(self) -> None:
        """Whether it has been quiet for long enough, or not for too long."""
        waiting = self._waiting
        assert waiting is not None
        when = min(waiting.heard + waiting.quiet, waiting.until)
        if when <= self._loop.time():
            self._end()
        else:
            self._timer = self._loop.call_at(when, self._look)

    def _end(self) -> None:
        waiting = self._stop()
        if waiting is not None:
            waiting.done(self._stream.take(waiting.limit, waiting.complete))

    def _stop(self) -> _Waiting | None:
        waiting, self._waiting = self._waiting, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return waiting
