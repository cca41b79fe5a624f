"""The first line on a container's stdout, where a shell has the word before it gives way to the program (`entry`)."""

import asyncio
from collections.abc import Awaitable, Callable

from upcall.containers.docker.engine import EngineError
from upcall.containers.docker.entry import OUT
from upcall.runtimes.python.order import WHOLE

_LOOK = 1.0
"""Seconds after which a container that has not said a word is looked at."""
_PATIENCE = 20.0
"""Seconds that one which runs may take for it."""
_KILLED = 128
"""An exit status from here on is somebody else's doing."""
_LONGEST = 64
"""Bytes without a newline that are no word of our script: the image's shell is another program."""


class Silent(EngineError):
    """The shell runs, and what it writes does not arrive."""

    def __init__(self, message: str = f"a shell has not written to {OUT}") -> None:
        super().__init__(0, message)


class Ended(Silent):
    """It has ended, and nothing arrived."""


class Word:
    """Of one container."""

    def __init__(self) -> None:
        self._line: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._part = b""
        self.over = False
        """Whether all that comes now is the program's."""
        self.promised = False
        """Whether a runtime of ours has said `WHOLE`."""

    @property
    def heard(self) -> bool:
        """Whether the shell has had its say."""
        return self._line.done()

    def feed(self, data: bytes) -> bytes:
        """Take what was read; gives what comes after the line, or all where it is none."""
        return self._runtime(data if self.heard else self._shell(data))

    def _runtime(self, data: bytes) -> bytes:
        """Its first line is in one piece: it is short, and nothing was in the FIFO that would have filled a read."""
        self.over = bool(data)
        self.promised = data.startswith(WHOLE)
        return data.removeprefix(WHOLE)

    def _shell(self, data: bytes) -> bytes:
        self._part, newline, rest = (self._part + data).partition(b"\n")
        if newline:
            self._line.set_result(self._part)
        elif len(self._part) > _LONGEST:
            self._line.set_result(b"")
            return self._part
        return rest

    async def wait(self, status: Callable[[], Awaitable[int | None]]) -> bytes:
        """The line; empty where the container was killed before. `status` looks with what the container has ended, if
        it has. Raises Silent, Ended."""
        for _ in range(int(_PATIENCE / _LOOK)):
            if (await asyncio.wait([self._line], timeout=_LOOK))[0]:
                return self._line.result()
            found = await status()
            if found is not None and not self.heard:
                if found >= _KILLED:
                    return b""
                raise Ended
        raise Silent
