"""Wiring: which adapters stand behind the ports, and one process's life from start to exit code.

`upcall serve` runs both shells in one process: memory bus, the store that `--store` names, sandboxes of this host. The
order of the start is the order of need (store, guest, address, Invoker with its containers, HTTP). A stop refuses new
work and gives what runs one budget of time; what has not ended then is told so, sandboxes go, records are flushed (D8).
A second signal stops at once.
"""

import asyncio
import contextlib
import gc
import hashlib
import ipaddress
import logging
import os
import shlex
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upcall import __version__
from upcall.bus.memory import MemoryBus
from upcall.config import Settings
from upcall.containers import images
from upcall.containers.process import ProcessContainers
from upcall.controller.doors import Doors
from upcall.controller.operator import Operator
from upcall.controller.server import listen
from upcall.controller.service import Controller
from upcall.controller.subjects import ensure_subject
from upcall.controller.tls import PUBLIC, tls_context
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels
from upcall.core.stems import stem_cells
from upcall.errors import Misconfigured, Unavailable
from upcall.extras import missing
from upcall.host import pool_memory
from upcall.invoker.service import Invoker
from upcall.lifetime import Stop, fill_standard_streams
from upcall.model.messages import Topic
from upcall.model.names import InvokerId, Json
from upcall.model.runtimes import Image, Manifest, Runtime
from upcall.model.sizes import MB, bytes_text
from upcall.model.store_url import PostgresUrl
from upcall.ownership import owned, private_folder, unusable
from upcall.places import default_data
from upcall.ports import Bus
from upcall.store.cache import ActionCache
from upcall.store.choice import Storage, opened, retained
from upcall.telemetry import Log, set_up_logging
from upcall.watch import Watch, operator_credentials

if TYPE_CHECKING:
    from upcall.bus.kafka import KafkaBus

log = logging.getLogger("upcall")

GUEST = "guest"


def run(settings: Settings, say: Callable[[str], None]) -> int:
    """`upcall serve`: returns the exit code; `say` gets the lines for the user once the API answers. Raises
    Misconfigured where the platform cannot start, Unavailable where what it lives on is gone for good."""
    fill_standard_streams()
    logs = set_up_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_serve(settings, say, logs))
        except ExceptionGroup as group:
            if group.split(Unavailable)[1] is not None:
                raise
            raise _first(group) from None


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(settings: Settings, say: Callable[[str], None], logs: Log) -> int:
    stop = Stop()
    memory = pool_memory(settings.memory, settings.limits.memory)
    async with contextlib.AsyncExitStack() as stack:
        stop.listen(stack)
        data = private_folder(settings.data or default_data())
        owner = stack.enter_context(owned(data))
        stack.callback(_remove, run_folder(data))
        store = await stack.enter_async_context(opened(settings.store, data, settings.durability))
        auth = await _guest(store, data, settings)
        bus = await stack.enter_async_context(_bus(settings, store))
        listener = stack.enter_context(listen(settings.host, settings.port))
        tls = tls_context(settings.tls, settings.tls_cert, settings.tls_key, data, _names(settings.host))
        url = f"{'https' if tls else 'http'}://{reachable(settings.host)}:{listener.getsockname()[1]}"
        write_properties(data, url, auth)
        doors = Doors()
        containers = _containers(settings, data, url, doors)
        pool = _pool(settings, memory, containers.kinds)
        invoker = await stack.enter_async_context(_invoker(settings, pool, bus, store, containers))
        facts = _facts(settings, url, data, containers)
        watch = stack.enter_context(Watch(invoker, store, logs, facts, settings.metrics_tags).running())
        operator = _operator(settings, data, watch)
        controller = await stack.enter_async_context(
            _controller(
                settings, bus, store, watch, operator, kinds=containers.kinds, listener=listener, doors=doors, tls=tls
            )
        )
        await stack.enter_async_context(retained(store, settings.keep))
        owner.announce(controller.port)
        _freeze_heap()
        if tls is None and not _loopback(listener):
            log.warning("--host %s: other machines reach the API, by HTTP without encryption", settings.host)
        if not stop.asked.done():
            say(_ready_text(settings, url, memory, data))
        await asyncio.wait({controller.ended, stop.asked}, return_when=asyncio.FIRST_COMPLETED)
        if controller.ended.done():
            await controller.ended
        await _drain(controller, invoker, settings.grace)
        _tell_left(len(store.journal))
    return 1 if store.lost else 0


@contextlib.asynccontextmanager
async def _bus(settings: Settings, store: Storage) -> AsyncIterator[Bus]:
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
        await over.ensure(Topic(f"{_prefix(settings)}health", "ping"))
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


def _tell_left(count: int) -> None:
    if count:
        log.info("%d accepted activations have not started; they will with the next start", count)


async def _drain(controller: Controller, invoker: Invoker, grace: float) -> None:
    """Let callers have their answers and what runs its end, for `grace` seconds; then cut short what is left (D8)."""
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
        if isinstance(settings.store, PostgresUrl):
            raise Misconfigured(f"the store {settings.store.masked} cannot be used: {error}") from error
        raise unusable(data, store.trouble or "it takes no writes") from error


def _prefix(settings: Settings) -> str:
    """Of topics."""
    return settings.brokers.prefix if settings.bus == "kafka" and settings.brokers else ""


def _containers(settings: Settings, data: Path, url: str, doors: Doors) -> ProcessContainers:
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


def _pool(settings: Settings, memory: int, kinds: Sequence[str]) -> PoolConfig:
    cells = stem_cells(settings.prewarm, kinds, memory, settings.limits.memory.std)
    return PoolConfig(memory, settings.pool_pause_grace, settings.pool_idle_container, prewarm=cells)


def _invoker(settings: Settings, pool: PoolConfig, bus: Bus, store: Storage, containers: ProcessContainers) -> Invoker:
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
        prefix=_prefix(settings),
    )


def _controller(
    settings: Settings,
    bus: Bus,
    store: Storage,
    watch: Watch,
    operator: Operator,
    *,
    kinds: Sequence[str],
    listener: socket.socket,
    doors: Doors,
    tls: ssl.SSLContext | None,
) -> Controller:
    return Controller(
        "0",
        bus,
        store,
        listener=listener,
        doors=doors,
        tls=tls,
        manifest=manifest_of(kinds),
        limits=settings.limits,
        prefix=_prefix(settings),
        invokers=lambda: {"invoker0/0": "up" if watch.enabled else "down"},
        tid_header=settings.transactions_header,
        metrics=[watch.metrics] if settings.metrics else None,
        tags=settings.metrics_tags,
        measure=watch.measure,
        operator=operator,
    )


def _operator(settings: Settings, data: Path, watch: Watch) -> Operator:
    return Operator(operator_credentials(data, settings.operator_username, settings.operator_password), watch)


def _facts(settings: Settings, url: str, data: Path, containers: ProcessContainers) -> Callable[[], dict[str, Json]]:
    """What does not change while it runs."""
    return lambda: {
        "address": url,
        "data": str(data),
        "kinds": list(containers.kinds),
        "durability": settings.durability,
        **containers.facts(),
    }


def manifest_of(kinds: Sequence[str]) -> Manifest:
    """The kinds that run here, the first of a family its default, and the image of native executables."""
    families: dict[str, list[Runtime]] = {}
    for kind in kinds:
        family = families.setdefault(kind.partition(":")[0], [])
        image = Image(f"action-{kind.replace(':', '-v')}", "upcall")
        family.append(Runtime(kind, image, default=not family))
    return Manifest(families, [images.NATIVE])


def run_folder(data: Path) -> Path:
    """Where the sockets of this data folder's sandboxes lie: always the same, so that a later life finds what an
    earlier one left, and short, for a unix socket's path has 107 bytes."""
    user, given = os.getuid(), os.environ.get("XDG_RUNTIME_DIR", "")
    if user == 0:
        base = Path("/run/upcall")
    elif os.path.isdir(given) and os.stat(given).st_uid == user:  # `su` leaves the variable of the user before
        base = Path(given) / "upcall"
    else:
        base = Path(f"/tmp/upcall-{user}")  # noqa: S108 - the driver looks whose it is
    return base / hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]


def _remove(run: Path) -> None:
    """Nobody else uses it while the data folder is ours."""
    with contextlib.suppress(OSError):
        (run / "lock").unlink()
        run.rmdir()


def write_properties(data: Path, url: str, auth: str) -> None:
    """`.wskprops` of the data folder, for OpenWhisk's own tools; readable by this user alone."""
    path, fresh = data / ".wskprops", data / ".wskprops.new"
    text = f"APIHOST={url}\nAUTH={auth}\nNAMESPACE=_\nAPIVERSION=v1\n"
    try:
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise unusable(data, error) from error


def _loopback(listener: socket.socket) -> bool:
    address = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    return address.is_loopback


def reachable(host: str) -> str:
    """The host's part of a URL that this machine can use."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _names(host: str) -> list[str]:
    """What clients may call this server by, for a certificate."""
    names = ["localhost", socket.gethostname(), "127.0.0.1", "::1", reachable(host).strip("[]").partition("%")[0]]
    return [name for name in dict.fromkeys(names) if name and name.isascii()]


def _freeze_heap() -> None:
    """What is there now stays: collections need not look at it again (docs/DESIGN.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def _ready_text(settings: Settings, url: str, memory: int, data: Path) -> str:
    how = "in a sandbox of its own" if settings.isolation == "full" else "WITHOUT isolation"
    properties = data / ".wskprops"
    quoted = shlex.quote(str(properties))
    curl, wsk = "curl", ""
    whose = "wsk" if data == default_data().absolute() else "upcall and wsk"
    if settings.tls == "self-signed":
        curl, wsk = f"curl --cacert {shlex.quote(str(data / PUBLIC))}", "; self-signed, so: wsk -i"
    elif settings.tls_cert:
        curl = "curl -k"
    return (
        f"upcall {__version__} is ready at {url} ({memory / 1024:.1f} GB for actions, each {how})\n"
        f"  key and address: {properties} (for {whose}: export WSK_CONFIG_FILE={quoted}{wsk})\n"
        f'  try it:          {curl} -u "$(sed -n s/^AUTH=//p {quoted})" {url}/api/v1/namespaces/_/actions\n'
        f"  stop it:         Ctrl-C"
    )
