"""What a bench of the Invoker on Kafka needs: broker, store, topics, client, and the processes that take turns."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.controller import Controller
from bench.nodes import await_ready, await_text, started
from tests.system import postgres
from tests.system.kafka import Broker, free_ports, jars
from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.model.entities import Action, ActionLimits
from upcall.model.messages import Topic
from upcall.testing import an_action

CODE = {
    "prints nothing": "def main(args):\n    return {'n': args['name']}\n",
    "prints a line": "def main(args):\n    print('one line')\n    return {'n': args['name']}\n",
}
MEMORY = 128
"""MB of an action: as many containers as there may be activations in flight."""
ACK_BYTES = 740


class World(msgspec.Struct):
    """What runs, and where."""

    folder: Path
    broker: Broker
    brokers: Brokers
    controller: Controller


class Side(msgspec.Struct):
    """One of the two, as the client sees it."""

    name: str
    topic: str
    pid: int
    seconds: float
    """exec → ready"""


def actions() -> list[Action]:
    limits = ActionLimits(60_000, MEMORY, 10)
    return [an_action(name.replace(" ", "-"), code=code, limits=limits) for name, code in CODE.items()]


@contextlib.contextmanager
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        broker = Broker(jars(), Path(folder))
        broker.start()
        try:
            brokers = Brokers(hosts=broker.bootstrap)
            asyncio.run(_topics(brokers, Topic("floor", "activation"), Topic("completedbench", "ack")))
            controller = Controller(brokers, "completedbench")
            yield World(Path(folder), broker, brokers, controller)
            controller.close()
        finally:
            broker.kill()


async def _topics(brokers: Brokers, *topics: Topic) -> None:
    bus = KafkaBus(brokers, 1 << 20)
    for topic in topics:
        await bus.ensure(topic)
    await bus.close()


@contextlib.contextmanager
def store_url(kind: str, folder: Path) -> Iterator[str]:
    """A fresh one: a file's path or a server's URL."""
    if kind == "sqlite":
        (folder / "store").mkdir(mode=0o700)
        yield str(folder / "store" / "upcall.db")
        return
    bin = postgres.programs()
    assert bin is not None, "PostgreSQL is missing: scripts/setup test"
    postgres.SETTINGS.update(fsync="on", full_page_writes="on")  # the tests do without
    with tempfile.TemporaryDirectory(prefix="uppg") as place:
        server = postgres.Server(Path(place), bin)
        server.start()
        try:
            yield asyncio.run(server.database())
        finally:
            server.kill()


@contextlib.contextmanager
def floor(world: World) -> Iterator[Side]:
    log = world.folder / "floor.log"
    command = ["-m", "bench.echo", world.broker.bootstrap, "floor", "completedbench", str(ACK_BYTES)]
    with started(command, {}, log) as process:
        yield Side("floor", "floor", process.pid, await_text(process, log, "ready"))


@contextlib.contextmanager
def invoker(world: World, url: str, slots: int) -> Iterator[Side]:
    log = world.folder / "invoker.log"
    store = url if "://" in url else f"sqlite:///{url}"
    environment = {
        "KAFKA_HOSTS": world.broker.bootstrap,
        "UPCALL_STORE": store,
        "UPCALL_ACTION_NETWORK": "none",
        "UPCALL_MEMORY": f"{slots * MEMORY} MB",
        "UPCALL_PREWARM": "none",
    }
    port = free_ports(1)[0]
    options = ["--id", "0", "--host", "127.0.0.1", "--port", str(port), "--data", str(world.folder / "node")]
    began = time.monotonic()
    with started(["-m", "upcall", "invoker", *options], environment, log) as process:
        await_ready(process, log, port)
        yield Side("upcall", "invoker0", process.pid, time.monotonic() - began)
