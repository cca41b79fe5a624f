"""Broker, database and a fleet on them, each a process; with the world that ends all of them end."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.system import networks
from tests.system.chaos.stage import COUNTER, ROOT, Runs, adopt_orphans, counted, end_all, own_mounts
from tests.system.fleet.member import Member
from tests.system.kafka import Broker, jars
from tests.system.postgres import Server, programs

AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"
CONTROLLERS, INVOKERS = 2, 2
SESSION = 6.0
"""Seconds until the broker takes a silent consumer for dead."""


class World:
    """`runs` counts how often code ran; None where an ordinary user's actions cannot tell."""

    def __init__(self, folder: Path, broker: Broker, server: Server, database: str, runs: Runs | None) -> None:
        self.folder = folder
        self.broker = broker
        self.server = server
        self.database = database
        self.runs = runs
        self.controllers = [self._member("controller", number) for number in range(CONTROLLERS)]
        self.invokers = [self._member("invoker", number) for number in range(INVOKERS)]

    @property
    def members(self) -> list[Member]:
        return [*self.controllers, *self.invokers]

    @property
    def counter(self) -> list[str | int] | None:
        """Where actions tell that they run."""
        return [networks.WORLD, COUNTER] if self.runs else None

    def _member(self, role: str, number: int) -> Member:
        environment = {
            "KAFKA_HOSTS": self.broker.bootstrap,
            "UPCALL_STORE": self.database,
            "UPCALL_LOG_FORMAT": "json",
            "LIMITS_ACTIONS_INVOKES_PERMINUTE": "1000000",
            "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000000",
            "CONFIG_whisk_kafka_consumer_sessionTimeoutMs": str(int(SESSION * 1000)),
            "CONFIG_whisk_kafka_consumer_heartbeatIntervalMs": "1500",
        }
        if role == "controller":
            return Member("controller", number, self.folder, {**environment, "UPCALL_AUTH": AUTH}, AUTH)
        sandboxes = {
            "UPCALL_MEMORY": "1 GB",
            "UPCALL_ACTION_NETWORK": "private" if ROOT else "none",
            "UPCALL_POOL_PAUSE_GRACE": "1 s",
            "TMPDIR": str(self.folder / "tmp"),
            "XDG_RUNTIME_DIR": str(self.folder / "tmp"),
        }
        return Member("invoker", number, self.folder, {**environment, **sandboxes}, AUTH)

    def start(self) -> None:
        """All members, one after the other."""
        for member in self.members:
            member.start()

    def end(self) -> None:
        """At once, whatever state they are in."""
        for member in self.members:
            member.kill()


@contextlib.contextmanager
def made(folder: Path | None) -> Iterator[World]:
    """For a process of its own, for its namespaces are changed. Nothing of the fleet outlives it."""
    adopt_orphans()
    bin = programs()
    assert bin is not None, "a real PostgreSQL is needed: scripts/setup test"
    libs = jars()  # may be fetched, which takes the machine's network
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="fleet"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for part in ("tmp", "kafka"):
            (folder / part).mkdir(parents=True)
        if ROOT:
            own_mounts()
        runs = counted(stack) if ROOT else None
        stack.callback(end_all)
        broker = Broker(libs, folder / "kafka")
        stack.callback(broker.kill)
        broker.start()
        base = Path(tempfile.mkdtemp(prefix="uppg"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        server = Server(base, bin)
        stack.callback(server.kill)
        server.start()
        world = World(folder, broker, server, asyncio.run(server.database()), runs)
        stack.callback(world.end)
        yield world
