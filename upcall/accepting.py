"""Accepting connections on a listening socket, a bounded number at a time.

While as many connections are open as may be, nothing is accepted: clients wait in the kernel's queue, which is bounded,
too. In a turn of the loop only some are taken, so that a storm of connections leaves time for everybody else.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

_TURN = 8
_PAUSE = 1.0
"""Seconds without accepting after an error: mostly the process or the system has no descriptor or memory left."""


class Accepting:
    """Gives each connection to `connected`, who calls `ended` once when it is over. Owns the listening socket."""

    def __init__(self, listener: socket.socket, bound: int, connected: Callable[[socket.socket], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._bound = bound
        self._connected = connected
        self._open = 0
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._read()

    def ended(self) -> None:
        """One connection fewer."""
        self._open -= 1
        if self._open == self._bound - 1 and self._pause is None:
            self._read()

    def close(self) -> None:
        """Accept no more; what is open stays open."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _read(self) -> None:
        self._pause = None
        if self._listener.fileno() >= 0 and self._open < self._bound:
            self._loop.add_reader(self._listener, self._readable)

    def _readable(self) -> None:
        for _ in range(min(_TURN, self._bound - self._open)):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            connection.setblocking(False)
            self._open += 1
            self._connected(connection)
        if self._open >= self._bound:
            self._loop.remove_reader(self._listener)

    def _rest(self, error: OSError) -> None:
        log.error("connections have to wait: %s", error)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE, self._read)
