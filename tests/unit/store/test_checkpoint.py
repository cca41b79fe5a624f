"""The database's own log is emptied, and who writes or reads is let alone."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.contract.documents import activation
from upcall.model.activation import Activation
from upcall.ports import Query
from upcall.store import checkpoint
from upcall.store.checkpoint import log_file
from upcall.store.sqlite import SqliteStore
from upcall.store.worker import Worker

STEP = 64 * 1024


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "STEP", STEP)


async def grow(store: SqliteStore, first: int, count: int) -> list[int]:
    """Record; the log's size after each group of ten."""
    sizes = []
    for start in range(first, first + count, 10):
        for number in range(start, start + 10):
            assert store.record(activation(number))
        await store.flush()
        await store._emptying.call(lambda connection: None)
        sizes.append(log_file(store._path).stat().st_size)
    return sizes


async def test_the_log_is_cut_when_it_is_long(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "a.db") as store:
        sizes = await grow(store, 1, 500)
        assert max(sizes) < 2 * STEP
        assert sizes.count(0) >= 3
        assert await store.count(Activation, Query(namespace="guest")) == 500
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM activations").fetchone() == (500,)


async def test_no_commit_does_it(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "a.db") as store:
        for worker in (store._writing, store._emptying):
            assert await worker.call(lambda c: c.execute("PRAGMA wal_autocheckpoint").fetchone()) == (0,)


async def test_a_long_reader_is_let_alone_and_it_is_tried_again_some_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    call = Worker.call

    def counted(worker: Worker, job: object) -> object:
        ran.append(job)
        return call(worker, job)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "call", counted)
    async with SqliteStore(tmp_path / "a.db") as store:
        with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM activations").fetchone() == (0,)
            size = (await grow(store, 1, 300))[-1]
            tries = ran.count(checkpoint.checkpoint)
            assert 1 <= tries <= size // STEP
            assert reader.execute("SELECT count(*) FROM activations").fetchone() == (0,)
            reader.execute("ROLLBACK")
        assert 0 in await grow(store, 301, 300)
        assert await store.count(Activation, Query(namespace="guest")) == 600


async def test_one_that_fails_is_told_and_the_store_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(checkpoint, "checkpoint", refuse)
    async with SqliteStore(tmp_path / "a.db") as store:
        await grow(store, 1, 200)
        assert store.trouble is None
        assert await store.count(Activation, Query(namespace="guest")) == 200
    assert "the database's log stays as long as it is: disk I/O error" in caplog.messages
