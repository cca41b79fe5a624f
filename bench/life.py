"""The life of one `upcall serve`: how soon it is ready, what it takes idle, and whether it grows with what it has done.

    scripts/bench --only life [--quick]

Activations are blocking calls of a warm action that prints a line, 10 at a time; each is recorded. Memory is compared
after the first fifth of them, when caches are full, and after all.
"""

import asyncio

from bench.client import load
from bench.cold import KIND
from bench.processes import cpu, proportional, resident
from bench.row import Row
from bench.served import make, request, served
from tests.system.serving import Platform

PRINTING = "def main(args):\n    print('one line')\n    return {'n': args.get('n')}\n"
_CONNECTIONS = 10
_SETTLED = 1.0
"""Seconds in which what a start or a load has put off is done."""


async def rows(quick: bool) -> list[Row]:
    """Of the whole part, and what targets there are."""
    starts: list[tuple[float, float]] = []
    idle = []
    for _ in range(3 if quick else 7):
        with served() as platform:
            starts.append((platform.seconds_to_ready, cpu(platform.process.pid)))
            await asyncio.sleep(_SETTLED)
            idle.append(resident(platform.process.pid))
    found = [
        Row("life", "exec to ready", "s", [ready for ready, _ in starts], 0.7),
        Row("life", "exec to ready, CPU of the platform", "s", [spent for _, spent in starts]),
        Row("life", "RSS idle", "MiB", idle, 60.0),
    ]
    with served() as platform:
        return found + await grown(platform, 10_000 if quick else 100_000)


async def grown(platform: Platform, count: int) -> list[Row]:
    """Raises RuntimeError where a call fails."""
    (action,) = make(platform, ["printing"], KIND, PRINTING)
    early, database = await _load(platform, action, count // 5)
    late, database_late = await _load(platform, action, count - count // 5)
    note = f"{early:.1f} MiB after {count // 5:,}, {late:.1f} MiB after {count:,}"
    return [
        Row("life", f"RSS after {count:,} activations", "MiB", [late]),
        Row("life", "PSS of the platform after them", "MiB", [proportional([platform.process.pid])]),
        Row("life", "growth by the last four fifths of them", "MiB", [late - early], 2.0, note=note),
        Row("life", "database for a record", "B", [(database_late - database) / (count - count // 5)]),
    ]


async def _load(platform: Platform, action: str, count: int) -> tuple[float, int]:
    """So many calls; gives the MiB of memory and bytes of the database afterwards."""
    await load([("127.0.0.1", platform.port)], [request(platform, action)], _CONNECTIONS, count=count)
    await asyncio.sleep(_SETTLED)
    return resident(platform.process.pid), (platform.data / "upcall.db").stat().st_size
