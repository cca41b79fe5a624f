"""uvicorn's server with our protocol, inside a loop that is already running (docs/DESIGN.md D2).

Of `uvicorn.Server` only the parts that listen and that close connections are used: signals are the process's business,
and the ten wake-ups a second of its main loop are replaced by one, which also sweeps the connections.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import uvicorn

from upcall.controller.doors import Door, Doors, Visitor
from upcall.controller.edge import EdgeProtocol, sweep
from upcall.controller.exchange import Edge
from upcall.errors import Misconfigured

log = logging.getLogger(__name__)

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Take the address; 0 is any port. Clients wait from here on until a `Server` serves them. Raises Misconfigured
    where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise Misconfigured(
            f"cannot listen on {host} port {port}: {why}; name another address with --host or --port"
        ) from error


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
        self._grace = 0.0
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
            await self._finish(listener)
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

    async def stop(self, grace: float) -> None:
        """Take no more connections, answer what has arrived, for at most `grace` seconds."""
        self._grace = grace
        self._stop.set()
        if self.ready.is_set():
            await self._stopped.wait()

    def _admit(self, door: Door) -> Visitor:
        server = self._uvicorn
        return Visitor(server.config, server.server_state, server.lifespan.state, edge=self._edge, door=door)

    async def _turn(self) -> None:
        await self._uvicorn.on_tick(0)  # the date
        sweep(self._edge, self._uvicorn.server_state, asyncio.get_running_loop().time(), self._interval)

    async def _finish(self, listener: socket.socket) -> None:
        sweeping = asyncio.get_running_loop().create_task(self._sweep())
        self._doors.close()
        try:
            async with asyncio.timeout(self._grace):
                await self._uvicorn.shutdown([listener])
        except TimeoutError:
            log.info("answers that take longer than the time to stop are not waited for")
        finally:
            sweeping.cancel()
        if self._expire is not None:
            await self._expire()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._turn()
