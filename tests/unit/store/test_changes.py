"""The number that tells of changes of subjects and limits, between processes and over their deaths."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.documents import subject
from upcall import errors
from upcall.model.entities import Subject
from upcall.ownership import private_file
from upcall.store import sqlite
from upcall.store.changes import Changes, changes_file
from upcall.store.part import Guest
from upcall.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upcall.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path) as store:
        yield store


def another(path: Path) -> Changes:
    """As another process has it."""
    return Changes(private_file(changes_file(path)))


async def test_another_process_sees_a_change(store: SqliteStore, path: Path) -> None:
    async with SqliteStore(path, part=Guest()) as other:
        before = store.changes()
        rev = await other.put(subject("alice", ("alice", "u1", "k1")))
        assert store.changes() == other.changes() != before
        before = store.changes()
        await other.delete(Subject, "alice", rev)
        assert store.changes() not in (None, before)


async def test_a_change_under_way_is_seen_before_it_is_committed(store: SqliteStore) -> None:
    seen = []
    await store._writing.call(
        lambda connection: connection.set_trace_callback(lambda text: seen.append((text.split()[0], store.changes())))
    )
    before = store.changes()
    await store.put(subject("alice", ("alice", "u1", "k1")))
    assert ("BEGIN", None) in seen
    assert ("COMMIT", None) in seen
    assert store.changes() not in (None, before)


async def test_a_change_that_fails_ends_too(store: SqliteStore) -> None:
    await store.put(subject("alice"))
    with pytest.raises(errors.Conflict):
        await store.put(subject("alice"))
    assert store.changes() is not None


async def test_a_change_whose_caller_left_ends_when_it_is_committed(store: SqliteStore) -> None:
    writing = asyncio.ensure_future(store.put(subject("alice")))
    while store.changes() is not None:
        await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert store.changes() is None
    while store.changes() is None:
        await asyncio.sleep(0)
    assert (await store.get(Subject, "alice")).rev.startswith("1-")


async def test_changes_at_the_same_time_end_with_the_last(store: SqliteStore) -> None:
    await asyncio.gather(*(store.put(subject(f"subject{number}")) for number in range(20)))
    assert store.changes() is not None
    assert store._changes._open == 0


async def test_a_writer_that_died_is_noticed_and_mended(store: SqliteStore, path: Path) -> None:
    dead = another(path)
    before = store.changes()
    assert dead.begin()
    assert store.changes() is None
    await store.identity("u1", "k1")
    assert store.changes() is None, "it is at work"
    dead.close()  # which drops the lock, as its death does
    await store.identity("u1", "k1")
    assert store.changes() not in (None, before)


async def test_two_processes_take_turns(store: SqliteStore, path: Path) -> None:
    other = another(path)
    assert other.begin()
    writing = asyncio.ensure_future(store.put(subject("alice")))
    await asyncio.sleep(0.05)
    assert not writing.done()
    other.end()
    assert (await writing).startswith("1-")
    other.close()


async def test_a_writer_that_does_not_end_is_named(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.01)
    other = another(path)
    assert other.begin()
    with pytest.raises(errors.Unavailable, match="another process is changing"):
        await store.put(subject("alice"))
    other.close()


async def test_closing_ends_what_is_under_way(path: Path) -> None:
    async with SqliteStore(path) as store:
        writing = asyncio.ensure_future(store.put(subject("alice")))
        await asyncio.sleep(0)
    assert (await writing).startswith("1-")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM documents").fetchall() == [("alice",)]
    assert int.from_bytes(changes_file(path).read_bytes(), "little") % 2 == 0


def test_the_number_is_for_its_owner_alone_and_wraps(path: Path) -> None:
    changes = another(path)
    assert changes_file(path).stat().st_mode & 0o777 == 0o600
    changes.number[0] = 2**64 - 2
    assert changes.begin()
    changes.end()
    assert changes.number[0] == 0
    changes.close()
