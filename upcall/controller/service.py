"""The Controller as one thing: the API's parts put together, started and stopped in the right order."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Self

from upcall import metrics as names
from upcall.balancing import Balancing
from upcall.controller.acks import Acks
from upcall.controller.admission import Admission
from upcall.controller.auth import Authenticator
from upcall.controller.cache import DocumentCache
from upcall.controller.call import Parts, Policy
from upcall.controller.compose import Composer
from upcall.controller.events import Events
from upcall.controller.exchange import Edge
from upcall.controller.figures import Figures
from upcall.controller.fleet import Fleet
from upcall.controller.http import make_app
from upcall.controller.invoke import Invocations
from upcall.controller.resolve import Resolver
from upcall.controller.route import InvokeRoute
from upcall.controller.server import Front, Server
from upcall.controller.start import Starter
from upcall.core.throttle import Held, Throttles
from upcall.errors import Unavailable
from upcall.http.envelope import Answer
from upcall.http.metrics import Exposed, Metrics
from upcall.http.operator import Operator
from upcall.measures import many
from upcall.model import texts
from upcall.model.entities import BLACKBOX, Exec
from upcall.model.messages import Topic
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import Bus, Store

if TYPE_CHECKING:
    from prometheus_client import Metric

    from upcall.controller.cluster import Cluster
    from upcall.controller.supervisor import Supervisor

log = logging.getLogger(__name__)


class Controller:
    """`async with` it: inside, `port` accepts connections. `ended` is the server's task: done only when something is
    wrong, or after `stop`. `local` says whether the one Invoker is enabled, where it is in this process; without it the
    bus has Invokers, and they are supervised. `metrics` are what others in this process have for `GET /metrics`; None:
    no such route. `several`: there may be other controllers on the bus. `events` is where user events
    go, if anywhere."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        store: Store,
        *,
        front: Front,
        manifest: Manifest,
        limits: SystemLimits,
        local: Callable[[], bool] | None = None,
        balancing: Balancing = Balancing(),  # noqa: B008 - frozen
        metrics: Exposed | None = None,
        operator: Operator | None = None,
        prefix: str = "",
        several: bool = False,
        events: Topic | None = None,
        ready: Callable[[], Awaitable[Answer]] | None = None,
        logs_elsewhere: bool = False,
        policy: Policy = Policy(),  # noqa: B008 - frozen
    ) -> None:
        self._name = name
        self._bus = bus
        self._store = store
        self._front = front
        self._manifest = manifest
        self._limits = limits
        self._balancing = balancing
        self.fleet = Fleet(balancing, limits, local=local)
        self._supervised = local is None
        self._metrics, self._operator = metrics, operator
        self._prefix, self._several, self._events = prefix, several, events
        self._cluster: Cluster | None = None
        self._ready = ready
        self._logs_elsewhere, self._policy = logs_elsewhere, policy
        self.hindrances: list[str] = []
        """Why it does not do its work, in sentences."""
        self._figures = Figures()
        self._stack = contextlib.AsyncExitStack()
        self._failure: BaseException | None = None
        self._serving = False

    async def __aenter__(self) -> Self:
        async with self._stack as stack:
            acks = self._acks = await self._account(stack)
            authenticator, cache = Authenticator(self._store), DocumentCache(self._store)
            resolver = Resolver(cache, self._pulled)
            throttles = Throttles(self._limits, acks.in_flight)
            written, agree = await self._join(stack, cache, throttles)
            invocations = await stack.enter_async_context(
                Invocations(
                    self._store,
                    self._bus,
                    acks,
                    fleet=self.fleet,
                    controller=self._name,
                    prefix=self._prefix,
                    polling=self._balancing.polling,
                )
            )
            admission = Admission(throttles, agree, self._make_events())
            deprecated = [runtime.kind for runtime in self._manifest.all if runtime.deprecated]
            route = InvokeRoute(
                invocations,
                resolver,
                authenticator,
                self._limits,
                admission=admission,
                deprecated=deprecated,
                figures=self._figures,
            )
            invocations.composer = Composer(invocations, resolver, self._store, self._limits.sequence_length)
            starter = Starter(invocations, resolver, admission, self._store, self._limits, deprecated=deprecated)
            app = make_app(self._parts(authenticator, resolver, starter, written, acks))
            front = self._front
            edge = Edge(route, tid_header=front.tid_header.encode())
            self._server = Server(edge, app, front.listener, doors=front.doors, tls=front.tls, expire=acks.end_waits)
            self.ended = asyncio.create_task(self._serve(), name="http")
            stack.push_async_callback(self._end)
            await self._listening()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> bool | None:
        return await self._stack.__aexit__(*exception)  # type: ignore[arg-type]

    def _make_events(self) -> Events | None:
        return Events(self._bus, self._name, self._events) if self._events else None

    async def _account(self, stack: contextlib.AsyncExitStack) -> Acks:
        """What is sent, and to whom: from now on acks and pings are heard. Raises Misconfigured, or Unavailable where
        the action that tests Invokers cannot be written."""
        supervisor = await self._supervise() if self._supervised else None
        acks = Acks(
            self._bus,
            self._name,
            self.fleet.release,
            self._fail,
            unknown=supervisor.unknown if supervisor else lambda ack: False,
            prefix=self._prefix,
            standard=self._limits.timeout.std / 1000,
            factor=self._balancing.timeout_factor,
            addon=self._balancing.timeout_addon,
        )
        await acks.start()
        stack.push_async_callback(acks.close)
        if supervisor is not None:
            stack.push_async_callback(supervisor.close)
            await supervisor.start()
        return acks

    async def _supervise(self) -> "Supervisor":
        from upcall.controller import probe
        from upcall.controller.supervisor import Supervisor

        await probe.write(self._store, probe.health_action(self._name, self._manifest, self._limits))
        probes = probe.Probes(self._name, time.time_ns() // 1_000_000)
        made = self.fleet.supervisor = Supervisor(self._bus, self.fleet, probes, self._fail, prefix=self._prefix)
        return made

    async def _join(
        self, stack: contextlib.AsyncExitStack, cache: DocumentCache, throttles: Throttles
    ) -> tuple[Callable[[str], None], Callable[[Held], Awaitable[None]] | None]:
        """Whom to tell what was written, and whom to ask what the throttles may let pass."""
        if self._events is not None:
            await self._bus.ensure(self._events)
        if not self._several:
            return cache.forget, None
        from upcall.controller.cluster import Cluster
        from upcall.controller.invalidation import Invalidation

        prefix = self._prefix
        invalidation = await stack.enter_async_context(
            Invalidation(self._bus, self._name, cache, self._fail, prefix=prefix)
        )
        cluster = self._cluster = await stack.enter_async_context(
            Cluster(
                self._bus,
                self._name,
                throttles,
                resized=self.fleet.resize,
                doubt=invalidation.doubt,
                lost=self._fail,
                prefix=prefix,
            )
        )
        return invalidation.written, cluster.agree

    @property
    def port(self) -> int:
        return self._server.port

    async def disable(self) -> None:
        """Hear no acks any more (spec: rest-api.md §14); what was told to callers before stands."""
        if not self.hindrances:
            self.hindrances.append("it is disabled")
            log.warning(texts.CONTROLLER_DISABLED)
        await self._acks.silence()

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
        if self._failure is not None:
            raise self._failure
        self._serving = True
        try:
            await self._server.serve()
        except asyncio.CancelledError:
            if self._failure is None:
                raise
            raise self._failure from None

    def _fail(self, cause: BaseException) -> None:
        """Nothing is heard any more: end, and with it whoever runs this; or do not begin."""
        expected = isinstance(cause, Unavailable)
        log.critical("the bus is lost: %s", cause, exc_info=None if expected else cause)
        self._failure = cause
        if self._serving:
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

    def _parts(
        self,
        authenticator: Authenticator,
        resolver: Resolver,
        starter: Starter,
        written: Callable[[str], None],
        acks: Acks,
    ) -> Parts:
        return Parts(
            store=self._store,
            authenticator=authenticator,
            resolver=resolver,
            starter=starter,
            written=written,
            manifest=self._manifest,
            limits=self._limits,
            now=lambda: time.time_ns() // 1_000_000,
            invokers=self.fleet.states,
            readiness=self._balancing.readiness_fraction,
            in_flight=acks.active,
            recent=acks.recent,
            tid_header=self._front.tid_header.encode(),
            figures=self._figures,
            metrics=self._make_metrics(acks),
            operator=self._operator,
            ready=self._ready,
            logs_elsewhere=self._logs_elsewhere,
            policy=self._policy,
        )

    def _pulled(self, exec_: Exec) -> bool:
        image = exec_.image
        return (
            exec_.kind == BLACKBOX
            and isinstance(image, str)
            and self._manifest.is_pulled(image, self._balancing.local_image_prefix)
        )

    def _make_metrics(self, acks: Acks) -> Metrics | None:
        exposed = self._metrics
        if exposed is None:
            return None

        def own() -> Iterator["Metric"]:
            yield from self._figures.metrics(acks.count, list(self.fleet.states().values()), exposed.tags)
            yield from many(names.COMPLETIONS, [((how,), count) for how, count in acks.completions.items()])
            yield from self.fleet.metrics(exposed.tags)
            if self._cluster is not None:
                yield from self._cluster.metrics()

        return Metrics([own, *exposed.sources], exposed.measure)
