"""The Invoker on Kafka beside its floor: activations per second, latency produce → ack, CPU, memory.

A process of its own takes activation messages from `invoker0`, a client in the controller's role (`bench.controller`)
keeps so many of them in flight and takes the acks. The floor is a process that commits and answers and runs nothing
(`bench.echo`): same topics' settings, same client, same commit rule. Both are there all the time, and take turns. The
broker is the tests' own, the stores are SQLite and PostgreSQL (with fsync). CPU is time on a processor, divided by
activations. Trust that, and what is added to the floor in the same run. Of PostgreSQL it is told, too, what a record
and its commit take alone; with `UPCALL_DURABILITY=full` a result waits for that.
`bench/results/invoker.json` gets all rounds.

    python -m bench.invoker [--quick] [--store sqlite|postgresql]
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import msgspec

from bench import invoker_life
from bench.controller import Load, Template, percentile
from bench.nodes import committed, stored
from bench.processes import cpu, resident, spent
from bench.stage import CODE, Side, World, actions, floor, invoker, store_url, world

IN_FLIGHT = {1: 2000, 16: 6000, 256: 12_000}
"""And how many activations make a round."""
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


def measured(world: World, side: Side, template: Template, in_flight: int, count: int) -> tuple[Load, dict[str, float]]:
    """One turn of one side, warmed up."""
    world.controller.run(side.topic, template, in_flight, max(in_flight * 2, count // 10))
    time.sleep(0.1)
    broker = world.broker.pid
    before = costs(side, broker)
    load = world.controller.run(side.topic, template, in_flight, count)
    time.sleep(0.1)  # what follows the last ack: its record, the lazy commit
    each = [(late - early) / count * 1e6 for early, late in zip(before, costs(side, broker), strict=True)]
    return load, dict(zip(("cpu", "below", "broker"), each, strict=True))


def costs(side: Side, broker: int) -> tuple[float, float, float]:
    """Seconds of CPU of the side, of its runtimes, of the broker."""
    own = cpu(side.pid)
    return own, spent([side.pid]) - own, cpu(broker)


def one(world: World, side: Side, template: Template, store: str, action: str, in_flight: int, count: int) -> Round:
    load, each = measured(world, side, template, in_flight, count)
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
        rss=resident(side.pid),
        bad=load.bad,
        **each,
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
    """Every action at every depth, floor and Invoker by turns; then its life."""
    found: list[Round] = []
    with store_url(kind, world.folder) as url:
        made = actions()
        revisions = asyncio.run(stored(url, made))
        templates = [Template(action, rev, "bench") for action, rev in zip(made, revisions, strict=True)]
        print(f"{kind}: a record and its commit, alone: p50 {asyncio.run(committed(url, 200)):.2f} ms", flush=True)
        with floor(world) as echo, invoker(world, url, max(IN_FLIGHT)) as node:
            for name, template, in_flight in (
                (*each, depth) for depth in IN_FLIGHT for each in zip(CODE, templates, strict=True)
            ):
                count = int(IN_FLIGHT[in_flight] * scale)
                turns = [
                    [one(world, side, template, kind, name, in_flight, count) for side in (echo, node)]
                    for _ in range(rounds)
                ]
                print(line(row([turn[0] for turn in turns], [turn[1] for turn in turns])), flush=True)
                found += [each for turn in turns for each in turn]
        print(f"{kind}: {invoker_life.starts(world, url, max(rounds, 1))}", flush=True)
        if scale >= 1:
            print(f"{kind}: {invoker_life.memory(world, url, templates[-1], 100_000)}", flush=True)
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
