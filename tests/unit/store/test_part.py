"""Several stores on one file: whose logs are taken over, who migrates, how they take turns."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from tests.contract.documents import action, activation
from upcall.errors import Misconfigured
from upcall.model.activation import Activation
from upcall.model.entities import Action
from upcall.model.store_url import SqliteUrl
from upcall.ownership import shared
from upcall.ports import Query
from upcall.store.ahead import Ahead, members, paths, read
from upcall.store.choice import beside, opened
from upcall.store.part import Guest, Member
from upcall.store.sqlite import Durability, SqliteStore

ALL = Query(namespace="guest", limit=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upcall.db"


@asynccontextmanager
async def member(path: Path, name: str, *, durability: Durability = "normal") -> AsyncIterator[SqliteStore]:
    async with opened(SqliteUrl(path), path.parent / name, durability, name) as store:
        assert isinstance(store, SqliteStore)
        yield store


def left(path: Path, name: str, *numbers: int) -> None:
    """Records in the log of a process that was killed."""
    with closing(Ahead(paths(path, "records", name))) as log:
        for number in numbers:
            assert log.append(record(number))


def record(number: int) -> bytes:
    return msgspec.json.encode(activation(number))


async def stored(store: SqliteStore) -> list[int]:
    return sorted(each.start for each in await store.list(Activation, ALL))


@pytest.fixture
async def file(path: Path) -> Path:
    async with SqliteStore(path) as store:
        await store.put(action())
    return path


async def test_a_members_own_folder_is_not_the_databases(file: Path) -> None:
    with pytest.raises(Misconfigured, match=r"invoker0.s own folder, and cannot have .* another file with --store"):
        async with opened(SqliteUrl(file), file.parent, "normal", "invoker0"):
            pass


async def test_each_has_a_log_of_its_own(file: Path) -> None:
    async with member(file, "invoker0") as one, member(file, "controller0") as other:
        one._writer._not_before = other._writer._not_before = asyncio.get_running_loop().time() + 60
        assert one.record(activation(1))
        assert other.promise(activation(2))
        assert read(paths(file, "records", "invoker0"))[0] == [record(1)]
        assert read(paths(file, "records", "controller0"))[0] == [record(2)]
    assert members(file, "records") == ["controller0", "invoker0"]


async def test_the_next_life_of_a_name_takes_its_log_over(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    left(file, "invoker0", 1, 2)
    async with member(file, "invoker0") as store:
        assert await stored(store) == [1, 2]
        assert read(paths(file, "records", "invoker0"))[0] == []
    assert "2 activation records of invoker0 are stored now" in caplog.text


async def test_what_the_dead_left_is_taken_over_by_whoever_starts_and_not_that_of_the_living(file: Path) -> None:
    with shared(file.parent, "invoker1") as living:
        living.let_in()
        left(file, "invoker0", 1)
        left(file, "invoker1", 2)
        async with member(file, "controller0") as store:
            assert await stored(store) == [1]
            assert members(file, "records") == ["controller0", "invoker1"]
        assert read(paths(file, "records", "invoker1"))[0] == [record(2)]


async def test_a_platform_alone_takes_over_what_members_left(file: Path) -> None:
    left(file, "invoker0", 1)
    left(file, "controllera.b-records-0", 2)
    async with SqliteStore(file) as store:
        assert await stored(store) == [1, 2]
        assert members(file, "records") == []


@pytest.mark.parametrize("first", [True, False])
async def test_the_first_member_takes_over_what_a_platform_left_but_for_its_journal(
    file: Path, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    left(file, "", 1)
    with closing(Ahead(paths(file, "journal"))) as log:
        log.append(b"accepted")
    async with SqliteStore(file, part=Member("invoker0", first)) as store:
        assert await stored(store) == ([1] if first else [])
    assert read(paths(file, "journal"))[0] == [b"accepted"]
    assert ("they wait until it is started again" in caplog.text) == first


async def test_full_has_no_log_and_takes_over_one(file: Path) -> None:
    left(file, "invoker0", 1)
    async with member(file, "invoker0", durability="full") as store:
        assert await stored(store) == [1]
        assert not store.promise(activation(2))
    assert members(file, "records") == []


async def test_a_member_among_others_does_not_migrate(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1")
    for part in (Member("invoker0", False), Guest()):
        store = SqliteStore(file, part=part)
        with pytest.raises(Misconfigured, match="an older release runs on it"):
            await store.open()


async def test_many_writers_take_turns_and_none_is_refused(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def write(store: SqliteStore, base: int) -> None:
        for number in range(base, base + 100):
            assert store.record(activation(number))
            await store.put(action(f"a{number}"))
            await store.flush()

    async with AsyncExitStack() as stack:
        names = ("invoker0", "invoker1", "controller0")
        stores = [await stack.enter_async_context(member(file, name)) for name in names]
        await asyncio.gather(*(write(store, 1000 * index) for index, store in enumerate(stores)))
        assert await stored(stores[0]) == [1000 * index + number for index in range(3) for number in range(100)]
        assert [store.trouble for store in stores] == [None] * 3
    assert "refuses" not in caplog.text


async def test_a_turn_that_takes_longer_than_sqlite_waits_is_waited_for(file: Path) -> None:
    async with member(file, "invoker0") as store:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            put = asyncio.ensure_future(store.put(action("late")))
            await asyncio.sleep(1.5)
            assert not put.done()
            other.execute("COMMIT")
            assert (await put).startswith("1-")


def grown_old(path: Path) -> None:
    """As a release before the journal left it."""
    with closing(sqlite3.connect(path)) as connection:
        (newest,) = connection.execute("PRAGMA user_version").fetchone()
        assert newest > 1
        connection.execute("DROP TABLE journal")
        connection.execute("PRAGMA user_version = 1")


async def test_the_first_member_migrates_while_others_wait(file: Path) -> None:
    grown_old(file)

    async def come(name: str) -> None:
        async with member(file, name) as store:
            assert store.journal.left() == []

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, come(f"invoker{number}")) for number in range(4)))


async def test_a_command_migrates_where_nobody_is_and_not_beside_members(file: Path) -> None:
    grown_old(file)
    with shared(file.parent, "invoker0") as living:
        living.let_in()
        with pytest.raises(Misconfigured, match="an older release runs on it"):
            async with beside(SqliteUrl(file)):
                pass
    async with beside(SqliteUrl(file)) as store:
        assert (await store.get(Action, "guest/hello")).doc == action()
