"""The two output pipes of a container. Nobody waits for what comes by them: what a runtime of ours has written is there
when its answer is (`upcall.logs.watch`). But where only the reader can tell which of them was written to first, they
are read as they fill."""

import asyncio
import os

from upcall.logs.pipes import Pipes, widen
from upcall.logs.stream import LogStream
from upcall.logs.streams import STREAMS, Stream


class Output:
    """Read ends of stdout and stderr; `write_ends` go to the container and are closed by `started`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: LogStream, *, told: bool = True) -> None:
        """`told`: the runtime says in which order the streams were written to (`upcall.logs.order`)."""
        readers: dict[int, Stream] = {}
        self.write_ends: list[int] = []
        try:
            for name in STREAMS:
                reader, writer = os.pipe2(os.O_CLOEXEC)
                readers[reader] = name
                self.write_ends.append(writer)
                os.set_blocking(reader, False)
                widen(writer)
        except OSError:  # too many open files
            for fd in (*readers, *self.write_ends):
                os.close(fd)
            raise
        self._pipes = Pipes(loop, stream, readers, awaited=not told)

    def started(self) -> None:
        """The container has its ends: close ours and read."""
        self._close_write_ends()
        self._pipes.watch()

    def attend(self) -> None:
        """The order is not told after all."""
        self._pipes.attend()

    def drain(self) -> bool:
        """Read what is there now, but no more than bounds the time that it takes; true when that was all."""
        return self._pipes.drain()

    async def close(self) -> None:
        """Read the rest, over turns of the loop, then let go; what was read can still be taken."""
        try:
            await self._pipes.close()
        finally:
            self._close_write_ends()

    def _close_write_ends(self) -> None:
        for fd in self.write_ends:
            os.close(fd)
        self.write_ends = []
