"""What one warm activation costs in Python, from the request's bytes to the answer's: a ratio that other work on the
machine, and the machine itself, hardly move.

Real are edge, invoke, acks, throttles, memory bus with its journal, Invoker, pool, runtime client, the making of log
lines, records up to the group commit, and the log ahead of it in a file. The sockets of client and runtime are stubs
that take and answer at once; the database commits between two measurements (`bench.store` measures that).

The time is that of the thread on a processor; the best of many chunks counts, by turns with a calibration: plain Python
work of the same nature (calls, slots, dictionaries, bytes), whose cost a faster machine or interpreter lowers as much.
`tests/unit/test_warm_path.py` holds the ratios below their bounds, and the counts: an activation makes no task, no
future and no call of its own to the loop, leaves nothing behind, and no reference cycle.

    python -m bench.pure [--quick]
"""

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from bench.edge_cost import BODY, REQUEST, StubTransport, connected
from bench.invoker_cost import stubbed
from bench.row import Row
from upcall.bus.memory import MemoryBus
from upcall.controller.edge import EdgeProtocol
from upcall.core.pool import PoolConfig
from upcall.invoker.service import Invoker
from upcall.logs.stream import LogStream
from upcall.ports import Lines
from upcall.store.cache import ActionCache
from upcall.store.sqlite import SqliteStore
from upcall.testing import MANIFEST, FakeContainers, an_action, an_instance, until

CHUNK, ROUNDS = 200, 400
"""Activations that are measured at a time, whose records stay within what the log ahead has reserved; and rounds of the
calibration."""
REQUESTS = {
    "quiet": REQUEST % (b"true", len(BODY), BODY),
    "printing": REQUEST % (b"true", len(BODY), BODY),
    "not awaited": (REQUEST % (b"true", len(BODY), BODY)).replace(b"blocking=true&", b"blocking=false&"),
}
BOUNDS = {"quiet": 25.0, "printing": 29.5, "not awaited": 31.0}
"""8 % above the most that Debian 12's own Python took (23.0, 27.2, 28.8), 20 % above what it mostly takes; a build
without profiles, whose calibration is slower, takes less."""


class Platform:
    """One connection to a platform with one warm container."""

    def __init__(
        self, protocol: EdgeProtocol, transport: StubTransport, store: SqliteStore, printed: list[bool]
    ) -> None:
        self.transport = transport
        self.flush = store.flush
        self._feed = protocol.data_received
        self._printed = printed

    def run(self, name: str, count: int = CHUNK) -> None:
        """Activations one after the other, each answered before the next."""
        feed, request = self._feed, REQUESTS[name]
        self._printed[:] = [True] * (name == "printing")
        for _ in range(count):
            feed(request)


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """Warm, with all caches filled."""
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        async with SqliteStore(Path(folder) / "upcall.db") as store:
            bus, containers, printed = MemoryBus(journal=store.journal), FakeContainers(), list[bool]()
            await store.put(an_action())
            actions, pool = ActionCache(store, time.monotonic), PoolConfig(memory=2048)
            invoker = Invoker(an_instance(), bus, store, actions, containers, pool=pool, manifest=MANIFEST)
            async with connected(store, bus) as (protocol, transport), invoker:
                made = Platform(protocol, transport, store, printed)
                made.run("quiet", 1)
                await until(lambda: transport.writes == 1 and invoker.load == 0)
                containers.made[0].collect = printing(printed)  # type: ignore[method-assign, assignment]
                with stubbed(invoker):
                    for name in REQUESTS:
                        made.run(name)
                        await store.flush()
                    yield made


def printing(printed: list[bool]) -> Callable[[int, bool, Callable[[Lines], None]], None]:
    """What a container has read from its pipes."""
    stream = LogStream(10 << 20)

    def collect(limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        if printed:
            stream.feed("stdout", b"one line\n")
        done(stream.take(limit, complete))

    return collect


class Item:
    """For the calibration."""

    __slots__ = ("key", "next", "number", "text")

    def __init__(self, key: str, number: int) -> None:
        self.key = key
        self.number = number
        self.text = b""
        self.next: Item | None = None

    def told(self, texts: dict[bytes, int]) -> bytes:
        self.number += texts.get(self.text, 1)
        return b"%b: %d\r\n" % (self.text, self.number)


def calibration() -> None:
    """Each round: some 30 calls, objects, look-ups and pieces of bytes, for some 2 us."""
    shelf: dict[str, Item] = {}
    texts = {b"content-type": 2, b"content-length": 3}
    last: Item | None = None
    for number in range(ROUNDS):
        parts = []
        for text in (b"content-type", b"content-length", b"date"):
            item = Item(f"key{number & 63}", number)
            item.text, item.next = text, last
            found = shelf.pop(item.key, None)
            if found is not None:
                found.next = None
            shelf[item.key] = item
            parts.append(item.told(texts))
        last = None if number & 7 else item
        b"".join(parts).partition(b"\r\n")


def spent(work: Callable[[], None]) -> float:
    """Seconds of this thread on a processor."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


async def costs(repeats: int) -> tuple[dict[str, float], float]:
    """Microseconds of an activation of each sort, and of a round of the calibration."""
    best, unit = dict.fromkeys(REQUESTS, float("inf")), float("inf")
    async with platform() as made:
        gc.collect()
        gc.disable()
        try:
            for _ in range(repeats):
                unit = min(unit, spent(calibration) / ROUNDS * 1e6)
                for name in REQUESTS:
                    best[name] = min(best[name], spent(partial(made.run, name)) / CHUNK * 1e6)
                    await made.flush()
        finally:
            gc.enable()
    return best, unit


async def rows(quick: bool) -> list[Row]:
    best, unit = await costs(40 if quick else 120)
    made = []
    for name, cost in best.items():
        made.append(Row("pure", f"{name}: Python's share", "µs", [cost], note="the best; no kernel, no commit"))
        note = f"the unit takes {unit:.2f} us here"
        made.append(Row("pure", f"{name}: against the calibration", "times", [cost / unit], BOUNDS[name], note=note))
    return made


if __name__ == "__main__":
    for row in asyncio.run(rows("--quick" in sys.argv)):
        print(f"{row.name:40}{row.median:7.2f} {row.unit:6} {row.note}")
    print(f"load average {os.getloadavg()[0]:.1f}")
