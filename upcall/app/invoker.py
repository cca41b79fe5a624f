"""`upcall invoker`: one Invoker, its topic in Kafka, the sandboxes of this host, and a small HTTP server.

The order of the start is the order of need: store, brokers, address, containers, HTTP, and only when a container has
been seen to work the topic is read. A stop says "disabled", fetches nothing more, and gives what runs its time (D8).
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from time import monotonic
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from upcall import __version__
from upcall.app.driver import Api, Drivers
from upcall.app.folders import write_properties
from upcall.app.ground import Ground, taken, url_of
from upcall.app.offer import Offer
from upcall.app.parts import (
    behind,
    bus_condition,
    freeze_heap,
    log_place,
    make_invoker,
    memory_of,
    proven,
    remote_metrics,
    topic_prefix,
)
from upcall.config import Settings
from upcall.containers.choice import Driver
from upcall.errors import Unavailable
from upcall.host import remark_on_others
from upcall.http.envelope import Answer
from upcall.http.metrics import Metrics
from upcall.http.operator import Operator, machine_routes
from upcall.http.readiness import readiness
from upcall.http.requests import Requests
from upcall.identity import beyond, surroundings, unlike
from upcall.invoker.leaving import leave
from upcall.invoker.relay import Relay
from upcall.invoker.server import Server, make_app
from upcall.invoker.service import Invoker
from upcall.kubernetes.ordinals import departing, replicas
from upcall.lifetime import Stop
from upcall.model.messages import invoker_topic
from upcall.model.names import Json
from upcall.ownership import holders
from upcall.ports import Bus
from upcall.telemetry import Log
from upcall.watch.credentials import operator_credentials
from upcall.watch.invoker import InvokerWatch

log = logging.getLogger("upcall")


async def invoker(settings: Settings, say: Callable[[str], None], logs: Log) -> int:
    stop = Stop()
    memory = memory_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        stop.listen(stack)
        ground = await taken(settings, stack)
        data, store, bus, url = ground.data, ground.store, ground.bus, url_of(settings, ground)
        _beside_others(ground, memory)
        drivers = Drivers(settings, ground, memory, stack)
        containers, offer = await drivers.make(*_api(settings, stack))
        place = log_place(settings, stack)
        made = make_invoker(settings, bus, store, containers, memory=memory, offer=offer, logs=place)
        worker = await stack.enter_async_context(made)
        facts = _facts(settings, url, bus, containers, offer)
        watch = InvokerWatch(worker, store, logs, facts, settings.metrics_tags, driver=drivers.metrics)
        stack.enter_context(watch.running())
        await stack.enter_async_context(Server(_app(settings, ground, watch), ground.listener, ground.tls))
        ground.owner.announce(ground.port, memory)
        write_properties(data, url)
        await proven(worker)
        freeze_heap()
        if not stop.asked.done():
            say(_ready_text(settings, worker, offer, memory, url))
        counting = asyncio.create_task(_count(settings.invoker_id), name="count")
        stack.callback(counting.cancel)
        await stop.asked
        log.info("stopping: running activations may take %g s to end; a second signal stops at once", settings.grace)
        await worker.drain(settings.grace - await _left(settings, worker, bus))
    return 1 if store.lost else 0


async def _left(settings: Settings, worker: Invoker, bus: Bus) -> float:
    """Where its number goes for good, its topic is emptied; gives the seconds of the grace that it took (D8)."""
    began = monotonic()
    try:
        why = await departing(settings.invoker_id)
    except Unavailable as error:
        log.warning("%s is taken to come back: %s; else what waits in its topic waits for ever", worker.name, error)
        why = None
    if why is not None:
        topic = invoker_topic(settings.invoker_id, topic_prefix(settings)).name
        log.info("%s goes for good (%s): what is in its topic is run first", worker.name, why)
        await leave(worker, lambda: behind(bus, settings, topic), settings.grace)
    return min(monotonic() - began, settings.grace)


async def _count(number: int) -> None:
    """Say where a pod's deployment has more than one number of Invokers, or none with a place for this one. It is asked
    when all else is done."""
    if not surroundings(os.environ).pod:
        return  # said with the settings
    try:
        found = await replicas(number)
    except Unavailable:
        found = None
    if found is not None:
        remark = unlike(*found, os.environ)
        if remark is not None:
            log.info(remark)
        return
    for remark in beyond(number, os.environ):
        log.warning(remark)


def _beside_others(ground: Ground, memory: int) -> None:
    """First it is said what this one takes, then looked what others do: of two that start together one sees it."""
    ground.owner.announce(0, memory)
    folders = sorted(set(ground.data.parent.glob("invoker*")) - {ground.data})
    remark_on_others(memory, {name: owner.memory for name, owner in holders(folders).items()})


def _app(settings: Settings, ground: Ground, watch: InvokerWatch) -> ASGIApp:
    async def ready() -> Answer:
        return readiness(watch.hindrances, {"invoker": watch.name})

    times = Requests()
    credentials = operator_credentials(ground.data, settings.operator_username, settings.operator_password)
    sources = [watch.metrics, lambda: times.metrics(settings.metrics_tags), *remote_metrics(ground, settings)]
    metrics = Metrics(sources, watch.measure)
    return make_app(
        settings.transactions_header,
        ready,
        Operator(credentials, machine_routes(watch)),
        metrics if settings.metrics else None,
        times.answered,
    )


def _api(settings: Settings, stack: contextlib.AsyncExitStack) -> tuple[Api, Api]:
    """The API's address where there is one, for sandboxes and for Docker's containers: by HTTP it is carried into
    sandboxes' networks, by HTTPS actions reach it by their own way out, as those in containers always do."""
    url = settings.api_host
    if url is None:
        log.warning("actions do not know the API's address (__OW_API_HOST): set --api-host")
        return Api(), Api()
    parts = urlsplit(url)
    assert parts.hostname is not None
    if parts.scheme == "https":
        if settings.action_network == "none" and settings.driver in ("process", "auto"):
            log.warning("--api-host %s: actions without a network do not reach it; one with http they would", url)
        return Api(url), Api(url)
    relay = Relay(parts.hostname, parts.port or 80)
    stack.push_async_callback(relay.close)
    return Api(url, relay.open), Api(url)


def _facts(settings: Settings, url: str, bus: Bus, containers: Driver, offer: Offer) -> Callable[[], dict[str, Json]]:
    """What else its status has."""
    topic = invoker_topic(settings.invoker_id, topic_prefix(settings)).name
    return lambda: {
        "role": "invoker",
        "address": url,
        "id": settings.invoker_id,
        "topic": topic,
        "bus": bus_condition(bus, settings, topic),
        "data": str(settings.folder),
        "kinds": offer.manifest.kinds,
        "runs": offer.rows(),
        "durability": settings.durability,
        **containers.facts(),
    }


def _ready_text(settings: Settings, worker: Invoker, offer: Offer, memory: int, url: str) -> str:
    topic = invoker_topic(settings.invoker_id, topic_prefix(settings)).name
    return (
        f"upcall {__version__} {worker.name} is ready at {url} "
        f"(topic {topic}, {memory / 1024:.1f} GB for actions of {' '.join(offer.manifest.kinds)})"
        + "".join(f"\n  {line}" for line in offer.lines())
    )
