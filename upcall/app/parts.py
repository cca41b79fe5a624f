"""What roles are put together from, out of the settings."""

import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upcall.app.folders import run_folder
from upcall.bus.memory import MemoryBus
from upcall.config import Settings
from upcall.containers import images
from upcall.containers.process import ProcessContainers
from upcall.controller.doors import Doors
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels
from upcall.core.stems import stem_cells
from upcall.errors import Misconfigured
from upcall.extras import missing
from upcall.invoker.service import Invoker
from upcall.model.messages import Topic
from upcall.model.names import InvokerId
from upcall.model.runtimes import Image, Manifest, Runtime
from upcall.model.sizes import MB, bytes_text
from upcall.ports import Bus
from upcall.store.cache import ActionCache
from upcall.store.choice import Storage

if TYPE_CHECKING:
    from upcall.bus.kafka import KafkaBus

log = logging.getLogger("upcall")


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


def _kafka(settings: Settings, store: Storage) -> "KafkaBus":
    try:
        from upcall.bus.kafka import KafkaBus
    except ImportError as error:
        raise missing("--bus kafka", "confluent-kafka") from error
    assert settings.brokers is not None
    return KafkaBus(settings.brokers, settings.limits.payload, store.flush)


def topic_prefix(settings: Settings) -> str:
    """Of topics."""
    return settings.brokers.prefix if settings.bus == "kafka" and settings.brokers else ""


def make_containers(settings: Settings, data: Path, url: str, doors: Doors) -> ProcessContainers:
    if settings.isolation == "none" and settings.action_network in ("none", "private"):
        raise Misconfigured(
            f"--action-network {settings.action_network} needs sandboxes; with --isolation none actions have the "
            "network of this host: leave one of the two out."
        )
    return ProcessContainers(
        run_folder(data),
        isolation=settings.isolation,
        api_host=url,
        serve_api=doors.open,
        dns=settings.dns,
        network=settings.action_network,
        network_range=settings.action_network_range,
        log_bound=settings.limits.logs.max * MB,
    )


def pool_config(settings: Settings, memory: int, kinds: Sequence[str]) -> PoolConfig:
    cells = stem_cells(settings.prewarm, kinds, memory, settings.limits.memory.std)
    return PoolConfig(memory, settings.pool_pause_grace, settings.pool_idle_container, prewarm=cells)


def make_invoker(
    settings: Settings, pool: PoolConfig, bus: Bus, store: Storage, containers: ProcessContainers
) -> Invoker:
    return Invoker(
        InvokerId(0, bytes_text(pool.memory * MB)),
        bus,
        store,
        ActionCache(store, time.monotonic),
        containers,
        pool=pool,
        manifest=manifest_of(containers.kinds),
        limits=settings.limits,
        levels=StoreLevels(settings.store_level_blocking, settings.store_level_non_blocking),
        grace=settings.grace,
        prefix=topic_prefix(settings),
    )


def manifest_of(kinds: Sequence[str]) -> Manifest:
    """The kinds that run here, the first of a family its default, and the image of native executables."""
    families: dict[str, list[Runtime]] = {}
    for kind in kinds:
        family = families.setdefault(kind.partition(":")[0], [])
        image = Image(f"action-{kind.replace(':', '-v')}", "upcall")
        family.append(Runtime(kind, image, default=not family))
    return Manifest(families, [images.NATIVE])


def freeze_heap() -> None:
    """What is there now stays: collections need not look at it again (docs/DESIGN.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
