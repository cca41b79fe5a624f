"""The API inside tenants' networks where no controller is in this process: each connection is carried to the API's own
address, byte by byte (docs/adr/0008-api-inside-networks.md).

So an action reaches a controller on this very machine, too, though addresses of the host are refused to it. What one
tenant can hold is bounded as it is in the controller's doors.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from functools import partial

from upcall.accepting import Accepting

log = logging.getLogger(__name__)

CONNECTIONS = 128
"""Of one tenant; the next ones wait in the kernel's queue."""
REACH = 10.0
"""Seconds to reach the API."""
_PIECE = 65536
_UNAVAILABLE = (
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
)
_TEXT = b'{"error":"The API cannot be reached from here.","code":"sid_invoker"}'


class Relay:
    """To one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._fresh: set[socket.socket] = set()
        """Connections that nobody has begun to carry."""

    def open(self, listener: socket.socket) -> Callable[[], None]:
        """Serve this socket; gives what closes it and the connections that came through it."""
        tasks: set[asyncio.Task[None]] = set()
        accepting = Accepting(listener, CONNECTIONS, lambda connection: self._accepted(tasks, ended, connection))

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._tasks.discard(task)
            accepting.ended()

        def close() -> None:
            accepting.close()
            for task in list(tasks):
                task.cancel()

        return close

    async def close(self) -> None:
        """Wait for what was told to end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(
        self,
        tasks: set[asyncio.Task[None]],
        ended: Callable[[asyncio.Task[None]], None],
        connection: socket.socket,
    ) -> None:
        self._fresh.add(connection)
        task = asyncio.get_running_loop().create_task(self._carry(connection))
        tasks.add(task)
        self._tasks.add(task)
        task.add_done_callback(ended)
        task.add_done_callback(partial(self._over, connection))

    def _over(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        if connection in self._fresh:
            self._fresh.discard(connection)
            connection.close()

    async def _carry(self, connection: socket.socket) -> None:
        """Until both sides have said all."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(sock=connection, limit=_PIECE)
            self._fresh.discard(connection)
            try:
                await self._to_api(reader, writer)
            finally:
                writer.transport.abort()

    async def _to_api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REACH):
                from_api, to_api = await asyncio.open_connection(self._host, self._port, limit=_PIECE)
        except OSError as error:  # a timeout is one, too
            log.warning("actions cannot reach the API at %s port %d: %s", self._host, self._port, error or "no answer")
            writer.write(_UNAVAILABLE % (len(_TEXT), _TEXT))
            await _end(writer)
            return
        try:
            await asyncio.gather(_pump(reader, to_api), _pump(from_api, writer))
        finally:
            to_api.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()
    await _end(sink)


async def _end(sink: asyncio.StreamWriter) -> None:
    """Nothing more comes from here."""
    sink.write_eof()
    await sink.drain()
