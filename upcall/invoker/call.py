"""One request to a container, from the moment it is sent until its outcome is told."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from upcall.core.outcome import ANSWERED, Ending, Outcome
from upcall.deadlines import Deadlines

Done = Callable[[Outcome], None]

_ENOUGH = 64 << 20
"""bytes of an answer after which the rest is not even counted"""


class Allowance(msgspec.Struct, frozen=True, eq=False):
    """What one request may use: seconds, bytes of the answer, and how many of these are kept when it is longer."""

    timeout: float
    limit: int
    truncation: int


class Closable(Protocol):
    """The connection that carries it."""

    def close(self) -> None: ...


class Owner(Protocol):
    """Whose request it is."""

    deadlines: Deadlines

    def finished(self, call: "Call") -> float:
        """Forget the call; gives the time."""


class Call:
    """One request in flight; ends once, by its answer, its deadline or its connection."""

    __slots__ = ("_allowance", "_done", "_runtime", "begun", "body", "connection", "length", "opening")

    def __init__(self, runtime: Owner, done: Done, allowance: Allowance, now: float) -> None:
        self._runtime = runtime
        self._done: Done | None = done
        self._allowance = allowance
        self.length = 0
        self.body: bytes | bytearray = b""
        self.connection: Closable | None = None
        self.opening: asyncio.Task[None] | None = None
        self.begun = now
        runtime.deadlines.set(self, now + allowance.timeout)

    def begin(self, now: float) -> None:
        """Its time counts from here."""
        self.begun = now
        self._runtime.deadlines.set(self, now + self._allowance.timeout)

    def add(self, chunk: bytes) -> None:
        """Keep what may be needed: all of it up to the limit, no more, and in one piece however small they come."""
        if not self.length:
            self.body = chunk
        elif self.length <= self._allowance.limit:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += chunk
        self.length += len(chunk)

    @property
    def excessive(self) -> bool:
        """Whether the answer is longer than is worth counting to its end."""
        return self.length > max(_ENOUGH, self._allowance.limit)

    def expire(self) -> None:
        self.end(Ending.TIMED_OUT)

    def end(self, ending: Ending, status: int = 0) -> None:
        """Tell the outcome; a connection without a whole answer goes with it."""
        done, self._done = self._done, None
        if done is None:
            return
        elapsed = self._runtime.finished(self) - self.begun
        if ending is not ANSWERED:
            if self.opening is not None:
                self.opening.cancel()
            if self.connection is not None:
                self.connection.close()
            done(Outcome(ending, elapsed))
            return
        body, length, allowance = self.body, self.length, self._allowance
        if type(body) is not bytes:
            body = bytes(body)
        if length > allowance.limit:
            done(Outcome(ending, elapsed, status, body[: allowance.truncation], length, truncated=True))
        else:
            done(Outcome(ending, elapsed, status, body, length))
