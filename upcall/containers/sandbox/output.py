"""The two output pipes of a container, read as they fill and once more when an activation ends.

Reading eagerly keeps a full pipe from blocking the action; reading at `collect` makes the logs complete: what was
written before the answer was sent is in the pipe when the answer has been read. One read of 16 KiB per turn of the loop
bounds how long a flood of short lines can hold up everybody else.
"""

import asyncio
import contextlib
import fcntl
import os
import select

from upcall.logs.stream import LogStream, Stream

_PIPE_BYTES = 128 << 10
_READ = 16 << 10
_DISCARD = 128 << 10
TURNS = _PIPE_BYTES // _READ + 1
"""So many calls of `drain` empty a full pipe; more would follow somebody who goes on writing for ever."""


class Output:
    """Read ends of stdout and stderr; `write_ends` go to the container and are closed by `started`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: LogStream) -> None:
        self._loop = loop
        self._stream = stream
        self._readers: dict[int, Stream] = {}
        self._ready = select.poll()
        self.write_ends: list[int] = []
        names: tuple[Stream, Stream] = ("stdout", "stderr")
        for name in names:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reader, False)
            with contextlib.suppress(OSError):  # an ordinary user's share of pipe memory is bounded
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._readers[reader] = name
            self._ready.register(reader, select.POLLIN)
            self.write_ends.append(writer)

    def started(self) -> None:
        """The container has its ends: close ours and read."""
        self._close_write_ends()
        for fd in self._readers:
            self._loop.add_reader(fd, self._readable, fd)

    def drain(self) -> bool:
        """Read what is there now, but no more than bounds the time that it takes; true when that was all."""
        ready = self._ready.poll(0)  # mostly there is nothing: one system call where two reads would fail
        if not ready:
            return True
        size = _DISCARD if self._stream.full else _READ
        return max(self._read(fd, size) for fd, _ in ready) < size

    def close(self) -> None:
        """Read the rest, then let go; what was read can still be taken."""
        for _ in range(TURNS):
            if self.drain():
                break
        for fd in list(self._readers):
            self._forget(fd)
        self._close_write_ends()

    def _readable(self, fd: int) -> None:
        self._read(fd, _DISCARD if self._stream.full else _READ)

    def _read(self, fd: int, size: int) -> int:
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return 0
        if data:
            self._stream.feed(self._readers[fd], data)
        else:
            self._forget(fd)
        return len(data)

    def _forget(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        self._ready.unregister(fd)
        del self._readers[fd]
        os.close(fd)

    def _close_write_ends(self) -> None:
        for fd in self.write_ends:
            os.close(fd)
        self.write_ends = []
