"""The journal among the writer's groups: what is one commit, what a failed one leaves, what the next life finds."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.documents import activation
from tests.unit.store.test_sqlite import trace
from upcall import errors
from upcall.model.activation import Activation
from upcall.store import ahead
from upcall.store.ahead import Ahead, paths, read
from upcall.store.journal import Accepted, Ended, Over, SqliteJournal, Started, decode_entry
from upcall.store.part import Guest, Sole
from upcall.store.sqlite import Durability, SqliteStore

OTHER = "guest/" + "f" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "upcall.db"


class Group:
    """A journal without a writer: the test forms the groups."""

    def __init__(self, ahead: Ahead | None = None, max_rows: int = 10, max_bytes: int = 1000) -> None:
        self.wakes: list[bool] = []
        self.told: list[object] = []
        self.journal = SqliteJournal(self.wakes.append, ahead, (), max_rows, max_bytes)

    def accept(self, id: str, message: bytes = b"{}") -> None:
        self.journal.accept(id, "invoker0", message, lambda error: self.told.append(error or id))

    def tell(self, what: str) -> Callable[[], None]:
        return lambda: self.told.append(what)


def test_without_a_log_everybody_waits_for_the_commit() -> None:
    group = Group()
    group.accept("a")
    assert group.told == []
    assert True in group.wakes, "somebody waits"
    assert group.journal.take() == [Accepted("a", "invoker0", False, b"{}")]
    assert group.told == []
    group.journal.done(None)
    assert group.told == ["a"]
    group.journal.started("a", group.tell("starts"))
    assert group.journal.take() == [Started("a")]
    group.journal.done(None)
    assert group.told == ["a", "starts"]
    group.journal.ended("a")
    assert group.journal.take() == [Ended("a", True)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is always due."""
    monkeypatch.setattr(ahead, "RESERVED", 16)


@pytest.fixture
def log(path: Path) -> Iterator[Ahead]:
    with closing(Ahead(paths(path, "journal"))) as log:
        yield log


def entries(path: Path) -> list[object]:
    return [decode_entry(entry) for entry in read(paths(path, "journal"))[0]]


def test_with_a_log_nobody_waits(log: Ahead, small: None) -> None:
    group = Group(log)
    group.accept("a")
    group.journal.started("a", group.tell("starts"))
    assert group.told == ["a", "starts"]
    assert True not in group.wakes
    assert group.journal.take() == [Accepted("a", "invoker0", True, b"{}")], "one row for both"


def test_until_the_log_is_due_the_database_hears_of_ends_alone(path: Path, log: Ahead) -> None:
    group = Group(log)
    group.accept("a")
    group.accept("b")
    assert (group.wakes, group.journal.pending) == ([], 0)
    assert group.journal.take() == []
    group.journal.ended("a")
    assert group.wakes == [False]
    assert group.journal.take() == [Ended("a", False)]
    assert Over(["a"]) not in entries(path), "its record is not committed"
    group.journal.done(None)
    assert entries(path)[-1] == Over(["a"])
    assert (len(group.journal), group.journal.size, group.journal.pending) == (1, 2, 0)


def test_a_log_that_is_due_gives_what_has_not_ended_to_the_database_and_is_empty(path: Path, log: Ahead) -> None:
    group = Group(log, max_rows=1000, max_bytes=1 << 30)
    number = 0
    while not log.due:
        number += 1
        group.accept(f"{number}", b"x" * 4096)
        if number % 10 and not log.due:
            group.journal.ended(f"{number}")
            group.journal.take()
            group.journal.done(None)
    assert group.wakes[-1] is False
    taken = {step.id for step in group.journal.take() if isinstance(step, Accepted)}
    assert taken == {*(f"{each}" for each in range(10, number, 10)), f"{number}"}
    assert number > 20
    group.journal.done(None)
    assert [entry for entry in entries(path) if isinstance(entry, Accepted)] == []


def test_ends_that_the_log_does_not_take_are_kept_from_running_again(
    path: Path, log: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group(log)
    group.accept("a")
    group.accept("b")
    group.journal.ended("a")
    group.journal.take()
    monkeypatch.setattr(log, "append", lambda data: False)
    group.journal.done(None)
    assert group.wakes[-1] is False
    monkeypatch.undo()
    assert group.journal.take() == [Accepted("b", "invoker0", False, b"{}")]
    group.journal.done(None)
    assert entries(path) == []


def test_what_ends_while_it_is_written_is_not_forgotten_with_that_group(path: Path, log: Ahead, small: None) -> None:
    group = Group(log)
    group.accept("a")
    group.journal.take()
    group.journal.ended("a")
    group.journal.done(None)
    assert entries(path) == [], "its record may not be committed"
    assert group.journal.take() == [Ended("a", True)]


def test_what_ends_while_it_is_written_is_deleted_by_the_next_group() -> None:
    group = Group()
    group.accept("a")
    group.journal.take()
    group.journal.ended("a")
    group.journal.done(None)
    assert group.journal.take() == [Ended("a", True)]


def test_what_starts_while_it_is_written_is_told_by_the_next_group(log: Ahead, small: None) -> None:
    group = Group(log)
    group.accept("a")
    group.journal.take()
    group.journal.started("a", group.tell("starts"))
    group.journal.done(None)
    assert group.journal.take() == [Started("a")]


def test_a_group_that_fails_refuses_what_was_accepted_and_keeps_the_rest() -> None:
    group = Group()
    group.journal.keep("kept", "invoker0", b"{}", True, group.tell("kept"))
    group.accept("a")
    group.journal.take()
    group.journal.done(sqlite3.OperationalError("disk is full"))
    (error,) = group.told
    assert isinstance(error, errors.Unavailable)
    assert "its store takes no writes: disk is full" in str(error)
    assert error.retry_after == 5
    assert group.journal.take() == [Accepted("kept", "invoker0", True, b"{}"), Ended("a", False)]
    group.journal.done(None)
    assert group.told[1:] == ["kept"]


def test_rows_and_bytes_are_bounded_and_what_is_there_anyway_is_kept() -> None:
    group = Group(max_rows=2, max_bytes=10)
    group.accept("a")
    group.accept("b", b"x" * 20)
    group.accept("c")
    (error,) = group.told
    assert isinstance(error, errors.Unavailable)
    assert "2 accepted activations have not ended" in str(error)
    group.journal.keep("d", "invoker0", b"{}", False, group.tell("d"))
    assert len(group.journal) == 3
    for id in "ad":
        group.journal.ended(id)
    group.accept("e")
    assert group.told == [error, *group.told[1:]]
    assert isinstance(group.told[1], errors.Unavailable), "b alone is above the bound of bytes"
    group.journal.ended("b")
    group.accept("f")
    assert len(group.told) == 2


# --- in the database


@pytest.fixture(params=["normal", "full"])
def durability(request: pytest.FixtureRequest) -> Durability:
    found: Durability = request.param
    return found


@pytest.fixture
async def store(path: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    monkeypatch.setattr(Sole, "patience", 0.01)
    async with SqliteStore(path, durability) as store:
        yield store


def rows(path: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id, started FROM journal ORDER BY n").fetchall()


async def accepted(store: SqliteStore, id: str) -> None:
    told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    store.journal.accept(id, "invoker0", b"{}", told.set_result)
    error = await told
    if error is not None:
        raise error


async def committed(store: SqliteStore) -> None:
    await store.maintain(lambda connection: None)


async def test_a_record_and_its_rows_end_are_one_commit(small: None, store: SqliteStore, path: Path) -> None:
    await accepted(store, activation(1).id)
    await committed(store)
    assert rows(path) == [(activation(1).id, 0)]
    seen = trace(store)
    store.record(activation(1))
    store.journal.ended(activation(1).id)
    await committed(store)
    assert seen().count("COMMIT") == 1
    assert {"INSERT", "DELETE"} <= set(seen())
    assert rows(path) == []


async def test_a_lock_refuses_nothing_that_was_safe(
    small: None, store: SqliteStore, path: Path, durability: Durability
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            await accepted(store, activation(1).id)
        except errors.Unavailable:
            refused = True
        else:
            refused = False
        other.execute("ROLLBACK")
    assert refused == (durability == "full"), "the log takes it where there is one"
    while store.trouble is not None:
        await asyncio.sleep(0.01)
    await committed(store)
    assert rows(path) == ([] if refused else [(activation(1).id, 0)])


async def test_the_next_life_gets_what_has_no_record_in_its_order(path: Path, durability: Durability) -> None:
    store = await SqliteStore(path, durability).open()
    for number in (3, 1, 2):
        await accepted(store, activation(number).id)
    await committed(store)
    store.journal.started(activation(1).id, lambda: None)
    await accepted(store, OTHER)
    store.record(activation(2))
    await store.close()  # without the ends: they were not told
    async with SqliteStore(path, durability) as store:
        left = store.journal.left()
        assert [(each.id, each.started) for each in left] == [
            (activation(3).id, False),
            (activation(1).id, True),
            (OTHER, False),
        ]
        assert (left[0].topic, left[0].message) == ("invoker0", b"{}")
        assert store.journal.left() == ()
        assert len(store.journal) == 3
        for each in left:
            store.journal.ended(each.id)
    assert rows(path) == []


async def test_a_life_that_was_killed_has_left_its_logs(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The files of a living one are what a killed one leaves."""
    caplog.set_level(logging.INFO)
    copy = tmp_path / "copy" / "upcall.db"
    copy.parent.mkdir()
    async with SqliteStore(path, linger=60.0) as store:
        store.record(activation(9))
        await store.flush()  # from now on nothing is committed for a minute
        for number in (1, 2, 3):
            await accepted(store, activation(number).id)
        store.journal.started(activation(2).id, lambda: None)
        assert store.promise(activation(3, name="told"))
        store.record(activation(4))
        for file in path.parent.glob("upcall.db*"):
            copy.with_name(file.name).write_bytes(file.read_bytes())
        for number in (1, 2, 3):
            store.journal.ended(activation(number).id)
    async with SqliteStore(copy) as store:
        assert [(each.id, each.started) for each in store.journal.left()] == [
            (activation(1).id, False),
            (activation(2).id, True),
        ]
        assert (await store.get(Activation, activation(3).id)).doc == activation(3, name="told")
        assert (await store.get(Activation, activation(4).id)).doc == activation(4)
        assert "2 activation records of an earlier life" in caplog.text
        assert rows(copy) == [(activation(1).id, 0), (activation(2).id, 1)]
    async with SqliteStore(copy, "full") as store:
        assert len(store.journal.left()) == 2
        assert list(copy.parent.glob("*ahead*")) == []


async def test_full_promises_nothing_and_has_no_log(path: Path) -> None:
    async with SqliteStore(path, "full") as store:
        assert not store.promise(activation(1))
        assert list(path.parent.glob("*ahead*")) == []


async def test_what_a_log_holds_and_nobody_can_read_stops_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for sort in ("records", "journal"):
        log = Ahead(paths(path, sort))
        log.append(b"of a newer release")
        log.close()
    async with SqliteStore(path) as store:
        assert store.journal.left() == []
    assert "an activation record that an earlier life has left cannot be read" in caplog.text
    assert "an accepted activation that an earlier life has left cannot be read" in caplog.text


async def test_a_guest_leaves_the_logs_alone(path: Path) -> None:
    async with SqliteStore(path, linger=60.0) as store:
        store.record(activation(9))
        await store.flush()
        store.record(activation(1))
        before = read(paths(path, "records"))
        async with SqliteStore(path, part=Guest()):
            pass
        assert read(paths(path, "records")) == before
        assert len(before[0]) == 1


async def test_a_promise_outlasts_the_commits_before_its_record(path: Path) -> None:
    async with SqliteStore(path, linger=60.0) as store:
        assert store.promise(activation(1, name="told"))
        for number in (2, 3, 4):
            store.record(activation(number))
            await store.flush()
        assert len(read(paths(path, "records"))[0]) == 1
        store.record(activation(1))
        await store.flush()
        assert read(paths(path, "records"))[0] == []
        assert (await store.get(Activation, activation(1).id)).doc == activation(1), "the one that was recorded"
