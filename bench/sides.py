"""What is under load, by turns: the platform, or what it is compared with."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from bench.client import Address, Load, load
from bench.processes import cpu, spent
from bench.row import Row

_SETTLED = 0.05
"""Seconds after an answer until its record is stored, ten times over."""


class Sample(msgspec.Struct):
    """A round: the load, and CPU in µs per answer of the platform's process, of runtimes (or a responder), and of the
    client."""

    load: Load
    platform: float
    runtimes: float
    client: float
    completed: float = 0.0
    """Activations per second until none was under way."""


class Side(msgspec.Struct):
    """`pids` are the platform's one process, or what answers in its place; `answered` counts all that ever were."""

    name: str
    addresses: Sequence[Address]
    requests: Sequence[bytes]
    connections: int
    pids: Sequence[int]
    platform: bool = False
    order: Sequence[int] = ()
    count: int = 0
    """Of a round; 0: as many as the time allows."""
    over: Callable[[], Awaitable[None]] | None = None
    """Waits until what was accepted has ended."""
    target: float | None = None
    """CPU of the platform."""
    before: int = 0
    """Answers of the warm-up, where its connections do not say how many."""
    answered: int = 0

    async def warm_up(self, count: int) -> None:
        done = await load(self.addresses, self.requests, self.connections, count=count, order=self.order)
        self.answered += done.answered
        await self._settle()

    async def sample(self, seconds: float) -> Sample:
        before, began = self._spent(), asyncio.get_running_loop().time()
        bound = {"count": self.count} if self.count else {"seconds": seconds}
        done = await load(self.addresses, self.requests, self.connections, order=self.order, **bound)
        self.answered += done.answered
        await self._settle()
        took = asyncio.get_running_loop().time() - began
        each = [(b - a) / done.answered * 1e6 for a, b in zip(before, self._spent(), strict=True)]
        return Sample(done, each[0], each[1], done.cpu / done.answered * 1e6, done.answered / took)

    async def _settle(self) -> None:
        if self.over is not None:
            await self.over()
        elif self.platform:
            await asyncio.sleep(_SETTLED)

    def _spent(self) -> tuple[float, float]:
        whole = spent(self.pids)
        own = cpu(self.pids[0]) if self.platform else 0.0
        return own, whole - own


Samples = dict[str, list[Sample]]
"""By the names of sides."""


async def by_turns(sides: Sequence[Side], rounds: int, seconds: float) -> Samples:
    """Each warmed up; each round in the other direction."""
    found: Samples = {side.name: [] for side in sides}
    for side in sides:
        await side.warm_up(side.before or side.count or max(200, 20 * side.connections))
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        for side in sides if number % 2 else reversed(sides):
            found[side.name].append(await side.sample(seconds))
    return found


def rows_of(side: Side, samples: Sequence[Sample], note: str = "") -> list[Row]:
    """What each round of a side came to."""

    def row(what: str, unit: str, values: list[float], target: float | None = None) -> Row:
        return Row("warm", f"{side.name}: {what}", unit, values, target, "more" if unit == "/s" else "less", note)

    found = [
        row("rate", "/s", [each.load.rate for each in samples]),
        row("p50", "ms", [each.load.percentile(0.5) * 1e3 for each in samples]),
        row("p99", "ms", [each.load.percentile(0.99) * 1e3 for each in samples]),
    ]
    if side.platform:
        found.append(row("CPU of the platform", "µs", [each.platform for each in samples], side.target))
    found.append(row("CPU of what answers", "µs", [each.runtimes for each in samples]))
    found.append(row("CPU of the client", "µs", [each.client for each in samples]))
    if side.over is not None:
        found.append(row("completed", "/s", [each.completed for each in samples]))
    return found


def ratio(name: str, ours: Sequence[Sample], floor: Sequence[Sample], target: float | None = None) -> Row:
    """Of rates, round by round."""
    values = [a.load.rate / b.load.rate for a, b in zip(ours, floor, strict=True)]
    return Row("warm", name, "ratio", values, target, "more")
