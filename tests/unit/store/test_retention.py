"""What `--keep` removes, in which steps, and what becomes of the space."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec import Raw

from tests.contract.documents import action, activation
from upcall.model.activation import Activation, Response
from upcall.model.entities import Action
from upcall.model.keep import Keep, parse_keep
from upcall.model.sizes import MB
from upcall.ports import Query
from upcall.store import retention
from upcall.store.part import Sole
from upcall.store.retention import Pace, Sweeper, retained
from upcall.store.sqlite import SqliteStore
from upcall.store.worker import Job

T = TypeVar("T")
ALL = Query(namespace="guest", limit=0)
NOW = 1_795_400_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upcall.db"


@pytest.fixture
async def store(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    monkeypatch.setattr(retention, "REST", 0)
    async with SqliteStore(path) as store:
        yield store


async def fill(store: SqliteStore, count: int, size: int = 10, first: int = 0) -> None:
    """Records a second apart, the last of 1000 is of now; `size` bytes of result."""
    for number in range(first, first + count):
        doc = activation(number, at=NOW - (1000 - number) * 1000)
        doc.response = Response(0, Raw(b'{"n":"%s"}' % (b"x" * size)), size)
        store.record(doc)
        if number % 100 == 99:
            await store.flush()
    await store.flush()


async def size_of(store: SqliteStore, path: Path) -> int:
    """Of the file, with all that its log holds."""
    await store._writing.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    return path.stat().st_size


async def numbers(store: SqliteStore) -> list[int]:
    """Of the records that are there, the oldest first."""
    return sorted(int(doc.activation_id, 16) for doc in await store.list(Activation, ALL))


def sweeper(store: SqliteStore, keep: str) -> Sweeper:
    return Sweeper(store, parse_keep(keep), clock=lambda: NOW / 1000)


async def test_what_is_older_goes(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await fill(store, 1000)
    assert await sweeper(store, "100 s").sweep() == 900
    assert await numbers(store) == list(range(900, 1000))
    assert "900 activation records removed by --keep 100 s" in caplog.text
    caplog.clear()
    assert await sweeper(store, "100 s").sweep() == 0
    assert caplog.text == ""


async def test_a_record_from_the_future_keeps_no_older_one(store: SqliteStore) -> None:
    """As a clock makes them that was wrong for a while."""
    future = [activation(9000 + number, at=NOW + 10**9) for number in range(600)]
    for doc in future:
        store.record(doc)
    await fill(store, 500)
    assert await sweeper(store, "100 s").sweep() == 500
    assert await numbers(store) == [9000 + number for number in range(600)]


async def test_records_of_every_namespace_go(store: SqliteStore) -> None:
    names = ["a", "guest", "guest2", "z", "ä"]
    for number, name in enumerate(names):
        store.record(activation(number, namespace=name, at=NOW - 200_000))
        store.record(activation(100 + number, namespace=name, at=NOW))
    await store.flush()
    assert await sweeper(store, "100 s").sweep() == len(names)
    assert [await store.count(Activation, Query(namespace=name)) for name in names] == [1] * len(names)


async def test_the_oldest_go_until_the_database_has_its_size(store: SqliteStore, path: Path) -> None:
    await fill(store, 1000, size=5000)
    before = await size_of(store, path)
    removed = await sweeper(store, "3 MB").sweep()
    assert 0 < removed < 1000
    assert await numbers(store) == list(range(removed, 1000))
    assert await size_of(store, path) <= 3 * MB < before


async def test_both_bounds(store: SqliteStore) -> None:
    await fill(store, 1000, size=5000)
    await sweeper(store, "500 s,100 MB").sweep()
    assert (await numbers(store))[0] == 500
    await sweeper(store, "500 s,1 MB").sweep()
    assert (await numbers(store))[0] > 700


async def test_space_is_used_again_before_the_file_grows(store: SqliteStore, path: Path) -> None:
    keep = sweeper(store, "3 MB")
    for first in range(0, 1000, 250):
        await fill(store, 250, size=5000, first=first)
        await keep.sweep()
    assert await size_of(store, path) <= 3 * MB


async def test_large_records_go_by_few(store: SqliteStore) -> None:
    await fill(store, 64, size=MB)
    seen: list[str] = []
    await store._writing.call(lambda connection: connection.set_trace_callback(seen.append))
    await sweeper(store, "10 s").sweep()
    commits = "".join("C" if text == "COMMIT" else "D" if text.startswith("DELETE") else "" for text in seen)
    assert commits.count("D") == 64
    assert max(map(len, commits.split("C"))) <= retention.BYTES // MB + 1
    assert await numbers(store) == []


async def test_others_write_between_the_steps(store: SqliteStore) -> None:
    await fill(store, 1000)
    sweeping = asyncio.ensure_future(sweeper(store, "1 s").sweep())
    await store.put(action())
    assert not sweeping.done()
    await sweeping
    assert await store.count(Action, ALL) == 1


async def test_a_sweep_ends_with_its_time_and_the_next_goes_on(store: SqliteStore) -> None:
    await fill(store, 1000)
    first = await sweeper(store, "1 s").sweep(until=0)
    assert 0 < first < 900
    assert await sweeper(store, "1 s").sweep() == 999 - first


async def test_where_no_record_is_left_to_go_it_says_so_once(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.put(action(code="x" * 3 * MB))
    await fill(store, 10)
    keep = sweeper(store, "1 MB")
    assert await keep.sweep() == 10
    assert await keep.sweep() == 0
    assert caplog.text.count("without any record the database has") == 1
    assert await store.count(Action, ALL) == 1


async def test_forever_is_for_ever(store: SqliteStore) -> None:
    await fill(store, 10)
    async with retained(store, Keep()):
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "retention"]
    assert len(await numbers(store)) == 10


async def test_in_the_background_it_outlasts_a_store_that_refuses(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sole, "patience", 0.01)
    monkeypatch.setattr(retention, "INTERVAL", 0.01)
    await fill(store, 10)
    await store._writing.call(lambda connection: connection.execute("PRAGMA busy_timeout = 1").fetchall())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with retained(store, Keep(age=1)):
            while store.trouble is None:
                await asyncio.sleep(0.001)
            other.execute("ROLLBACK")
            while await numbers(store):
                await asyncio.sleep(0.001)


async def test_its_failure_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def maintain(self, job: Job[T]) -> T:
            raise ValueError("no such thing")

    async with retained(Broken(), Keep(age=1)):
        while "not removed any more" not in caplog.text:
            await asyncio.sleep(0)
    assert "no such thing" in caplog.text


def test_the_pace_follows_what_a_step_takes() -> None:
    pace = Pace()
    for _ in range(10):
        pace.took(0.0001)
    assert pace.rows == retention.MOST
    pace.took(0.003)
    assert pace.rows == retention.MOST
    for _ in range(10):
        pace.took(0.1)
    assert pace.rows == retention.FEWEST
