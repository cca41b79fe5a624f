"""Warm activations of other shapes: not waited for, large, of many actions, over many connections."""

import asyncio
import random
from functools import partial

import msgspec

from bench import floors
from bench.client import load
from bench.processes import below
from bench.row import Row
from bench.served import make
from bench.sides import Side, by_turns, ratio, rows_of
from bench.warm import KIND, PYTHON, Group, Pace, invoke, platform, through
from tests.system.serving import Platform

ECHO = "def main(args):\n    return args\n"
PAYLOADS = {"100 B": (100, 0), "1 kB": (1000, 0), "100 kB": (100_000, 300), "1 MB": (1_000_000, 40)}
"""Bytes, and calls of a round: what is large is also stored. 0: as many as come."""
ACCEPTED = 5000
"""Calls that nobody waits for, by the second of a round: the platform has up to 10,000 of them under way."""
MANY = 1000
SEED = 9


def groups(quick: bool) -> list[Group]:
    """Of all in this file."""
    crowds = [partial(connections, gigabytes=gigabytes) for gigabytes in (2, 16)]
    return [not_waited_for, payloads, *crowds, partial(many_actions, count=200 if quick else 1000)]


async def not_waited_for(pace: Pace) -> list[Row]:
    """`rate` is of 202s, `completed` of activations until the last one has ended."""
    sides: list[Side] = []
    async with platform(16, sides) as made:
        make(made, ["quiet"], KIND, PYTHON)
        for number in (10, 50):
            side = through(made, "Python, non-blocking", "quiet", number)
            side.requests = [invoke(made, "quiet", query="blocking=false")]
            side.over, side.count, side.before = lambda: _idle(made), round(pace.seconds * ACCEPTED), 1000
            sides.append(side)
        samples = await by_turns(sides, pace.rounds, pace.seconds)
        return [row for side in sides for row in rows_of(side, samples[side.name])]


async def _idle(made: Platform) -> None:
    """Wait until no activation is under way."""
    while True:
        connection = made.connect()
        connection.request("GET", "/activation/count")
        under_way = int(connection.getresponse().read())
        connection.close()
        if not under_way:
            return
        await asyncio.sleep(0.02)


async def payloads(pace: Pace) -> list[Row]:
    """There and back again."""
    sides: list[Side] = []
    async with floors.driver() as driver, platform(16, sides) as made:
        make(made, ["echo"], KIND, ECHO)
        sockets = await driver.sandboxes(KIND, ECHO, 10)
        for name, (size, count) in PAYLOADS.items():
            body = msgspec.json.encode({"p": "x" * (size - len('{"p":""}'))})
            sides.append(driver.side(f"Python direct, {name} echoed", sockets, 10, body, count))
            sides.append(through(made, f"Python, {name} echoed", "echo", 10, body, count))
            sides[-2].before = sides[-1].before = 20 if count else 0
        samples = await by_turns(sides, pace.rounds, pace.seconds)
        found = [row for side in sides for row in rows_of(side, samples[side.name])]
        for floor, ours, (name, (size, _)) in zip(sides[::2], sides[1::2], PAYLOADS.items(), strict=True):
            if any(each.load.body_bytes < each.load.answered * size for each in samples[ours.name]):
                raise RuntimeError(f"not all of {name} came back")
            found.append(
                ratio(f"Python, {name} echoed, through / direct, c=10", samples[ours.name], samples[floor.name])
            )
        return found


async def connections(pace: Pace, gigabytes: int) -> list[Row]:
    """Many callers beside few, for as many sandboxes as `--memory` allows: what all of them cost is another matter than
    what callers do."""
    sides: list[Side] = []
    async with platform(gigabytes, sides) as made:
        make(made, ["quiet"], KIND, PYTHON)
        what = f"Python, --memory {gigabytes} GB"
        sides += [through(made, f"{what}, beside c=1000", "quiet", number) for number in (10, 50)]
        sides.append(through(made, what, "quiet", MANY))
        sides[-1].before = 5 * MANY
        samples = await by_turns(sides, pace.rounds, pace.seconds)
        note = f"at most {gigabytes * 8} sandboxes"
        found = [row for side in sides for row in rows_of(side, samples[side.name], note)]
        *few, many = samples.values()
        best = [max(each, key=lambda sample: sample.load.rate) for each in zip(*few, strict=True)]
        return [*found, ratio(f"{what}, c=1000 / the best of c=10 and 50", many, best, 0.9)]


async def many_actions(pace: Pace, count: int) -> list[Row]:
    """Actions called as often as Zipf has it, beside one."""
    sides: list[Side] = []
    async with platform(200, sides) as made:
        await _create(made, count)
        names = [f"each{number}" for number in range(count)]
        generator = random.Random(SEED)
        order = generator.choices(range(count), [1 / (rank + 1) for rank in range(count)], k=20 * count)
        mix = through(made, f"Python, {count} actions, Zipf", names[0], 10)
        mix.requests = [invoke(made, name) for name in names]
        first = Side("first calls", mix.addresses, mix.requests, 4, mix.pids, platform=True)
        await first.warm_up(count)
        mix.order, mix.before = order, len(order)
        one = through(made, f"Python, one of {count} actions", names[0], 10)
        sides += [first, one, mix]
        samples = await by_turns([one, mix], pace.rounds, pace.seconds)
        found = [row for side in (one, mix) for row in rows_of(side, samples[side.name], "--memory 200 GB")]
        found.append(
            Row("warm", f"Python, {count} actions: processes of their sandboxes", "", [len(below(mix.pids[0]))])
        )
        return [*found, ratio(f"Python, {count} actions / one of them, c=10", samples[mix.name], samples[one.name])]


async def _create(made: Platform, count: int) -> None:
    """`each<number>`"""
    body = msgspec.json.encode({"exec": {"kind": KIND, "code": PYTHON}, "limits": {"memory": 128}})
    requests = [
        invoke(made, f"each{number}", body, "overwrite=false").replace(b"POST", b"PUT", 1) for number in range(count)
    ]
    await load([("127.0.0.1", made.port)], requests, 4, count=count)
