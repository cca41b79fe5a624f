"""Pipes that somebody else writes to, read as they fill and once more when an activation ends.

Reading eagerly keeps a full pipe from blocking the action; reading at the end makes the logs complete: what was
written before the answer was sent is in the pipe when the answer has been read.

What a turn of the loop may cost is bounded, for a flood of tiny lines would hold up everybody else: reads are small,
and a turn goes on reading only while its bytes and its lines, each of which costs as much as many bytes, are few. The
pipes that could not be emptied share what a turn may cost, so that fifty floods cost as much as one. So nothing waits
outside of the pipe, and what is behind the bound of the log is dropped without being looked at.
"""

import asyncio
import contextlib
import fcntl
import os
import select
from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from upcall.logs.streams import Stream
from upcall.logs.watch import Watch

PIPE_BYTES = 128 << 10
_READ = 2 << 10
_DISCARD = 128 << 10
TURN = 16 << 10
"""So many bytes are read in one turn from the pipes that are behind; a line counts as `_LINE` more of them."""
_LINE = 16
_LEAST = 512
"""Bytes that one pipe has in any case."""
TURNS = PIPE_BYTES // _LEAST + 1
"""So many calls of `drain` empty a full pipe; more would follow somebody who goes on writing for ever."""


MORE = float("inf")


class Sink(Protocol):
    """Where it goes."""

    @property
    def full(self) -> bool:
        """Whether everything that comes now will be dropped."""

    def feed(self, stream: Stream, data: bytes) -> None: ...


def cost(data: bytes) -> int:
    """In bytes: what it takes to make lines of it."""
    return len(data) + _LINE * data.count(b"\n")


def portions(sink: Sink, data: bytes) -> Iterator[bytes]:
    """Of what did not come by a pipe, in the sizes in which pipes are read."""
    while data:
        size = _DISCARD if sink.full else _READ
        yield data[:size]
        data = data[size:]


def widen(fd: int) -> None:
    """Let the pipe hold as much as is expected here, where the system allows it."""
    with contextlib.suppress(OSError):  # an ordinary user's share of pipe memory is bounded
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Pipes:
    """Read ends, which do not block, of one container's streams. They are closed at the end. `awaited`: somebody may
    wait for what comes, else `drain` is enough for those who do (`upcall.logs.watch`)."""

    _behind: ClassVar[set[int]] = set()
    """The pipes, of all containers, in which the last turn has left something."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sink: Sink, readers: Mapping[int, Stream], *, awaited: bool = True
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._readers = dict(readers)
        self._awaited = awaited
        self._watch: Watch | None = None
        self._ready = select.poll()
        for reader in readers:
            self._ready.register(reader, select.POLLIN)

    def watch(self) -> None:
        """Read as they fill."""
        self._watch = None if self._awaited else Watch.of(self._loop)
        for fd in self._readers:
            if self._watch is None:
                self._loop.add_reader(fd, self._read, fd)
            else:
                self._watch.add(fd, self._read)

    def attend(self) -> None:
        """From now on read as soon as anything comes."""
        if self._watch is not None:
            self._unwatch(*self._readers)
            self._awaited = True
            self.watch()

    def drain(self) -> bool:
        """Read what is there now, but no more than bounds the time that it takes; true when that was all."""
        ready = self._ready.poll(0)  # mostly there is nothing: one system call where two reads would fail
        if not ready:
            return True
        return max([self._read(fd) for fd, _ in ready]) < MORE

    async def close(self) -> None:
        """Read the rest, over turns of the loop, then let go."""
        self._unwatch(*self._readers)
        try:
            for _ in range(TURNS):
                if self.drain():
                    break
                await asyncio.sleep(0)
        finally:
            for fd in list(self._readers):
                self._forget(fd)

    def _read(self, fd: int) -> float:
        """Feed what fits into one turn; gives what it has cost, `MORE` where that was not all."""
        share = len(self._behind) or 1
        left = whole = max(_LEAST, TURN // share)
        most, discard = min(_READ, left), max(_READ, _DISCARD // share)
        while left > 0:
            size = discard if self._sink.full else most
            try:
                data = os.read(fd, size)
            except BlockingIOError:
                self._behind.discard(fd)
                return whole - left
            if not data:
                self._forget(fd)
                return whole - left
            self._sink.feed(self._readers[fd], data)
            if len(data) < size:
                self._behind.discard(fd)
                return whole - left + len(data)
            left -= cost(data)
        self._behind.add(fd)
        return MORE

    def _unwatch(self, *readers: int) -> None:
        for fd in readers:
            if self._watch is None:
                self._loop.remove_reader(fd)
            else:
                self._watch.drop(fd)

    def _forget(self, fd: int) -> None:
        self._unwatch(fd)
        self._ready.unregister(fd)
        self._behind.discard(fd)
        del self._readers[fd]
        os.close(fd)
