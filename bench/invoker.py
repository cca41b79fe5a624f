"""The Invoker on Kafka beside its floor: activations per second, latency produce → ack, CPU, memory.

A process of its own takes activation messages from `invoker0`, a client in the controller's role (`bench.controller`)
keeps so many of them in flight and takes the acks. The floor is a process that commits and answers and runs nothing
(`bench.echo`): same topics' settings, same client, same commit rule. Both are there all the time, and take turns. The
broker is the tests' own, the stores are SQLite and PostgreSQL (with fsync). CPU is time on a processor, divided by
activations. Trust that, and what is added to the floor in the same run. `bench/results/invoker.json` gets all rounds.

    python -m bench.invoker [--quick] [--store sqlite|postgresql] [--memory]
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.controller import Controller, Load, Template, percentile
from bench.nodes import await_ready, await_text, below, cpu, memory, started, stored
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
IN_FLIGHT = {1: 2000, 16: 6000, 256: 12_000}
"""And how many activations make a round."""
MEMORY = 128
"""MB of an action: as many containers as there may be activations in flight."""
ACK_BYTES = 740
RESULTS = Path(__file__).parent / "results" / "invoker.json"


class Round(msgspec.Struct):
    """Latencies in ms, CPU in us per activation; `cpu` is the Invoker's or the floor's, `below` that of its
    runtimes."""

    side: str
    store: str
    action: str
    in_flight: int
    rate: float
    p50: float
    p99: float
    slot_p50: float
    cpu: float
    below: float
    client: float
    broker: float
    rss: float
    bad: int


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


def measured(world: World, side: Side, template: Template, in_flight: int, count: int) -> tuple[Load, dict[str, float]]:
    """One turn of one side, warmed up."""
    world.controller.run(side.topic, template, in_flight, max(in_flight * 2, count // 10))
    time.sleep(0.1)
    broker = world.broker.pid
    before = cpu(side.pid), below(side.pid), cpu(broker)
    load = world.controller.run(side.topic, template, in_flight, count)
    time.sleep(0.1)  # what follows the last ack: its record, the lazy commit
    after = cpu(side.pid), below(side.pid), cpu(broker)
    spent = [(late - early) / count * 1e6 for early, late in zip(before, after, strict=True)]
    return load, dict(zip(("cpu", "below", "broker"), spent, strict=True))


def one(world: World, side: Side, template: Template, store: str, action: str, in_flight: int, count: int) -> Round:
    load, spent = measured(world, side, template, in_flight, count)
    return Round(
        side=side.name,
        store=store,
        action=action,
        in_flight=in_flight,
        rate=load.rate,
        p50=percentile(load.results, 0.5) * 1e3,
        p99=percentile(load.results, 0.99) * 1e3,
        slot_p50=percentile(load.slots, 0.5) * 1e3,
        client=load.cpu / count * 1e6,
        rss=memory(side.pid),
        bad=load.bad,
        **spent,
    )


COLUMNS = {
    "store": 11,
    "action": 15,
    "flight": 6,
    "added p50 ms": 19,
    "floor p50, p99": 15,
    "upcall p50, p99": 16,
    "slot": 7,
    "floor/s": 8,
    "upcall/s": 9,
    "Invoker CPU µs": 16,
    "runtime": 8,
    "client": 7,
    "broker": 7,
    "floor": 6,
    "bad": 4,
}
"""And their widths; `slot` is the p50 of the ack that frees it, the last `floor` its CPU."""


def line(cells: list[str]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True))


def spread(values: list[float], digits: int) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def middle(rounds: list[Round], field: str, digits: int = 0) -> str:
    return f"{statistics.median(getattr(each, field) for each in rounds):.{digits}f}"


def row(floors: list[Round], ours: list[Round]) -> list[str]:
    first = ours[0]
    return [
        first.store,
        first.action,
        str(first.in_flight),
        spread([mine.p50 - other.p50 for other, mine in zip(floors, ours, strict=True)], 2),
        *(f"{middle(side, 'p50', 2)}, {middle(side, 'p99', 1)}" for side in (floors, ours)),
        middle(ours, "slot_p50", 2),
        middle(floors, "rate"),
        middle(ours, "rate"),
        spread([each.cpu for each in ours], 0),
        *(middle(ours, field) for field in ("below", "client", "broker")),
        middle(floors, "cpu"),
        str(sum(each.bad for each in ours)),
    ]


def compare(world: World, kind: str, rounds: int, scale: float) -> list[Round]:
    """Every action at every depth, floor and Invoker by turns."""
    found: list[Round] = []
    with store_url(kind, world.folder) as url:
        made = actions()
        revisions = asyncio.run(stored(url, made))
        with floor(world) as echo, invoker(world, url, max(IN_FLIGHT)) as node:
            for (name, action, revision), in_flight in (
                (each, depth) for depth in IN_FLIGHT for each in zip(CODE, made, revisions, strict=True)
            ):
                template, count = Template(action, revision, "bench"), int(IN_FLIGHT[in_flight] * scale)
                turns = [
                    [one(world, side, template, kind, name, in_flight, count) for side in (echo, node)]
                    for _ in range(rounds)
                ]
                print(line(row([turn[0] for turn in turns], [turn[1] for turn in turns])), flush=True)
                found += [each for turn in turns for each in turn]
            print(f"RSS {memory(node.pid):.0f} MiB, most {memory(node.pid, 'VmHWM'):.0f} MiB")
    return found


def written(rounds: list[Round], load: float) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    told: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load_average": load,
        "cores": os.cpu_count(),
        "rounds": [msgspec.to_builtins(each) for each in rounds],
    }
    RESULTS.write_text(json.dumps(told, indent=1))


def main(kinds: list[str], rounds: int, scale: float) -> None:
    load, found = os.getloadavg()[0], []
    print(f"load average {load:.1f}, {os.cpu_count()} cores; medians of {rounds} rounds, least and most in brackets")
    print(line(list(COLUMNS)))
    for kind in kinds:
        with world() as here:
            found += compare(here, kind, rounds, scale)
    written(found, load)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--store", choices=["sqlite", "postgresql"], help="this one alone")
    options = parser.parse_args()
    chosen = [options.store] if options.store else ["sqlite", "postgresql"]
    main(chosen, 1 if options.quick else 3, 0.2 if options.quick else 1.0)
