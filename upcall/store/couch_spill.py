"""Activation records that wait on this machine's disk for a CouchDB that does not take them.

A SQLite file in the process's own data folder: what is in it outlives the process (with `durability="full"` a loss of
power too), a write that was cut short is undone by the next opening, and a record is found by its id while it waits.
Records go out in the order in which they came; what the database refuses for itself stays aside, with the reason.

    waiting ── sent, or there already ──► gone
       └────── refused ──► aside ── taken at a later try ──► gone

The file is bounded by what its records take. It gets small again as soon as nothing waits in it.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

from upcall.errors import Misconfigured, Unavailable
from upcall.model.sizes import MB
from upcall.ownership import private_file
from upcall.store.worker import Worker

T = TypeVar("T")

FILE = "spill.db"
"""In the data folder."""
_COLUMNS = "n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, doc BLOB NOT NULL, reason TEXT"
_CHANGED = "RETURNING length(doc), reason IS NOT NULL"


class Record(NamedTuple):
    """As the database gets it: its id there, and the JSON of the document."""

    id: str
    doc: bytes


class Spill:
    """Of at most `bound` bytes of records."""

    def __init__(self, path: Path, bound: int, durability: Literal["normal", "full"] = "normal") -> None:
        self.path = path
        self.waiting = 0
        """Records that are to be sent."""
        self.aside = 0
        """Records that the database has refused."""
        self.size = 0
        """Bytes of both."""
        self._bound = bound
        self._durability = durability
        self._worker = Worker("store-spill", self._connect)

    async def open(self) -> Self:
        """Raises Misconfigured."""
        try:
            await self._worker.open()
            await self._count()
        except (OSError, sqlite3.Error) as error:
            raise Misconfigured(
                f"{self.path}, where activation records wait for the database, cannot be used: {error}. Make room or "
                "see to its rights; move it away if it is broken, and the records in it are lost"
            ) from error
        return self

    async def close(self) -> None:
        await self._worker.close()

    async def add(self, records: Sequence[Record], reason: str | None = None) -> None:
        """All or none; with a `reason` they are aside. Of two with one id the first stands. Raises Unavailable where
        they do not fit, or the disk refuses."""
        size = sum(len(record.doc) for record in records)
        if self.size + size > self._bound:
            raise Unavailable(f"the {self._bound / MB:g} MB on disk for records that wait (store.spill) are used up")
        rows = [(id, doc, reason) for id, doc in records]
        added = await self._change("INSERT OR IGNORE INTO records (id, doc, reason) VALUES (?, ?, ?)", rows)
        if reason is None:
            self.waiting += len(added)
        else:
            self.aside += len(added)
        self.size += sum(size for size, _ in added)

    async def get(self, id: str) -> bytes | None:
        """The JSON of one that waits or is aside. Raises Unavailable."""
        if not self.waiting and not self.aside:
            return None
        rows = await self._call(lambda connection: _all(connection, "SELECT doc FROM records WHERE id = ?", id))
        return rows[0][0] if rows else None

    async def among(self, ids: Iterable[str]) -> set[str]:
        """Those that are here. Raises Unavailable."""
        asked = list(ids) if self.waiting or self.aside else []
        return {id for id in asked if await self.get(id) is not None}

    async def first(self, count: int, size: int) -> list[Record]:
        """The oldest that wait: at least one, if there is one, and not more than fit. Raises Unavailable."""

        def select(connection: sqlite3.Connection) -> list[Record]:
            found: list[Record] = []
            rows = connection.execute("SELECT id, doc FROM records WHERE reason IS NULL ORDER BY n LIMIT ?", (count,))
            left = size
            for id, doc in rows:
                left -= len(doc)
                if found and left < 0:
                    break
                found.append(Record(id, doc))
            rows.close()
            return found

        return await self._call(select)

    async def refused(self, after: int) -> tuple[int, Record] | None:
        """The first that is aside behind the number `after`, with its own. Raises Unavailable."""
        query = "SELECT n, id, doc FROM records WHERE reason IS NOT NULL AND n > ? ORDER BY n LIMIT 1"
        rows = await self._call(lambda connection: _all(connection, query, after))
        return (rows[0][0], Record(rows[0][1], rows[0][2])) if rows else None

    async def put_aside(self, id: str, reason: str) -> None:
        """Raises Unavailable."""
        moved = len(await self._change("UPDATE records SET reason = ? WHERE id = ? AND reason IS NULL", [(reason, id)]))
        self.waiting, self.aside = self.waiting - moved, self.aside + moved

    async def remove(self, ids: Iterable[str]) -> None:
        """Raises Unavailable."""
        for size, aside in await self._change("DELETE FROM records WHERE id = ?", [(id,) for id in ids]):
            self.waiting, self.aside = self.waiting - (not aside), self.aside - aside
            self.size -= size
        if not self.waiting and not self.aside:
            await self._call(_shrink)

    async def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> list[tuple[int, bool]]:
        """What it came to: of each row that was changed its bytes, and whether it is aside. Raises Unavailable."""

        def change(connection: sqlite3.Connection) -> list[tuple[int, bool]]:
            changed: list[tuple[int, bool]] = []
            with connection:
                for row in rows:
                    changed += connection.execute(f"{statement} {_CHANGED}", row).fetchall()
            return changed

        return await self._call(change)

    async def _count(self) -> None:
        query = "SELECT count(*), count(reason), coalesce(sum(length(doc)), 0) FROM records"
        ((all, self.aside, self.size),) = await self._worker.call(lambda connection: _all(connection, query))
        self.waiting = all - self.aside

    async def _call(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._worker.call(job)
        except sqlite3.Error as error:
            raise Unavailable(f"the disk takes no records: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        os.close(private_file(self.path))
        connection = sqlite3.connect(self.path, isolation_level="IMMEDIATE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._durability}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS records ({_COLUMNS})")
        return connection


def _all(connection: sqlite3.Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(query, values).fetchall()


def _shrink(connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
