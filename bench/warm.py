"""Warm activations through `upcall serve` with sandboxes, beside the same runtimes asked directly; sides by turns.

Through the platform a call comes over TCP and goes on over the runtime's unix socket; a direct one goes to such a
socket of a sandbox that the same driver made, as many as there are connections. Calls are authenticated, limits counted
(and too high to be reached), records stored and in the end counted, logs collected. `--memory` promises more than there
may be: no action uses its 128 MB.
"""

import asyncio
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from bench import floors
from bench.load import post
from bench.processes import below, proportional, resident
from bench.row import Incomplete, Row, first_line
from bench.served import BODY, make, node_kind, served
from bench.sides import Samples, Side, by_turns, ratio, rows_of
from tests.system.serving import Platform

PYTHON = "def main(args):\n    return {'n': args.get('n')}\n"
PRINTING = "def main(args):\n    print('one line')\n    return {'n': args.get('n')}\n"
NODE = "function main(args) { return { n: args.n }; }\n"
NODE_PRINTING = "function main(args) { console.log('one line'); return { n: args.n }; }\n"
KIND = "python:3"
CONNECTIONS = (1, 10, 50)
CPU_TARGET = 55.0
ABREAST = 10
"""Activations at a time that a container with concurrency takes."""
PATIENCE = 60.0
OPEN = {"LIMITS_ACTIONS_INVOKES_CONCURRENT": "100000", "UPCALL_LIMITS_CONCURRENCY_MAX": "10"}


class Pace(msgspec.Struct, frozen=True):
    """Rounds, seconds of one side in a round, and connections of Node.js, whose processes take long to start."""

    rounds: int
    seconds: float
    node: tuple[int, ...] = CONNECTIONS


Group = Callable[[Pace], Awaitable[list[Row]]]
"""A comparison, whose sides take turns."""


async def rows(quick: bool, rounds: int = 0) -> list[Row]:
    """Raises Incomplete where one of the comparisons fails: they know nothing of each other."""
    from bench import mixed

    pace = Pace(rounds or 1, 0.2, CONNECTIONS[:2]) if quick else Pace(rounds or 3, 1.5)
    kind = node_kind()
    groups: list[Group] = [python, *([partial(node, kind=kind)] if kind else []), *mixed.groups(quick)]
    found, failures = [], []
    for group in groups:
        try:
            found += await group(pace)
        except Exception as failure:  # noqa: BLE001 - it is told
            traceback.print_exc()
            failures.append(first_line(failure))
    if failures:
        raise Incomplete(found, failures)
    return found


def invoke(platform: Platform, action: str, body: bytes = BODY, query: str = "blocking=true&result=true") -> bytes:
    path = f"/api/v1/namespaces/_/actions/{action}?{query}"
    return post(path, body, "Authorization: Basic " + b64encode(platform.auth.encode()).decode())


def through(platform: Platform, name: str, action: str, connections: int, body: bytes = BODY, count: int = 0) -> Side:
    return Side(
        f"{name}, c={connections}",
        [("127.0.0.1", platform.port)],
        [invoke(platform, action, body)],
        connections,
        [platform.process.pid],
        platform=True,
        count=count,
    )


@asynccontextmanager
async def platform(memory: int, sides: list[Side]) -> AsyncIterator[Platform]:
    """With GB for actions. Raises RuntimeError where in the end not each answer of its sides has its record."""
    with served("--memory", f"{memory} GB", **OPEN) as made:
        yield made
        await stored(made, sum(side.answered for side in sides if side.platform))


async def stored(made: Platform, wanted: int) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (there := made.call("GET", "activations?count=true").body["activations"]) != wanted:
        if asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"{wanted} answers, {there} records")
        await asyncio.sleep(0.1)


def printed(made: Platform, action: str) -> None:
    """Raises RuntimeError where records of an action that prints lack the line."""
    records = made.call("GET", f"activations?name={action}&limit=200&docs=true").body
    if not records or not all(len(each["logs"]) == 1 for each in records):
        raise RuntimeError(f"{action} prints a line, and not each record has it")


async def python(pace: Pace) -> list[Row]:
    sides: list[Side] = []
    async with floors.driver() as driver, platform(32, sides) as made:
        make(made, ["quiet"], KIND, PYTHON)
        make(made, ["printing"], KIND, PRINTING)
        sockets = await driver.sandboxes(KIND, PYTHON, max(CONNECTIONS))
        ports = await driver.sandboxes(KIND, PYTHON, max(CONNECTIONS), tcp=True)
        with floors.responders() as responders:
            for number in CONNECTIONS:
                for socket, (address, pid) in responders.items():
                    name = f"responder in C, {socket}, c={number}"
                    sides.append(Side(name, [address], [floors.run_request(BODY)], number, [pid]))
                sides += [driver.side("Python direct", each[:number], number, BODY) for each in (sockets, ports)]
                sides += targets(
                    number, *(through(made, f"Python {each}", each, number) for each in ("quiet", "printing"))
                )
            samples = await by_turns(sides, pace.rounds, pace.seconds)
        printed(made, "printing")
        found = [row for side in sides for row in rows_of(side, samples[side.name])]
        found += against("Python", "Python quiet", samples, {50: 0.45})
        ours, floor = samples["Python quiet, c=50"], samples["Python direct, tcp, c=50"]
        found.append(ratio("Python, through / direct over TCP, c=50", ours, floor))
        return found + weight(made, "Python", 32)


async def node(pace: Pace, kind: str) -> list[Row]:
    sides: list[Side] = []
    async with floors.driver() as driver, platform(32, sides) as made:
        make(made, ["quiet"], kind, NODE)
        make(made, ["printing"], kind, NODE_PRINTING)
        shared = {"exec": {"kind": kind, "code": NODE}, "limits": {"memory": 128, "concurrency": ABREAST}}
        if (answer := made.call("PUT", "actions/abreast", shared)).status != 200:
            raise RuntimeError(answer.body)
        sockets = await driver.sandboxes(kind, NODE, max(pace.node))
        one = await driver.sandboxes(kind, NODE, 1, concurrency=ABREAST)
        for number in pace.node:
            sides.append(driver.side("Node.js direct", sockets[:number], number, BODY))
            sides += targets(
                number, *(through(made, f"Node.js {each}", each, number) for each in ("quiet", "printing"))
            )
        sides.append(driver.side("Node.js direct, one container for all", one, ABREAST, BODY))
        sides.append(through(made, "Node.js quiet, one container for all", "abreast", ABREAST))
        samples = await by_turns(sides, pace.rounds, pace.seconds)
        printed(made, "printing")
        found = [row for side in sides for row in rows_of(side, samples[side.name])]
        found += against("Node.js", "Node.js quiet", samples, {10: 0.6}, pace.node)
        shared_name = "Node.js {}, one container for all{}, c=10"
        ours, floor = samples[shared_name.format("quiet", "")], samples[shared_name.format("direct", ", unix")]
        return [*found, ratio("Node.js, one container for all, through / direct, c=10", ours, floor)]


def targets(connections: int, *sides: Side) -> Sequence[Side]:
    """Sides, which have one where ten or more are in flight."""
    for side in sides:
        side.target = CPU_TARGET if connections >= 10 else None
    return sides


def against(
    kind: str, ours: str, samples: Samples, wanted: dict[int, float], connections: Sequence[int] = CONNECTIONS
) -> list[Row]:
    """Rates, and what is added to p50, beside the direct ones."""
    found = []
    for number in connections:
        through, direct = samples[f"{ours}, c={number}"], samples[f"{kind} direct, unix, c={number}"]
        found.append(ratio(f"{kind}, through / direct, c={number}", through, direct, wanted.get(number)))
    pairs = zip(samples[f"{ours}, c=1"], samples[f"{kind} direct, unix, c=1"], strict=True)
    added = [(a.load.percentile(0.5) - b.load.percentile(0.5)) * 1e6 for a, b in pairs]
    return [*found, Row("warm", f"{kind}, added to p50 of direct, c=1", "µs", added, 150.0)]


def weight(made: Platform, kind: str, memory: int) -> list[Row]:
    """Of the platform's process and of all below it, after the load."""
    pid = made.process.pid
    note = f"--memory {memory} GB"
    return [
        Row("warm", f"{kind}, the platform after the load: RSS", "MiB", [resident(pid)], note=note),
        Row("warm", f"{kind}, the platform after the load: PSS", "MiB", [proportional([pid])], note=note),
        Row("warm", f"{kind}, {len(below(pid))} processes below it: PSS", "MiB", [proportional(below(pid))], note=note),
    ]
