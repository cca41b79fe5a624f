"""The PostgreSQL store of a platform whose bus lives in its own process.

What such a bus has accepted and not ended is this machine's own business, so its journal is a file in the data folder,
as without PostgreSQL (docs/adr/0013-postgresql.md). The two databases share no transaction: a row goes when its record
is known to be committed over there, and what the next life finds here is compared with the records first.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from upcall.model.store_url import PostgresUrl
from upcall.ports import Left, Store
from upcall.store.journal import SqliteJournal
from upcall.store.postgres import PostgresStore
from upcall.store.sqlite import Durability, SqliteStore

FILE = "journal.db"
"""In the data folder."""
ASKED = 1000
"""Activations in one question for records."""


class SettledJournal:
    """Implements `upcall.ports.Journal` over one whose rows must not go before `store` has made their records
    durable; `left` is what `store` has no record of."""

    def __init__(self, journal: SqliteJournal, store: Store, left: Sequence[Left] = ()) -> None:
        self.accept = journal.accept
        self.keep = journal.keep
        self.started = journal.started
        self._journal = journal
        self._store = store
        self._left = left
        self._over: list[str] = []
        self._settling: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._journal) - len(self._over) - len(self._settling)

    @property
    def size(self) -> int:
        """Bytes of the messages of all rows."""
        return self._journal.size

    def ended(self, id: str) -> None:
        self._over.append(id)
        if self._task is None:
            self._task = asyncio.create_task(self._settle(), name="journal-settle")

    def left(self) -> Sequence[Left]:
        left, self._left = self._left, ()
        return left

    async def close(self, durable: bool) -> None:
        """End what has ended, if all records are durable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for id in self._settling + self._over if durable else ():
            self._journal.ended(id)

    async def _settle(self) -> None:
        while self._over:
            self._settling, self._over = self._over, []
            await self._store.flush()
            for id in self._settling:
                self._journal.ended(id)
            self._settling = []
        self._task = None


class JournalledPostgresStore(PostgresStore):
    """With `journal`, for a bus that lives in this process; its file is in the folder `data`."""

    def __init__(self, url: PostgresUrl, data: Path, durability: Durability = "normal") -> None:
        super().__init__(url)
        self._local = SqliteStore(data / FILE, durability)
        self.journal: SettledJournal

    async def open(self) -> Self:
        """Raises Misconfigured."""
        await self._local.open()
        try:
            await super().open()
            self.journal = SettledJournal(self._local.journal, self, await self._unrecorded())
        except BaseException:
            await self._local.close()
            raise
        return self

    async def close(self, patience: float = 10.0) -> None:
        await super().close(patience)
        await self.journal.close(durable=not self.lost)
        await self._local.close()

    async def _unrecorded(self) -> list[Left]:
        """What an earlier life has left; that which has a record has ended."""
        left = list(self._local.journal.left())
        found: set[str] = set()
        for at in range(0, len(left), ASKED):
            found |= await self.recorded(each.id for each in left[at : at + ASKED])
        for id in found:
            self._local.journal.ended(id)
        return [each for each in left if each.id not in found]
