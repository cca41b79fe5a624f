"""uvicorn's server with our protocol, inside a loop that is already running (docs/DESIGN.md D2).

Of `uvicorn.Server` only the parts that listen and that close connections are used: signals are the process's business,
and the ten wake-ups a second of its main loop are replaced by one, which also sweeps the connections.

It stops in steps (D8), and listens until the last: `refuse` turns away whoever asks from outside, `lock` those inside
too, `stop` closes.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import msgspec
import uvicorn

from upcall.controller.doors import Door, Doors, Visitor
from upcall.controller.edge import EdgeProtocol
from upcall.controller.exchange import Edge
from upcall.controller.patience import sweep
from upcall.http.listening import BACKLOG

log = logging.getLogger(__name__)

LAST_ANSWERS = 1.0
"""Seconds for clients to read their answers when nothing is waited for any more."""


class Front(msgspec.Struct, frozen=True):
    """Where requests come in: a socket, doors inside tenants' networks, https where there is `tls`. `tid_header` has a
    transaction's id."""

    listener: socket.socket
    doors: Doors | None = None
    tls: ssl.SSLContext | None = None
    tid_header: str = "X-Request-ID"


class Server:
    """Serves one listening socket, and closes it in the end; `doors` are others, for as long as it runs. `expire` is
    called when the time to finish is over: it ends the waits of callers."""

    def __init__(
        self,
        edge: Edge,
        app: Callable[..., Any],
        listener: socket.socket,
        *,
        doors: Doors | None = None,
        tls: ssl.SSLContext | None = None,
        interval: float = 1.0,
        expire: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._edge = edge
        self._listener = listener
        self._doors = doors or Doors()
        self._interval = interval
        self._expire = expire
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self.ready = asyncio.Event()
        """Set when connections are accepted."""
        self.port: int = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(EdgeProtocol, edge=edge)),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ssl_context_factory=(lambda *_: tls) if tls else None,
            backlog=BACKLOG,
        )
        self._uvicorn = uvicorn.Server(config)

    async def serve(self) -> None:
        """Serve until `stop`. Cancelling it closes everything at once."""
        listener = self._listener
        server = self._uvicorn
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        try:
            await self._turn()
            await server.startup([listener])
            self._doors.serve(self._admit)
            self.ready.set()
            while not self._stop.is_set():
                try:
                    async with asyncio.timeout(self._interval):
                        await self._stop.wait()
                except TimeoutError:
                    await self._turn()
        finally:
            self._doors.close()
            for accepting in getattr(server, "servers", ()):
                accepting.close()
            listener.close()
            for connection in list(server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            for task in server.server_state.tasks:
                task.cancel()
            self._stopped.set()

    def refuse(self) -> None:
        """From now on new requests from outside are refused; those that have begun to arrive are answered."""
        edge = self._edge
        if edge.refusing:
            return
        edge.refusing = True
        for connection in self._connections():
            if connection.outside:
                edge.leaving.add(connection)
                connection.shutdown()

    async def answered(self) -> None:
        """After `refuse`: return when all who had asked have their answers."""
        edge = self._edge
        while edge.leaving:
            edge.left.clear()
            await edge.left.wait()
        if tasks := list(self._uvicorn.server_state.tasks):  # their clients may be gone
            await asyncio.wait(tasks)

    def lock(self) -> None:
        """Nothing starts any more, not even what has arrived."""
        self.refuse()
        self._doors.close()
        for connection in self._connections():
            self._edge.leaving.add(connection)
            connection.lock()

    async def stop(self, grace: float) -> None:
        """Take no more requests, answer what has arrived, for at most `grace` seconds."""
        self.refuse()
        self._doors.close()
        for connection in self._connections():
            if not connection.draining:
                self._edge.leaving.add(connection)
                connection.shutdown()
        if not await self._answered(grace):
            log.info("answers that take longer than the time to stop are not waited for")
        self.lock()
        if self._expire is not None:
            await self._expire()
        await self._answered(LAST_ANSWERS)
        self._stop.set()
        if self.ready.is_set():
            await self._stopped.wait()

    def _connections(self) -> list[EdgeProtocol]:
        return [each for each in self._uvicorn.server_state.connections if isinstance(each, EdgeProtocol)]

    async def _answered(self, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                await self.answered()
        except TimeoutError:
            return False
        return True

    def _admit(self, door: Door) -> Visitor:
        server = self._uvicorn
        return Visitor(server.config, server.server_state, server.lifespan.state, edge=self._edge, door=door)

    async def _turn(self) -> None:
        await self._uvicorn.on_tick(0)  # the date
        sweep(self._edge, self._uvicorn.server_state, asyncio.get_running_loop().time())
