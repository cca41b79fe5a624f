"""What the contract of stores cannot say: groups, a disk that refuses, and what is told about it."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from tests.contract.documents import action, activation
from upcall import errors
from upcall.model.activation import Activation
from upcall.model.entities import Action
from upcall.ports import Query
from upcall.store import ahead, sqlite
from upcall.store.part import Sole
from upcall.store.sqlite import Durability, SqliteStore

ALL = Query(namespace="guest", limit=0)


class Troubles:
    """Hears of trouble; `changed` can be awaited."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        self.changed = asyncio.Event()

    def __call__(self, trouble: str | None) -> None:
        self.heard.append(trouble)
        self.changed.set()

    async def next(self) -> str | None:
        await self.changed.wait()
        self.changed.clear()
        return self.heard[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upcall.db"


@pytest.fixture
async def troubles(monkeypatch: pytest.MonkeyPatch) -> Troubles:
    monkeypatch.setattr(Sole, "patience", 0.01)
    return Troubles()


@pytest.fixture
async def store(path: Path, troubles: Troubles) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path, on_trouble=troubles, max_records=10) as store:
        yield store


def trace(store: SqliteStore) -> Callable[[], list[str]]:
    """Begins to note the writer's statements; gives what was noted so far."""
    seen: list[str] = []
    store._writing.call(lambda connection: connection.set_trace_callback(seen.append))
    return lambda: [text.split()[0] for text in seen]


async def test_what_waits_is_one_transaction(store: SqliteStore) -> None:
    seen = trace(store)
    puts = [asyncio.ensure_future(store.put(action(f"a{number}"))) for number in range(20)]
    for number in range(7):
        store.record(activation(number))
    await asyncio.gather(*puts, store.flush())
    assert seen().count("BEGIN") == seen().count("COMMIT") == 1
    assert await store.count(Action, ALL) == 20
    assert await store.count(Activation, ALL) == 7


async def test_seven_records_are_three_statements(store: SqliteStore) -> None:
    seen = trace(store)
    for number in range(7):
        store.record(activation(number))
    await store.flush()
    assert seen() == ["BEGIN", "INSERT", "INSERT", "INSERT", "COMMIT"]


async def test_a_record_that_comes_while_a_document_is_written_is_written_too(store: SqliteStore) -> None:
    put = asyncio.ensure_future(store.put(action()))
    while not store._writer._busy:
        await asyncio.sleep(0)
    store.record(activation(1))
    await put
    while store.pending:
        await asyncio.sleep(0)


async def test_one_that_conflicts_does_not_undo_the_others(store: SqliteStore) -> None:
    await store.put(action("b"))
    outcomes = await asyncio.gather(*(store.put(action(name)) for name in "abc"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str, errors.Conflict, str]
    assert await store.count(Action, ALL) == 3


async def test_one_that_cannot_be_written_does_not_undo_the_others(store: SqliteStore) -> None:
    puts = [store.put(action("a")), store.put(action("b", at=2**63)), store.put(action("c"))]
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str, OverflowError, str]
    assert [doc.name for doc in await store.list(Action, ALL)] == ["c", "a"]


async def test_a_record_that_no_database_can_hold_does_not_stop_the_others(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    for at in (1, 2**63, 3):
        assert store.record(activation(at, at=at))
    await store.flush()
    assert [doc.start for doc in await store.list(Activation, ALL)] == [3, 1]
    assert activation(2**63).id in caplog.text


async def test_a_writer_who_gives_up_disturbs_nobody(store: SqliteStore) -> None:
    first, second = (asyncio.ensure_future(store.put(action(name))) for name in "ab")
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).startswith("1-")
    assert first.cancelled()


async def test_records_outlast_a_locked_database(
    store: SqliteStore, path: Path, troubles: Troubles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store.record(activation(1))
    await store.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.record(activation(2))
        assert await troubles.next() == store.trouble == "database is locked"
        with pytest.raises(errors.Unavailable):
            await store.put(action())
        assert (await store.get(Activation, activation(2).id)).doc == activation(2)
        assert list(await store.list(Activation, ALL)) == [activation(1)]
        assert store.pending == 1
        assert store.refusal() is None, "it is gone soon"
        other.execute("ROLLBACK")
    await store.flush()
    assert await troubles.next() is None
    assert troubles.heard == ["database is locked", None]
    assert list(await store.list(Activation, ALL)) == [activation(2), activation(1)]
    assert "refuses writes" in caplog.text
    assert "takes writes again" in caplog.text
    assert (await store.put(action())).startswith("1-")


async def test_a_full_disk_slows_the_intake_and_loses_nothing(store: SqliteStore, troubles: Troubles) -> None:
    full = "PRAGMA max_page_count = 1"  # no less than the file has
    await store._writing.call(lambda connection: connection.execute(full).close())
    number = 0
    while store.record(activation(number)):
        number += 1
        if store.trouble is None:
            await store._batch.attempt()
    assert await troubles.next() == store.trouble == "database or disk is full"
    assert store.pending == 10
    assert store.refusal() == "database or disk is full"
    waiting = asyncio.ensure_future(store.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await store._writing.call(lambda connection: connection.execute("PRAGMA max_page_count = 100000").close())
    await waiting
    assert store.record(activation(number))
    await store.flush()
    assert store.refusal() is None
    assert await store.count(Activation, ALL) == number + 1


async def test_a_full_disk_that_keeps_no_record_waiting_turns_nobody_away(store: SqliteStore) -> None:
    """Else nothing would be tried, and nobody would notice that there is room again."""
    full = "PRAGMA max_page_count = 1"
    await store._writing.call(lambda connection: connection.execute(full).close())
    with pytest.raises(errors.Unavailable, match="takes no writes: database or disk is full"):
        await store.put(action(code="x" * 1_000_000))
    assert store.trouble == "database or disk is full"
    assert store.refusal() is None


async def test_closing_flushes(path: Path) -> None:
    async with SqliteStore(path) as store:
        store.record(activation(1))
        put = asyncio.ensure_future(store.put(action()))
        await asyncio.sleep(0)
    assert (await put).startswith("1-")
    async with SqliteStore(path) as store:
        assert await store.count(Activation, ALL) == 1
        assert await store.count(Action, ALL) == 1


LARGE = structs.replace(activation(2), logs=["x" * ahead.BOUND])


@pytest.mark.parametrize(
    ("durability", "record", "lost"), [("normal", activation(1), 0), ("normal", LARGE, 1), ("full", activation(1), 1)]
)
async def test_closing_says_what_is_lost_and_what_is_not(
    path: Path,
    troubles: Troubles,
    caplog: pytest.LogCaptureFixture,
    durability: Durability,
    record: Activation,
    lost: int,
) -> None:
    store = await SqliteStore(path, durability, on_trouble=troubles).open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.record(record)
        await troubles.next()
        await store.close(patience=0.01)
    kept = "lie beside the database, the next start puts them there"
    assert f"1 activation records {'are lost' if lost else kept}: database is locked" in caplog.text
    assert store.lost == lost
    async with SqliteStore(path) as store:
        assert await store.count(Activation, ALL) == 1 - lost


async def test_what_was_written_after_all_is_not_lost(path: Path, troubles: Troubles) -> None:
    store = await SqliteStore(path, on_trouble=troubles).open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.record(LARGE)
        await troubles.next()
    await store.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.record(activation(1))
        await store.close(patience=0.01)
    assert store.lost == 0


async def test_after_closing_writes_are_refused(path: Path) -> None:
    async with SqliteStore(path) as store:
        pass
    with pytest.raises(errors.Unavailable):
        await store.put(action())


@pytest.mark.parametrize(("durability", "level"), [("normal", 1), ("full", 2)])
async def test_durability_is_sqlites_synchronous(path: Path, durability: sqlite.Durability, level: int) -> None:
    async with SqliteStore(path, durability) as store:
        found = await store._writing.call(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
        assert found == (level,)


async def test_lists_use_the_indexes(store: SqliteStore) -> None:
    async def plan(sql: str) -> str:
        query = f"EXPLAIN QUERY PLAN SELECT doc FROM {sql}"
        rows = await store._reading.call(lambda connection: connection.execute(query).fetchall())
        return " ".join(row[3] for row in rows)

    where = "WHERE namespace = '' AND name = '' AND start BETWEEN 0 AND 1 ORDER BY start DESC, n DESC"
    assert "USING INDEX activations_listed" in await plan(f"activations {where}")
    where = "WHERE kind = '' AND namespace = '' AND updated BETWEEN 0 AND 1 ORDER BY updated DESC, n DESC"
    assert "USING INDEX documents_listed" in await plan(f"documents {where}")
