"""Activation records go when `--keep` says so: for PostgreSQL, where deleting holds up nobody.

A step is one statement that removes some hundred rows, found by an index; rows that another process is removing at the
same moment are left to it, so several platforms may sweep one database. By age they go namespace by namespace, by size
in the order in which they were made.

The bound of size is on what the records take, not on the files: those get smaller when the server vacuums, or not at
all. It is estimated from the server's count of rows and a sample of them, with what the indexes take; that is within
some per cent. A server that has crashed has no count until it has analyzed the table: then nothing is removed for a
while.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from upcall.model.keep import Keep
from upcall.model.sizes import MB
from upcall.store.postgres_link import Connection, Job

ROWS = 500
REST = 0.02
"""Seconds between two steps."""
SAMPLE = 1000
"""Rows that are weighed."""
OVERHEAD = 120
"""Bytes of a row beside its columns, and of its entries in three indexes, less the keys."""

_OLDER = """
WITH RECURSIVE spaces (namespace) AS (
    (SELECT namespace FROM upcall.activations ORDER BY namespace LIMIT 1)
    UNION ALL
    SELECT (SELECT next.namespace FROM upcall.activations next WHERE next.namespace > spaces.namespace
            ORDER BY next.namespace LIMIT 1)
    FROM spaces WHERE spaces.namespace IS NOT NULL
), old AS (
    SELECT found.n FROM spaces, LATERAL (
        SELECT n FROM upcall.activations WHERE namespace = spaces.namespace AND start < $1 ORDER BY start LIMIT $2
    ) found LIMIT $2
)
DELETE FROM upcall.activations WHERE n IN
    (SELECT n FROM upcall.activations WHERE n IN (SELECT n FROM old) FOR UPDATE SKIP LOCKED)
"""
_OLDEST = """
WITH old AS (
    SELECT n, pg_column_size(doc) + 2 * (length(id) + length(namespace) + length(name)) + $2 AS size
    FROM upcall.activations ORDER BY n LIMIT $1 FOR UPDATE SKIP LOCKED
), enough AS (
    SELECT n, size FROM (SELECT n, size, sum(size) OVER (ORDER BY n) - size AS before FROM old) summed WHERE before < $3
), gone AS (
    DELETE FROM upcall.activations WHERE n IN (SELECT n FROM enough)
) SELECT count(*), coalesce(sum(size), 0)::bigint FROM enough
"""
_USED = """
SELECT greatest(
    (SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = 'upcall.activations'::regclass),
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'upcall.activations'::regclass), 0
) * coalesce((
    SELECT avg(size) FROM (
        SELECT pg_column_size(doc) + 2 * (length(id) + length(namespace) + length(name)) + $2 AS size
        FROM upcall.activations ORDER BY n DESC LIMIT $1
    ) weighed
), 0)
"""

log = logging.getLogger(__name__)


class Sweeper:
    """`maintain` runs a job on the store's database; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        maintain: Callable[[Job[tuple[int, int]]], Awaitable[tuple[int, int]]],
        keep: Keep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._maintain = maintain
        self._keep = keep
        self._clock = clock

    async def sweep(self, until: float = float("inf")) -> int:
        """Remove what has to go, until that monotonic time; the number of records. Raises Unavailable."""
        removed = 0
        if self._keep.age is not None:
            before = int((self._clock() - self._keep.age) * 1000)
            while step := (await self._maintain(lambda connection: _older(connection, before)))[0]:
                removed += step
                if not await self._goes_on(until):
                    break
        if self._keep.size is not None:
            removed += await self._shrink(self._keep.size, until)
        if removed:
            log.info("%d activation records removed by --keep %s", removed, self._keep.text)
        return removed

    async def _shrink(self, bound: int, until: float) -> int:
        """The number of records removed."""
        _, used = await self._maintain(_used)
        over, removed = used - bound, 0
        while over > 0:
            rows, size = await self._maintain(partial(_oldest, over=over))
            over, removed = over - size, removed + rows
            if not rows or not await self._goes_on(until):
                break
        if removed:
            log.info("records took about %.1f MB, %.1f MB are allowed", used / MB, bound / MB)
        return removed

    async def _goes_on(self, until: float) -> bool:
        await asyncio.sleep(REST)
        return time.monotonic() < until


async def _older(connection: Connection, before: int) -> tuple[int, int]:
    """Remove some records of activations that began before `before` (epoch ms)."""
    status: str = await connection.execute(_OLDER, before, ROWS)
    return int(status.rpartition(" ")[2]), 0


async def _oldest(connection: Connection, over: int) -> tuple[int, int]:
    """Remove some of the records that were made first, whosever they are, until about `over` bytes are free; rows and
    bytes."""
    rows, size = await connection.fetchrow(_OLDEST, ROWS, OVERHEAD, over)
    return rows, size


async def _used(connection: Connection) -> tuple[int, int]:
    return 0, int(await connection.fetchval(_USED, SAMPLE, OVERHEAD))
