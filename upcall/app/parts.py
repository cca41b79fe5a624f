"""What roles are put together from, out of the settings."""

import contextlib
import gc
import logging
import random
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET

from upcall import markers
from upcall.app.offer import Offer
from upcall.bus.memory import MemoryBus
from upcall.config import Settings
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels
from upcall.core.stems import manifest_cells, stem_cells
from upcall.errors import Misconfigured
from upcall.extras import missing
from upcall.host import pool_memory
from upcall.http.metrics import Collect
from upcall.invoker.canary import fly
from upcall.invoker.service import Invoker
from upcall.invoker.specs import default_units
from upcall.keys import Keys
from upcall.logs.files import LogFiles
from upcall.logs.places import Place
from upcall.model.messages import Topic
from upcall.model.names import InvokerId, Json
from upcall.model.sizes import MB, bytes_text
from upcall.model.store_url import CouchUrl
from upcall.ports import Bus, Containers
from upcall.store.cache import ActionCache
from upcall.store.choice import Storage

if TYPE_CHECKING:
    from upcall.app.ground import Ground
    from upcall.bus.kafka import KafkaBus

log = logging.getLogger("upcall")

PROOF = 10.0
"""Seconds that a start waits for the canary."""


@contextlib.asynccontextmanager
async def opened_bus(settings: Settings, store: Storage) -> AsyncIterator[Bus]:
    """In memory with what an earlier life has left, or over Kafka."""
    if settings.bus == "memory":
        bus = MemoryBus(journal=store.journal)
        if restored := bus.restore():
            log.info("%d activations of an earlier life have not ended: those that had not started run now", restored)
        yield bus
        return
    if left := len(store.journal):
        raise Misconfigured(
            f"{left} activations that --bus memory has accepted have not ended: start with --bus memory once more, "
            "and stop it when `upcall status` shows none."
        )
    over = _kafka(settings, store)
    try:
        await over.ensure(Topic(f"{topic_prefix(settings)}health", "ping"))
        yield over
    finally:
        await over.close()


def remote_metrics(ground: "Ground", settings: Settings) -> list[Collect]:
    """Of a bus and a store that are reached over the network."""
    found: list[Collect] = []
    if settings.bus != "memory":
        from upcall.bus.kafka import KafkaBus

        bus = ground.bus
        assert isinstance(bus, KafkaBus)
        found.append(lambda: bus.metrics(settings.metrics_tags))
    if isinstance(settings.store, CouchUrl):
        from upcall.store.couch import CouchStore

        assert isinstance(ground.store, CouchStore)
        found.append(ground.store.http.calls.metrics)
    return found


def bus_condition(bus: Bus, settings: Settings, topic: str) -> Json:
    """How the bus is, for people."""
    if settings.bus == "memory":
        return None
    from upcall.bus.kafka import KafkaBus

    assert isinstance(bus, KafkaBus)
    return bus.condition(topic)


def behind(bus: Bus, settings: Settings, topic: str) -> int:
    """Messages of a topic that is read, which nobody here has taken yet."""
    condition = bus_condition(bus, settings, topic)
    return condition["behind"] if isinstance(condition, dict) else 0


def _kafka(settings: Settings, store: Storage) -> "KafkaBus":
    try:
        from upcall.bus.kafka import KafkaBus
    except ImportError as error:
        raise missing("Kafka", "confluent-kafka") from error
    assert settings.brokers is not None
    return KafkaBus(settings.brokers, settings.limits.payload, store.flush)


def topic_prefix(settings: Settings) -> str:
    """Of topics."""
    return settings.brokers.prefix if settings.bus == "kafka" and settings.brokers else ""


def pool_config(settings: Settings, memory: int, offer: Offer) -> PoolConfig:
    """With memory in MB. What nobody has asked for is only of what is there."""
    if settings.prewarm is None and settings.runtimes is not None:
        cells = manifest_cells(offer.manifest)
    else:
        kinds = offer.present if settings.prewarm is None else offer.manifest.kinds
        cells = stem_cells(settings.prewarm, kinds, memory, settings.limits.memory.std)
    pool = settings.pool
    late = random.uniform(0, pool.prewarm_variance)  # noqa: S311 - no secret: Invokers are not to move in step
    return PoolConfig(
        memory,
        pool.pause_grace,
        pool.idle_container,
        prewarm=cells,
        prewarm_delay=pool.prewarm_delay + late,
        prewarm_check=pool.prewarm_interval + late,
        prewarm_limit=pool.prewarm_limit,
    )


def make_invoker(
    settings: Settings, bus: Bus, store: Storage, containers: Containers, *, memory: int, offer: Offer, logs: Place
) -> Invoker:
    """`memory` of its pool in MB."""
    markers.switch(settings.log_markers)
    pool = pool_config(settings, memory, offer)
    return Invoker(
        InvokerId(
            settings.invoker_id,
            bytes_text(pool.memory * MB),
            tags=settings.tags,
            dedicated_namespaces=settings.dedicated_namespaces,
            unique_name=settings.unique_name or UNSET,
            displayed_name=settings.displayed_name or UNSET,
        ),
        bus,
        store,
        ActionCache(store, time.monotonic),
        containers,
        pool=pool,
        manifest=offer.manifest,
        deployment=offer.deployment,
        limits=settings.limits,
        levels=StoreLevels(
            settings.store_level_blocking, settings.store_level_non_blocking, settings.store_level_tell_unstored
        ),
        units=default_units(pool, settings.limits, settings.concurrent_peek_factor),
        grace=settings.grace,
        prefix=topic_prefix(settings),
        events=events_topic(settings),
        blacklist_interval=settings.blacklist_poll_interval,
        canary=partial(fly, logged=logs.collected),
        full=settings.durability == "full",
        keys=Keys(settings.parameter_keys),
        logs=logs,
    )


def memory_of(settings: Settings) -> int:
    """MB for actions, with remarks where they are doubtful. Raises Misconfigured."""
    within, elsewhere = settings.driver in ("process", "auto"), settings.driver == "kubernetes"
    memory = pool_memory(settings.memory, settings.limits.memory, held=within, here=not elsewhere)
    if elsewhere and settings.memory is None:
        log.warning(
            "--memory is not set: pods get %d MB of the cluster together, which are 75 %% of the RAM here", memory
        )
    return memory


def log_place(settings: Settings, stack: contextlib.AsyncExitStack) -> Place:
    """Where actions' logs go; files are closed with the stack. Raises Misconfigured."""
    match settings.logs_store:
        case "activation":
            return Place()
        case "activation-file":
            return Place(files=stack.enter_context(LogFiles(settings.logs_folder)))
        case "driver":
            if settings.driver in ("process", "auto"):
                log.warning("logs.store is driver: what actions print in sandboxes of this host is kept by nobody")
            return Place(collected=False)


async def proven(invoker: Invoker) -> None:
    """Wait for the canary, though not for long."""
    if not await invoker.proof.known(PROOF):
        log.warning("no activation is taken yet: %s", invoker.proof.trouble)


def freeze_heap() -> None:
    """What is there now stays: collections need not look at it again (docs/DESIGN.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def events_topic(settings: Settings) -> Topic | None:
    """Where user events go."""
    if not settings.user_events or settings.bus == "memory" or settings.brokers is None:
        return None
    return Topic(f"{settings.brokers.user_event_prefix}events", "event")
