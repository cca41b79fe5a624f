"""Random histories of writes, reads and a database that another program locks now and then: nothing is lost, nobody
waits for ever, and what was taken is seen. A seed that fails fails again, as far as threads allow."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.documents import action, activation
from upcall import errors
from upcall.model.activation import Activation
from upcall.model.entities import Action
from upcall.ports import Query
from upcall.store.part import Sole
from upcall.store.sqlite import SqliteStore

ALL = Query(namespace="guest", limit=0)


class History:
    """What was done to a store, and what must be in it."""

    def __init__(self, store: SqliteStore, other: sqlite3.Connection) -> None:
        self.store, self.other = store, other
        self.records = 0
        self.actions: set[str] = set()
        self.puts: list[asyncio.Task[None]] = []

    async def record(self) -> None:
        while not self.store.record(activation(self.records + 1)):
            await self.unlock()
            await self.store.room()
        self.records += 1

    async def put(self) -> None:
        self.puts.append(asyncio.ensure_future(self._put(f"a{len(self.puts)}")))

    async def _put(self, name: str) -> None:
        try:
            await self.store.put(action(name))
        except errors.Unavailable:
            return
        self.actions.add(name)

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def lock(self) -> None:
        if not self.other.in_transaction:
            self.other.execute("BEGIN IMMEDIATE")

    async def unlock(self) -> None:
        if self.other.in_transaction:
            self.other.execute("ROLLBACK")

    async def flush(self) -> None:
        await self.unlock()
        await self.store.flush()
        assert self.store.pending == 0

    async def count(self) -> None:
        found = await self.store.count(Activation, ALL)
        assert found == self.records or self.store.trouble is not None

    async def get(self) -> None:
        if self.records:
            await self.store.get(Activation, activation(self.records).id)


WEIGHTS = {
    History.record: 60,
    History.put: 15,
    History.turn: 30,
    History.lock: 1,
    History.unlock: 4,
    History.flush: 4,
    History.count: 3,
    History.get: 5,
}


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_nothing_is_lost(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sole, "patience", 0.001)
    path, pick = tmp_path / "upcall.db", random.Random(seed)
    async with (
        asyncio.timeout(60),
        SqliteStore(path, max_records=100, linger=0.001) as store,
    ):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            history = History(store, other)
            for step in pick.choices(list(WEIGHTS), list(WEIGHTS.values()), k=400):
                await step(history)
            await history.unlock()
            await asyncio.gather(*history.puts)
            await store.flush()
        assert await store.count(Activation, ALL) == history.records
        assert {doc.name for doc in await store.list(Action, ALL)} == history.actions
