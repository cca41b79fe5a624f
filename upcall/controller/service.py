"""The Controller as one thing: the API's parts put together, started and stopped in the right order."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from upcall.controller.acks import Acks
from upcall.controller.auth import Authenticator
from upcall.controller.cache import ActionCache
from upcall.controller.call import Parts
from upcall.controller.doors import Doors
from upcall.controller.exchange import Edge
from upcall.controller.figures import Figures
from upcall.controller.http import make_app
from upcall.controller.invoke import Invocations
from upcall.controller.route import InvokeRoute
from upcall.controller.server import Server
from upcall.core.balance import Balancer, release
from upcall.errors import Unavailable
from upcall.http.metrics import Collect, Metrics
from upcall.http.operator import Operator
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import Bus, Store

if TYPE_CHECKING:
    from prometheus_client import Metric

log = logging.getLogger(__name__)


class Controller:
    """`async with` it: inside, `port` accepts connections. `ended` is the server's task: done only when something is
    wrong, or after `stop`. `metrics` are what others in this process have for `GET /metrics`, after `measure`; None: no
    such route. `tags` are the labels of OpenWhisk's metrics."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        store: Store,
        *,
        listener: socket.socket,
        manifest: Manifest,
        limits: SystemLimits,
        invokers: Callable[[], dict[str, str]],
        doors: Doors | None = None,
        tls: ssl.SSLContext | None = None,
        tid_header: str = "X-Request-ID",
        metrics: Sequence[Collect] | None = None,
        tags: bool = True,
        measure: Callable[[], Awaitable[None]] | None = None,
        operator: Operator | None = None,
        prefix: str = "",
    ) -> None:
        self._name = name
        self._bus = bus
        self._store = store
        self._listener = listener
        self._doors = doors
        self._tls = tls
        self._manifest = manifest
        self._limits = limits
        self._invokers = invokers
        self._tid_header = tid_header.encode()
        self._metrics = metrics
        self._tags = tags
        self._measure = measure
        self._operator = operator
        self._prefix = prefix
        self._figures = Figures()
        self._stack = contextlib.AsyncExitStack()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        async with self._stack as stack:
            balancer = Balancer()
            acks = Acks(
                self._bus,
                self._name,
                lambda entry: release(balancer, entry.job, entry.invoker),
                self._fail,
                prefix=self._prefix,
                standard=self._limits.timeout.std / 1000,
            )
            await acks.start()
            stack.push_async_callback(acks.close)
            authenticator, actions = Authenticator(self._store), ActionCache(self._store)
            invocations = await stack.enter_async_context(
                Invocations(
                    self._store,
                    self._bus,
                    acks,
                    actions,
                    balancer=balancer,
                    controller=self._name,
                    prefix=self._prefix,
                )
            )
            deprecated = [runtime.kind for runtime in self._manifest.all if runtime.deprecated]
            route = InvokeRoute(invocations, authenticator, self._limits, deprecated=deprecated, figures=self._figures)
            app = make_app(self._parts(authenticator, actions, acks))
            edge = Edge(route, tid_header=self._tid_header)
            self._server = Server(edge, app, self._listener, doors=self._doors, tls=self._tls, expire=acks.end_waits)
            self.ended = asyncio.create_task(self._serve(), name="http")
            stack.push_async_callback(self._end)
            await self._listening()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> bool | None:
        return await self._stack.__aexit__(*exception)  # type: ignore[arg-type]

    @property
    def port(self) -> int:
        return self._server.port

    def refuse(self) -> None:
        """New requests from outside are refused from now on; actions that run may still call."""
        self._server.refuse()

    async def answered(self) -> None:
        """After `refuse`: return when who had asked has an answer."""
        await self._server.answered()

    def lock(self) -> None:
        """Nothing starts any more, whoever asks."""
        self._server.lock()

    async def stop(self, grace: float) -> None:
        """Take no more requests and answer what has arrived, for at most `grace` seconds."""
        await self._server.stop(grace)
        await self.ended

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except asyncio.CancelledError:
            if self._failure is None:
                raise
            raise self._failure from None

    def _fail(self, cause: BaseException) -> None:
        """No acks come any more: end, and with it whoever runs this."""
        expected = isinstance(cause, Unavailable)
        log.critical("the acknowledgements are lost: %s", cause, exc_info=None if expected else cause)
        self._failure = cause
        self.ended.cancel()

    async def _listening(self) -> None:
        """Return when connections are accepted. Raises what keeps the server from it."""
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({ready, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.ended.done():
            self.ended.result()

    async def _end(self) -> None:
        self.ended.cancel()
        await asyncio.gather(self.ended, return_exceptions=True)

    def _parts(self, authenticator: Authenticator, actions: ActionCache, acks: Acks) -> Parts:
        return Parts(
            store=self._store,
            authenticator=authenticator,
            actions=actions,
            manifest=self._manifest,
            limits=self._limits,
            now=lambda: time.time_ns() // 1_000_000,
            invokers=self._invokers,
            in_flight=acks.active,
            tid_header=self._tid_header,
            figures=self._figures,
            metrics=self._make_metrics(acks),
            operator=self._operator,
        )

    def _make_metrics(self, acks: Acks) -> Metrics | None:
        if self._metrics is None:
            return None

        def own() -> Iterator["Metric"]:
            return self._figures.metrics(acks.count, list(self._invokers().values()), self._tags)

        return Metrics([own, *self._metrics], self._measure)
