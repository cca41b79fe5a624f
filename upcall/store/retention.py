"""Activation records go when `--keep` says so: the oldest first, in steps that leave the writer to others.

A step is a job of the writer and removes a few hundred rows, found by an index and deleted by primary key; how many
follows from how long the last one took, so that none holds the writer for more than some 10 ms, whatever a record
weighs. By age they go namespace by namespace, by size in the order in which they were made. Between two steps the
writer is free for longer than a step takes. Pages that become free are used for new records; what is free beyond a
tenth, or makes the file larger than the bound, goes back to the file system by steps as well, where the file was made
with incremental vacuum.

The bound of size is the database file's own, code of actions included; its log (up to 64 MB) comes on top. Between two
sweeps lies a minute, and by what is recorded in it the file may be larger. A record is as old as its activation's
start.
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
Sweep = Callable[[float], Awaitable[int]]
"""Removes what has to go, until that monotonic time."""

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
    """What a step removed, in rows; where the next one begins (None: nothing is left); its seconds; what came of it."""

    rows: int
    at: str | None
    seconds: float
    space: Space


class Remove(Protocol):
    """A step: a job of the writer."""

    def __call__(self, connection: sqlite3.Connection, /, at: str | None, rows: int) -> Step: ...


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

    async def sweep(self, until: float = float("inf")) -> int:
        """Remove what has to go, until that monotonic time; the number of records. Raises Unavailable."""
        removed, bound = 0, self._keep.size
        if self._keep.age is not None:
            before = int((self._clock() - self._keep.age) * 1000)
            removed += await self._remove(partial(_older, before=before), until, lambda space: False)
        space = await self._store.maintain(_space)
        if bound is not None and space.used > bound:
            removed += await self._remove(_oldest, until, lambda space: space.used <= bound)
            space = await self._store.maintain(_space)
        if removed:
            log.info(
                "%d activation records removed by --keep %s; the database has %.1f MB, of them %.1f free",
                removed,
                self._keep.text,
                space.whole / MB,
                space.free / MB,
            )
        elif bound is not None and space.used > bound and not self._warned:
            self._warned = True
            log.warning("--keep %s: without any record the database has %.1f MB", self._keep.text, space.used / MB)
        await self._give_back(space, until)
        return removed

    async def _remove(self, remove: Remove, until: float, enough: Callable[[Space], bool]) -> int:
        """The number of records."""
        removed, at = 0, None
        while True:
            step = await self._store.maintain(partial(remove, at=at, rows=self._pace.rows))
            removed, at = removed + step.rows, step.at
            self._pace.took(step.seconds)
            if at is None or enough(step.space) or time.monotonic() > until:
                return removed
            await asyncio.sleep(max(REST, 2 * step.seconds))

    async def _give_back(self, space: Space, until: float) -> None:
        while _spare(space, self._keep.size) and time.monotonic() < until:
            before, space = space, await self._store.maintain(_shrink)
            if space.whole == before.whole:
                return  # the file was made without incremental vacuum
            await asyncio.sleep(max(REST, 2 * BUDGET))


@contextlib.asynccontextmanager
async def retained(store: Maintained, keep: Keep) -> AsyncIterator[None]:
    """Sweep a SQLite file in the background, from now on."""
    async with in_background(keep, Sweeper(store, keep).sweep):
        yield


@contextlib.asynccontextmanager
async def in_background(keep: Keep, sweep: Sweep) -> AsyncIterator[None]:
    """Sweep again and again, if anything has to go at all."""
    if keep.age is None and keep.size is None:
        yield
        return
    sweeping = asyncio.create_task(_for_ever(sweep), name="retention")
    try:
        yield
    finally:
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping


async def _for_ever(sweep: Sweep) -> None:
    try:
        while True:
            began = time.monotonic()
            try:
                await sweep(began + INTERVAL)
            except Unavailable:
                log.debug("the store takes no writes: what is too old stays for now")
            await asyncio.sleep(max(REST, began + INTERVAL - time.monotonic()))
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


def _older(connection: sqlite3.Connection, at: str | None, rows: int, before: int) -> Step:
    """Remove records of activations that began before `before` (epoch ms), one namespace after the other."""
    began = time.perf_counter()
    namespace = at or ""
    while True:
        found = connection.execute(
            "SELECT n, length(doc) FROM activations WHERE namespace = ? AND start < ? ORDER BY start LIMIT ?",
            (namespace, before, rows),
        ).fetchall()
        if found or time.perf_counter() - began > BUDGET:
            break
        (following,) = connection.execute(
            "SELECT min(namespace) FROM activations WHERE namespace > ?", (namespace,)
        ).fetchone()
        if following is None:
            return Step(0, None, time.perf_counter() - began, _space(connection))
        namespace = following
    return Step(_delete(connection, found), namespace, time.perf_counter() - began, _space(connection))


def _oldest(connection: sqlite3.Connection, at: object, rows: int) -> Step:
    """Remove the records that were made first, whosever they are."""
    began = time.perf_counter()
    found = connection.execute("SELECT n, length(doc) FROM activations ORDER BY n LIMIT ?", (rows,)).fetchall()
    more = "more" if found else None
    return Step(_delete(connection, found), more, time.perf_counter() - began, _space(connection))


def _delete(connection: sqlite3.Connection, found: list[tuple[int, int]]) -> int:
    """Of keys and sizes, as many as a step may; how many that were."""
    taken, size = [], 0
    for n, length in found:
        if size > BYTES:
            break
        taken.append((n,))
        size += length
    connection.executemany("DELETE FROM activations WHERE n = ?", taken)
    return len(taken)


def _shrink(connection: sqlite3.Connection) -> Space:
    """Give pages back, one by one: Python's module steps such a statement once."""
    until = time.perf_counter() + BUDGET
    left = _space(connection).free
    while left > 0 and time.perf_counter() < until:
        connection.execute("PRAGMA incremental_vacuum(1)")
        left -= 1
    return _space(connection)
