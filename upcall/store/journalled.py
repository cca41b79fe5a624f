"""A store on a server, for a platform whose bus lives in its own process.

What such a bus has accepted and not ended is this machine's own business, so its journal is a file in the data folder,
as without a server (docs/adr/0013-postgresql.md). The two databases share no transaction: a row goes when its record is
known to be durable over there, and what the next life finds here is compared with the records first.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from upcall.ports import Left, Store
from upcall.store.journal import SqliteJournal
from upcall.store.sqlite import Durability, SqliteStore

FILE = "journal.db"
"""In the data folder."""
PATIENCE = 10.0
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


class Remote(Store, Protocol):
    """A store that a journal can be put beside."""

    journal: SettledJournal
    """Set while it is `journalled`."""
    lost: int

    async def open(self) -> object:
        """Raises Misconfigured."""

    async def close(self, patience: float = ...) -> None:
        """Flush and let go. Records that nothing takes for `patience` seconds are lost."""

    async def recorded(self, ids: Iterable[str]) -> set[str]:
        """Those of the activations that have a record. Raises Unavailable."""


R = TypeVar("R", bound=Remote)


@contextlib.asynccontextmanager
async def journalled(
    store: R, data: Path, durability: Durability = "normal", patience: float = PATIENCE
) -> AsyncIterator[R]:
    """Opened, with its `journal` in a file of the folder `data`; it has `patience` seconds to save its last records.
    Raises Misconfigured."""
    async with SqliteStore(data / FILE, durability) as local:
        await store.open()
        try:
            store.journal = SettledJournal(local.journal, store, await _unrecorded(local.journal, store))
        except BaseException:
            await store.close()
            raise
        try:
            yield store
        finally:
            await store.close(patience)
            await store.journal.close(durable=not store.lost)


async def _unrecorded(journal: SqliteJournal, store: Remote) -> list[Left]:
    """What an earlier life has left; that which has a record has ended."""
    left = list(journal.left())
    found: set[str] = set()
    for at in range(0, len(left), ASKED):
        found |= await store.recorded(each.id for each in left[at : at + ASKED])
    for id in found:
        journal.ended(id)
    return [each for each in left if each.id not in found]
