"""What roles are put together from, out of the settings."""

import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from upcall.app.folders import run_folder
from upcall.bus.memory import MemoryBus
from upcall.config import Settings
from upcall.containers import images
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.interior import Serve
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels
from upcall.core.stems import manifest_cells, stem_cells
from upcall.errors import Misconfigured
from upcall.extras import missing
from upcall.http.metrics import Collect
from upcall.invoker.canary import fly
from upcall.invoker.service import Invoker
from upcall.invoker.specs import default_units
from upcall.model.images import Image
from upcall.model.messages import Topic
from upcall.model.names import InvokerId, Json
from upcall.model.runtimes import Manifest, Runtime
from upcall.model.sizes import MB, bytes_text
from upcall.ports import Bus
from upcall.store.cache import ActionCache
from upcall.store.choice import Storage

if TYPE_CHECKING:
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


def bus_metrics(bus: Bus, settings: Settings) -> list[Collect]:
    """Of a bus that has a queue of its own."""
    if settings.bus == "memory":
        return []
    from upcall.bus.kafka import KafkaBus

    assert isinstance(bus, KafkaBus)
    return [lambda: bus.metrics(settings.metrics_tags)]


def bus_condition(bus: Bus, settings: Settings, topic: str) -> Json:
    """How the bus is, for people."""
    if settings.bus == "memory":
        return None
    from upcall.bus.kafka import KafkaBus

    assert isinstance(bus, KafkaBus)
    return bus.condition(topic)


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


def make_containers(settings: Settings, data: Path, api_host: str, serve_api: Serve | None) -> ProcessContainers:
    """`api_host` is the API's address, as it is outside of actions' networks; `serve_api` serves it inside."""
    if settings.isolation == "none" and settings.action_network in ("none", "private"):
        raise Misconfigured(
            f"--action-network {settings.action_network} needs sandboxes; with --isolation none actions have the "
            "network of this host: leave one of the two out."
        )
    return ProcessContainers(
        run_folder(data),
        isolation=settings.isolation,
        api_host=api_host,
        serve_api=serve_api,
        dns=settings.dns,
        network=settings.action_network,
        network_range=settings.action_network_range,
        log_bound=settings.limits.logs.max * MB,
    )


def pool_config(settings: Settings, memory: int, manifest: Manifest) -> PoolConfig:
    """`manifest` has what is offered; with memory in MB."""
    if settings.prewarm is None and settings.runtimes is not None:
        cells = manifest_cells(manifest)
    else:
        cells = stem_cells(settings.prewarm, manifest.kinds, memory, settings.limits.memory.std)
    return PoolConfig(memory, settings.pool_pause_grace, settings.pool_idle_container, prewarm=cells)


def make_invoker(
    settings: Settings, bus: Bus, store: Storage, containers: ProcessContainers, *, memory: int, manifest: Manifest
) -> Invoker:
    """`memory` of its pool in MB."""
    pool = pool_config(settings, memory, manifest)
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
        manifest=manifest,
        limits=settings.limits,
        levels=StoreLevels(settings.store_level_blocking, settings.store_level_non_blocking),
        units=default_units(pool, settings.limits, settings.concurrent_peek_factor),
        grace=settings.grace,
        prefix=topic_prefix(settings),
        events=events_topic(settings),
        blacklist_interval=settings.blacklist_poll_interval,
        canary=fly,
        full=settings.durability == "full",
    )


def manifest_of(kinds: Sequence[str]) -> Manifest:
    """The kinds that run here, the first of a family its default, and the image of native executables, which the
    process driver plays whatever its tag (`wsk action create --native` names `:nightly`)."""
    families: dict[str, list[Runtime]] = {}
    for kind in kinds:
        family = families.setdefault(kind.partition(":")[0], [])
        image = Image(f"action-{kind.replace(':', '-v')}", "upcall")
        family.append(Runtime(kind, image, default=not family))
    return Manifest(families, [images.ANY_NATIVE])


async def proven(invoker: Invoker) -> None:
    """Wait for the canary, though not for long."""
    if not await invoker.proof.known(PROOF):
        log.warning("no activation is taken yet: %s", invoker.proof.trouble)


def offered(manifest: Manifest, kinds: Collection[str]) -> Manifest:
    """What of it runs here; the rest is told. Raises Misconfigured where nothing does."""
    lacking = [kind for kind in manifest.kinds if kind not in kinds]
    if len(lacking) == len(manifest.kinds):
        raise Misconfigured(
            f"--runtimes: none of its kinds ({', '.join(lacking) or 'it has none'}) runs here; these do: "
            f"{', '.join(kinds)}"
        )
    if lacking:
        log.warning("kinds that are not run here, though the manifest has them: %s", ", ".join(lacking))
    families = {
        family: [runtime for runtime in runtimes if runtime.kind in kinds]
        for family, runtimes in manifest.runtimes.items()
    }
    return Manifest({family: here for family, here in families.items() if here}, manifest.blackboxes)


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
