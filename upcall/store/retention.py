"""Activation records go when `--keep` says so: the oldest first, in steps that leave the writer to others.

A step is a job of the writer and removes a few hundred rows by primary key, which grows with time; how many follows
from how long the last one took, so that none holds the writer for more than some 10 ms, whatever a record weighs.
Between two steps the writer is free for longer than a step takes. Pages that become free are used for new records; what
is free beyond a tenth, or makes the file larger than the bound, goes back to the file system by steps as well, where
the file was made with incremental vacuum.

The bound of size is the database file's own, code of actions included; its log (up to 64 MB) comes on top. Between two
sweeps lies a minute, and by what is recorded in it the file may be larger. A record is as old as its activation's
start; one from the future does not keep the older ones behind it.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from upcall.errors import Unavailable
from upcall.model.keep import Keep
from upcall.model.sizes import MB
from upcall.store.worker import Job

T = TypeVar("T")

INTERVAL = 60.0
"""Seconds between sweeps, and the longest time of one: the log says each time how far it is."""
BUDGET = 0.004
"""Seconds that a step should take; the commit takes about as long again."""
REST = 0.01
"""The least time between two steps, in seconds."""
FEWEST, MOST = 8, 500
BYTES = 4 * MB
"""Of documents in a step."""
SPARE = 1024
"""Pages that may be free without being given back."""

log = logging.getLogger(__name__)


class Maintained(Protocol):
    """A store whose writer takes jobs of housekeeping."""

    async def maintain(self, job: Job[T]) -> T:
        """Raises Unavailable."""


class Space(NamedTuple):
    """Of the database file, in bytes."""

    page: int
    whole: int
    free: int

    @property
    def used(self) -> int:
        return self.whole - self.free


class Step(NamedTuple):
    """What a step removed: rows, up to which key; how long it took in seconds, and what came of it."""

    rows: int
    last: int
    seconds: float
    space: Space


class Pace:
    """How many rows a step looks at: half as many where the last one took long, twice as many where it was quick."""

    def __init__(self) -> None:
        self.rows = FEWEST

    def took(self, seconds: float) -> None:
        if seconds > BUDGET:
            self.rows = max(FEWEST, self.rows // 2)
        elif seconds < BUDGET / 2:
            self.rows = min(MOST, self.rows * 2)


class Sweeper:
    """`clock` gives seconds since the epoch."""

    def __init__(self, store: Maintained, keep: Keep, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._pace = Pace()
        self._warned = False

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            began = time.monotonic()
            try:
                await self.sweep(began + INTERVAL)
            except Unavailable:
                log.debug("the store takes no writes: what is too old stays for now")
            await asyncio.sleep(max(REST, began + INTERVAL - time.monotonic()))

    async def sweep(self, until: float = float("inf")) -> int:
        """Remove what has to go, until that monotonic time; the number of records. Raises Unavailable."""
        removed, space = 0, None
        async for step in self._steps():
            removed, space = removed + step.rows, step.space
            if time.monotonic() > until:
                break
        if removed and space:
            log.info(
                "%d activation records removed by --keep %s; the database has %.1f MB, of them %.1f free",
                removed,
                self._keep.text,
                space.whole / MB,
                space.free / MB,
            )
        return removed

    async def _steps(self) -> AsyncIterator[Step]:
        """Steps that remove records; between them and at last those that give space back, which are not told."""
        if self._keep.age is not None:
            before = int((self._clock() - self._keep.age) * 1000)
            async for step in self._removals(before, lambda step: step.rows > 0):
                yield step
        bound = self._keep.size
        if bound is not None and (await self._store.maintain(_space)).used > bound:
            async for step in self._removals(None, lambda step: step.rows > 0 and step.space.used > bound):
                yield step
            await self._judge(bound)
        await self._give_back()

    async def _removals(self, before: int | None, more: Callable[[Step], bool]) -> AsyncIterator[Step]:
        last = -(2**63)
        while True:
            step = await self._store.maintain(partial(_remove, after=last, before=before, rows=self._pace.rows))
            last = step.last
            self._pace.took(step.seconds)
            yield step
            if not more(step):
                return
            await asyncio.sleep(max(REST, 2 * step.seconds))

    async def _judge(self, bound: int) -> None:
        """Say once where the bound cannot be kept."""
        space = await self._store.maintain(_space)
        if space.used > bound and not self._warned:
            self._warned = True
            log.warning(
                "--keep %s: the database has %.1f MB without any record; actions take more than the bound",
                self._keep.text,
                space.used / MB,
            )

    async def _give_back(self) -> None:
        space = await self._store.maintain(_space)
        while _spare(space, self._keep.size):
            before, space = space, await self._store.maintain(_shrink)
            if space.whole == before.whole:
                return  # the file was made without incremental vacuum
            await asyncio.sleep(max(REST, 2 * BUDGET))


@contextlib.asynccontextmanager
async def retained(store: Maintained, keep: Keep) -> AsyncIterator[None]:
    """Sweep in the background, from now on, if anything has to go at all."""
    if keep.age is None and keep.size is None:
        yield
        return
    sweeping = asyncio.create_task(_watched(Sweeper(store, keep).run()), name="retention")
    try:
        yield
    finally:
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping


async def _watched(running: Awaitable[None]) -> None:
    try:
        await running
    except Exception:
        log.exception("activation records are not removed any more")


def _spare(space: Space, bound: int | None) -> bool:
    """Whether pages should go back."""
    over = bound is not None and space.whole > bound and space.free > 0
    return over or space.free > max(SPARE * space.page, space.whole // 10)


def _space(connection: sqlite3.Connection) -> Space:
    page, whole, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Space(page, whole * page, free * page)


def _remove(connection: sqlite3.Connection, after: int, before: int | None, rows: int) -> Step:
    """Remove the next rows behind key `after`: those of activations that began before `before` (epoch ms), or all."""
    began = time.perf_counter()
    found = connection.execute(
        "SELECT n, start, length(doc) FROM activations WHERE n > ? ORDER BY n LIMIT ?", (after, rows)
    ).fetchall()
    taken, size, last = [], 0, after
    for n, start, length in found:
        if size > BYTES:
            break
        last, size = n, size + length
        if before is None or start < before:
            taken.append((n,))
    connection.executemany("DELETE FROM activations WHERE n = ?", taken)
    return Step(len(taken), last, time.perf_counter() - began, _space(connection))


def _shrink(connection: sqlite3.Connection) -> Space:
    """Give pages back, one by one: Python's module steps such a statement once."""
    until = time.perf_counter() + BUDGET
    left = _space(connection).free
    while left > 0 and time.perf_counter() < until:
        connection.execute("PRAGMA incremental_vacuum(1)")
        left -= 1
    return _space(connection)
