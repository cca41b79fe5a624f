"""Wiring: which adapters stand behind the ports, and one process's life from start to exit code.

`upcall serve` runs both shells in one process: memory bus, SQLite in the data folder, sandboxes of this host. The order
of the start is the order of need (store, guest, address, Invoker with its containers, HTTP); stopping goes the other
way, and what it may cost is one budget: callers get their answers first, then what runs without a caller may end, then
sandboxes go and records are flushed (D8). A second signal stops at once.
"""

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from upcall import __version__
from upcall.bus.memory import MemoryBus
from upcall.config import Settings
from upcall.containers.process import ProcessContainers
from upcall.controller.server import listen
from upcall.controller.service import Controller
from upcall.controller.subjects import ensure_subject
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels
from upcall.host import default_pool_memory
from upcall.invoker.service import Invoker
from upcall.model.names import InvokerId
from upcall.model.runtimes import Image, Manifest, Runtime
from upcall.model.sizes import MB, bytes_text
from upcall.ownership import owned, private_folder
from upcall.store.cache import ActionCache
from upcall.store.sqlite import SqliteStore
from upcall.telemetry import set_up_logging

log = logging.getLogger("upcall")

GUEST = "guest"


def run(settings: Settings, say: Callable[[str], None]) -> int:
    """`upcall serve`: returns the exit code; `say` gets the lines for the user once the API answers. Raises
    Misconfigured where the platform cannot start."""
    set_up_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, say))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(settings: Settings, say: Callable[[str], None]) -> int:
    stop = Stop()
    memory = settings.memory or default_pool_memory()
    async with contextlib.AsyncExitStack() as stack:
        data = private_folder(settings.data or default_data())
        owner = stack.enter_context(owned(data))
        store = await stack.enter_async_context(SqliteStore(data / "upcall.db", settings.durability))
        auth = await ensure_subject(store, GUEST, settings.auth)
        bus = MemoryBus()
        listener = stack.enter_context(listen(settings.host, settings.port))
        url = f"http://{_reachable(settings.host)}:{listener.getsockname()[1]}"
        containers = _containers(settings, data, url)
        pool = PoolConfig(memory, settings.pool_pause_grace, settings.pool_idle_container)
        stop.listen(stack)
        invoker = await stack.enter_async_context(_invoker(settings, pool, bus, store, containers))
        controller = await stack.enter_async_context(
            _controller(settings, bus, store, invoker, containers, listener=listener)
        )
        owner.announce(controller.port)
        write_properties(data, url, auth)
        _freeze_heap()
        say(_ready_text(settings, url, memory, data))
        await asyncio.wait({controller.ended, stop.asked}, return_when=asyncio.FIRST_COMPLETED)
        began = time.monotonic()
        log.info("stopping: running activations may take %g s to end; a second signal stops at once", settings.grace)
        await controller.stop(settings.grace)
        await invoker.drain(max(0.0, settings.grace - (time.monotonic() - began)))
    return 0


class Stop:
    """SIGTERM and SIGINT: the first asks for a stop, the second ends the process at once; what it leaves is cleared
    away by the guardian."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def listen(self, stack: contextlib.AsyncExitStack) -> None:
        """Until the stack is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
            stack.callback(loop.remove_signal_handler, number)

    def _signalled(self, number: signal.Signals) -> None:
        if self.asked.done():
            log.warning("stopped at once by a second signal; what was running has no record")
            logging.shutdown()
            os._exit(128 + number)
        self.asked.set_result(None)


def _containers(settings: Settings, data: Path, url: str) -> ProcessContainers:
    return ProcessContainers(
        run_folder(data),
        isolation=settings.isolation,
        api_host=url,
        log_bound=settings.limits.logs.max * MB,
    )


def _invoker(
    settings: Settings, pool: PoolConfig, bus: MemoryBus, store: SqliteStore, containers: ProcessContainers
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
    )


def _controller(
    settings: Settings,
    bus: MemoryBus,
    store: SqliteStore,
    invoker: Invoker,
    containers: ProcessContainers,
    *,
    listener: socket.socket,
) -> Controller:
    return Controller(
        "0",
        bus,
        store,
        listener=listener,
        manifest=manifest_of(containers.kinds),
        limits=settings.limits,
        invokers=lambda: {"invoker0/0": "up" if invoker.enabled else "down"},
        tid_header=settings.transactions_header,
    )


def manifest_of(kinds: Sequence[str]) -> Manifest:
    """The kinds that run here, the first of a family its default."""
    families: dict[str, list[Runtime]] = {}
    for kind in kinds:
        family = families.setdefault(kind.partition(":")[0], [])
        image = Image(f"action-{kind.replace(':', '-v')}", "upcall")
        family.append(Runtime(kind, image, default=not family))
    return Manifest(families)


def default_data() -> Path:
    """`$XDG_DATA_HOME/upcall`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "upcall"


def run_folder(data: Path) -> Path:
    """Where the sockets of this data folder's sandboxes lie: always the same, so that a later life finds what an
    earlier one left, and short, for a unix socket's path has 107 bytes."""
    if os.getuid() == 0:
        base = Path("/run/upcall")
    else:
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/upcall-{os.getuid()}")  # noqa: S108 - made private
    return base / hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]


def write_properties(data: Path, url: str, auth: str) -> None:
    """`.wskprops` of the data folder, for OpenWhisk's own tools; readable by this user alone."""
    path, fresh = data / ".wskprops", data / ".wskprops.new"
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"APIHOST={url}\nAUTH={auth}\nNAMESPACE=_\nAPIVERSION=v1\n")
    fresh.replace(path)


def _reachable(host: str) -> str:
    """The host's part of a URL that this machine can use."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _freeze_heap() -> None:
    """What is there now stays: collections need not look at it again (docs/DESIGN.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def _ready_text(settings: Settings, url: str, memory: int, data: Path) -> str:
    how = "in a sandbox of its own" if settings.isolation == "full" else "WITHOUT isolation"
    properties = data / ".wskprops"
    return (
        f"upcall {__version__} is ready at {url} ({memory / 1024:.1f} GB for actions, each {how})\n"
        f"  key and address: {properties} (for wsk: export WSK_CONFIG_FILE={properties})\n"
        f'  try it:          curl -u "$(sed -n s/^AUTH=//p {properties})" {url}/api/v1/namespaces/_/actions\n'
        f"  stop it:         Ctrl-C"
    )
