"""The controller, out of the settings."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from upcall.app.ground import Ground
from upcall.app.offer import docker_manifest, manifest_of
from upcall.app.parts import events_topic, remote_metrics, topic_prefix
from upcall.config import Settings
from upcall.containers import kinds
from upcall.controller.call import Policy
from upcall.controller.doors import Doors
from upcall.controller.server import Front
from upcall.controller.service import Controller
from upcall.docker import Driver
from upcall.errors import Misconfigured
from upcall.http.envelope import Answer
from upcall.http.metrics import Exposed
from upcall.http.operator import Operator
from upcall.keys import Keys, Lock
from upcall.lifetime import Stop
from upcall.model.runtimes import Manifest
from upcall.watch.process import Watch

log = logging.getLogger("upcall")

STAFFING = 10.0
"""Seconds that a start waits for an Invoker."""


def make_controller(
    settings: Settings,
    ground: Ground,
    watch: Watch,
    *,
    manifest: Manifest,
    operator: Operator,
    ready: Callable[[], Awaitable[Answer]],
    doors: Doors | None = None,
    local: Callable[[], bool] | None = None,
) -> Controller:
    """`local`: whether the one Invoker is enabled, where it is in this process."""
    return Controller(
        settings.controller_id,
        ground.bus,
        ground.store,
        front=Front(ground.listener, doors, ground.tls, settings.transactions_header),
        manifest=manifest,
        limits=settings.limits,
        prefix=topic_prefix(settings),
        local=local,
        balancing=settings.balancing,
        metrics=Exposed([watch.metrics, *remote_metrics(ground, settings)], settings.metrics_tags, watch.measure)
        if settings.metrics
        else None,
        operator=operator,
        several=settings.bus == "kafka",
        events=events_topic(settings),
        ready=ready,
        logs_elsewhere=settings.logs_store == "driver",
        policy=Policy(lock_of(settings), settings.shared_packages_execute_only),
    )


def lock_of(settings: Settings) -> Lock:
    """What locks parameters when they are written. Raises Misconfigured where its key is missing."""
    algorithm = settings.parameter_encryption
    if algorithm in ("off", "noop"):
        return list
    if algorithm not in settings.parameter_keys:
        raise Misconfigured(
            f"parameter-encryption is {algorithm}, and there is no key for it: set parameter-keys.{algorithm}"
        )
    return Keys(settings.parameter_keys).locker(algorithm)


def hosted_manifest(driver: Driver) -> Manifest:
    """What a controller offers where nobody has said what Invokers run: what this machine would."""
    if driver in ("docker", "kubernetes"):
        return docker_manifest()
    return manifest_of((*kinds.python_kinds(), *kinds.node_kinds(kinds.find_node())))


async def staffed(controller: Controller) -> None:
    """Wait for the first Invoker that is up, for a while."""
    if not await controller.fleet.staffed(STAFFING):
        log.warning("no Invoker is up yet: activations are refused with 503 until one is")


async def until(controller: Controller, stop: Stop) -> None:
    """Return when a stop is asked for. Raises what has ended the controller."""
    await asyncio.wait({controller.ended, stop.asked}, return_when=asyncio.FIRST_COMPLETED)
    if controller.ended.done():
        await controller.ended
