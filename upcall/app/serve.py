"""`upcall serve`: both shells in one process.

Memory bus or Kafka, the store that `--store` names, sandboxes of this host. The order of the start is the order of need
(store, guest, address, Invoker with its containers, HTTP). A stop refuses new work and gives what runs one budget of
time; what has not ended then is told so, sandboxes go, records are flushed (D8). A second signal stops at once.
"""

import asyncio
import contextlib
import logging
import shlex
from collections.abc import Callable
from pathlib import Path

from upcall import __version__
from upcall.app.addresses import is_loopback
from upcall.app.api import make_controller, staffed, until
from upcall.app.driver import Api, Drivers
from upcall.app.folders import write_properties
from upcall.app.ground import Ground, taken, url_of
from upcall.app.offer import Offer
from upcall.app.parts import freeze_heap, log_place, make_invoker, memory_of, proven
from upcall.app.readiness import Ready
from upcall.config import Settings
from upcall.containers.choice import Driver
from upcall.controller.doors import Doors
from upcall.controller.service import Controller
from upcall.controller.subjects import ensure_subject
from upcall.controller.tls import PUBLIC
from upcall.errors import Misconfigured, Unavailable
from upcall.http.operator import Operator, machine_routes
from upcall.invoker.service import Invoker
from upcall.lifetime import Stop
from upcall.model.names import Json
from upcall.model.store_url import SqliteUrl
from upcall.ownership import unusable
from upcall.places import GUEST, default_data
from upcall.store.choice import Storage, retained
from upcall.telemetry import Log
from upcall.watch.credentials import operator_credentials
from upcall.watch.invoker import InvokerWatch

log = logging.getLogger("upcall")


async def serve(settings: Settings, say: Callable[[str], None], logs: Log) -> int:
    stop = Stop()
    memory = memory_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        stop.listen(stack)
        ground = await taken(settings, stack)
        data, store, bus, url = ground.data, ground.store, ground.bus, url_of(settings, ground)
        write_properties(data, url, await _guest(store, data, settings))
        doors, drivers = Doors(), Drivers(settings, ground, memory, stack)
        containers, offer = await drivers.make(Api(url, doors.open), _outside(settings, doors))
        place = log_place(settings, stack)
        made = make_invoker(settings, bus, store, containers, memory=memory, offer=offer, logs=place)
        invoker = await stack.enter_async_context(made)
        facts = _facts(settings, url, data, containers, offer)
        watch = InvokerWatch(invoker, store, logs, facts, settings.metrics_tags, driver=drivers.metrics)
        stack.enter_context(watch.running())
        controller = await stack.enter_async_context(
            make_controller(
                settings,
                ground,
                watch,
                manifest=offer.manifest,
                operator=_operator(settings, data, watch),
                ready=Ready(store, lambda: watch.hindrances, lambda: {"invoker": invoker.name}).answer,
                doors=doors,
                local=(lambda: watch.enabled) if settings.bus == "memory" else None,
            )
        )
        await stack.enter_async_context(retained(store, settings.keep))
        ground.owner.announce(controller.port)
        await proven(invoker)
        await staffed(controller)
        freeze_heap()
        _warn(settings.host, ground)
        if not stop.asked.done():
            say(_ready_text(settings, url, memory, data, offer))
        await until(controller, stop)
        await _drain(controller, invoker, settings)
        _tell_left(len(store.journal))
    return 1 if store.lost else 0


def _outside(settings: Settings, doors: Doors) -> Api:
    """As Docker's containers reach it; pods do by an address that is named, alone."""
    if settings.driver == "kubernetes" and not settings.api_host:
        log.warning("actions do not know the API's address (__OW_API_HOST): set --api-host to one that pods reach")
        return Api()
    return Api(settings.api_host) if settings.api_host else Api("", doors.open_shared)


def _warn(host: str, ground: Ground) -> None:
    if ground.tls is None and not is_loopback(ground.listener):
        log.warning("--host %s: other machines reach the API, by HTTP without encryption", host)


def _tell_left(count: int) -> None:
    if count:
        log.info("%d accepted activations have not started; they will with the next start", count)


async def _drain(controller: Controller, invoker: Invoker, settings: Settings) -> None:
    """Let callers have their answers and what runs its end, for the grace; then cut short what is left (D8)."""
    grace = settings.grace
    controller.fleet.keep(settings.invoker_id)
    log.info("stopping: running activations may take %g s to end; a second signal stops at once", grace)
    controller.refuse()
    invoker.hold()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await controller.answered()
            await invoker.idle()
    controller.lock()
    await invoker.drain(0)
    await controller.stop(0)


async def _guest(store: Storage, data: Path, settings: Settings) -> str:
    """The guest's credentials. Raises Misconfigured where they cannot be kept."""
    try:
        return await ensure_subject(store, GUEST, settings.auth)
    except Unavailable as error:
        if settings.store is not None and not isinstance(settings.store, SqliteUrl):
            raise Misconfigured(f"the store {settings.store.masked} cannot be used: {error}") from error
        raise unusable(data, store.trouble or "it takes no writes") from error


def _operator(settings: Settings, data: Path, watch: InvokerWatch) -> Operator:
    credentials = operator_credentials(data, settings.operator_username, settings.operator_password)
    return Operator(credentials, machine_routes(watch))


def _facts(settings: Settings, url: str, data: Path, containers: Driver, offer: Offer) -> Callable[[], dict[str, Json]]:
    """What does not change while it runs."""
    return lambda: {
        "role": "serve",
        "address": url,
        "data": str(data),
        "kinds": offer.manifest.kinds,
        "runs": offer.rows(),
        "durability": settings.durability,
        **containers.facts(),
    }


def _where(settings: Settings) -> str:
    sandbox = "in a sandbox of its own" if settings.isolation == "full" else "WITHOUT isolation"
    container = "in a container of its own"
    either = f"{sandbox} or {container}"
    return {"process": sandbox, "docker": container, "kubernetes": "in a pod of its own", "auto": either}[
        settings.driver
    ]


def _ready_text(settings: Settings, url: str, memory: int, data: Path, offer: Offer) -> str:
    runs = "".join(f"  {line}\n" for line in offer.lines())
    properties = data / ".wskprops"
    quoted = shlex.quote(str(properties))
    curl, wsk = "curl", ""
    whose = "wsk" if data == default_data().absolute() else "upcall and wsk"
    if settings.tls == "self-signed":
        curl, wsk = f"curl --cacert {shlex.quote(str(data / PUBLIC))}", "; self-signed, so: wsk -i"
    elif settings.tls_cert:
        curl = "curl -k"
    return (
        f"upcall {__version__} is ready at {url} ({memory / 1024:.1f} GB for actions, each {_where(settings)})\n"
        f"{runs}"
        f"  key and address: {properties} (for {whose}: export WSK_CONFIG_FILE={quoted}{wsk})\n"
        f'  try it:          {curl} -u "$(sed -n s/^AUTH=//p {quoted})" {url}/api/v1/namespaces/_/actions\n'
        f"  stop it:         Ctrl-C"
    )
