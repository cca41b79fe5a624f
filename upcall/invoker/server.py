"""The Invoker's HTTP (spec: invoker.md §8): a few routes for probes, Prometheus and the operator.

It is no API: nobody needs many connections, large bodies or keep-alive, and the port is open to the network. So each
connection has one request, of `LARGEST` bytes with its head, and `LIFE` seconds; `CONNECTIONS` at a time are answered,
as many more get a 503, others nothing.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvicorn
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from upcall.http.envelope import TEXT, Answer
from upcall.http.layer import Layer, Measured, Noted, Open, Operated, authorization, unknown
from upcall.http.metrics import Metrics
from upcall.http.operator import Operator

BACKLOG = 128
CONNECTIONS = 256
LARGEST = 64 * 1024
LIFE = 30.0
TICK = 1.0
"""Seconds between two looks at the date."""
_quiet = logging.getLogger(f"{__name__}.connections")
_quiet.setLevel(logging.ERROR)
"""What strangers send is not worth a line each."""


def make_app(
    header: str,
    ready: Callable[[], Awaitable[Answer]],
    operator: Operator,
    metrics: Metrics | None,
    noted: Noted,
) -> ASGIApp:
    """`header` carries transaction ids; `metrics` None: no such route. What is not open, and be it that it is not
    there, is told to the operator alone."""
    routes = [Route("/ping", Open(ping)), Route("/ready", Open(ready))]
    routes += [Route(path, Operated(operator, handlers)) for path, handlers in operator.routes.items()]
    if metrics is not None:
        routes.append(Route("/metrics", Measured(metrics)))

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/metrics":
            operator.check(authorization(scope))
        await unknown(scope, receive, send)

    return Layer(Router(routes, redirect_slashes=False, default=elsewhere), header.encode(), noted=noted)


async def ping() -> Answer:
    return 200, TEXT, b"pong"


class Server:
    """`async with` it: inside, `listener` accepts connections, of https where there is `tls`; it is closed
    in the end."""

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=Brief,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=CONNECTIONS,
            ssl_context_factory=(lambda *_: tls) if tls else None,
        )
        self._uvicorn = uvicorn.Server(config)

    async def __aenter__(self) -> Self:
        server = self._uvicorn
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.on_tick(0)
        await server.startup([self._listener])
        self._dates = asyncio.create_task(self._keep_dates())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._dates.cancel()
        await asyncio.gather(self._dates, return_exceptions=True)
        for accepting in self._uvicorn.servers:
            accepting.close()
        self._listener.close()
        state = self._uvicorn.server_state
        for connection in list(state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    async def _keep_dates(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self._uvicorn.on_tick(0)  # the date


class Brief(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **members: Any) -> None:
        super().__init__(*arguments, **members)
        self.logger = _quiet
        self._received = 0
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(LIFE, transport.abort)
        if len(self.connections) > 2 * CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > LARGEST:
            self.transport.abort()
        else:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.keep_alive = False
