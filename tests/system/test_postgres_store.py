"""What the contract of stores cannot say of PostgreSQL: a server that goes away, several processes, what it is told."""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.contract.documents import action, activation, subject
from upcall import errors
from upcall.model.activation import Activation
from upcall.model.entities import Action, Limits, Subject, UserLimits
from upcall.model.store_url import PostgresUrl
from upcall.ports import Query
from upcall.store import postgres as adapter
from upcall.store import postgres_link
from upcall.store.postgres import PostgresStore
from upcall.testing import until

if TYPE_CHECKING:
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.postgres"]

ALL = Query(namespace="guest", limit=0)
HELPER = Path(__file__).with_name("postgres_worker.py")


@pytest.fixture
async def url(postgres: "Server") -> AsyncIterator[PostgresUrl]:
    yield PostgresUrl(await postgres.database())
    postgres.start()  # where a test has stopped it


@pytest.fixture
async def store(url: PostgresUrl) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(url, max_records=50) as store:
        yield store


async def record_until_full(store: PostgresStore) -> int:
    """Record one after the other until the server is away and the batch is full; how many that were."""
    number = 0
    while True:
        if store.record(activation(number)):
            number += 1
        elif store.trouble is not None:
            return number
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_records_outlast_a_restart_of_the_server_and_none_is_there_twice(
    store: PostgresStore, postgres: "Server", caplog: pytest.LogCaptureFixture, end: str
) -> None:
    caplog.set_level(logging.INFO)
    recording = asyncio.ensure_future(record_until_full(store))
    await until(lambda: store._batch._durable > 20)
    await asyncio.to_thread(getattr(postgres, end))
    count = await recording
    assert store.pending == 50
    assert (await store.get(Activation, activation(count - 1).id)).doc == activation(count - 1), (
        "what waits can be read"
    )
    postgres.start()
    await store.room()
    assert store.record(activation(count))
    await store.flush()
    assert store.trouble is None
    assert [record.start for record in await store.list(Activation, ALL)] == list(range(count, -1, -1))
    told = [record.getMessage() for record in caplog.records if record.name == "upcall.store.postgres_writer"]
    assert told[0].startswith("the store takes no records, will try again: ")
    assert told[-1] == "the store takes records again"
    assert "keeper" not in caplog.text


async def test_a_group_whose_answer_got_lost_is_not_there_twice(store: PostgresStore, url: PostgresUrl) -> None:
    write = store._recorder._write
    lost = 0

    async def deaf(records: object) -> None:
        nonlocal lost
        await write(records)  # type: ignore[arg-type]
        if lost == 0:
            lost += 1
            raise errors.Unavailable("the answer got lost")

    store._recorder._write = deaf
    for number in range(5):
        store.record(activation(number))
    await store.flush()
    assert lost == 1
    assert await store.count(Activation, ALL) == 5


async def test_lost_connections_are_replaced(store: PostgresStore, url: PostgresUrl, postgres: "Server") -> None:
    rev = await store.put(action())
    for _ in range(3):
        name = url.url.partition("?")[0].rpartition("/")[2]
        await postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        assert (await store.get(Action, "guest/hello")).rev == rev
        store.record(activation(1))
        await store.flush()
    await until(lambda: store.changes() is not None)
    assert await store.count(Activation, ALL) == 1


async def test_a_restart_that_the_loop_had_no_time_to_see_is_no_callers_business(
    store: PostgresStore, postgres: "Server"
) -> None:
    rev = await store.put(action())
    for number in range(3):
        await asyncio.gather(*(store.get(Action, "guest/hello") for _ in range(8)))  # several connections, all idle
        postgres.kill()
        postgres.start()
        if number != 1:
            assert (await store.get(Action, "guest/hello")).rev == rev
        else:
            await store.put(action(name="b"))


async def test_a_write_that_had_begun_is_not_begun_again(store: PostgresStore) -> None:
    runs: list[int] = []

    async def job(connection: asyncpg.Connection) -> None:
        runs.append(1)
        raise ConnectionResetError

    with pytest.raises(errors.Unavailable, match="takes no writes: there is no connection"):
        await store.maintain(job)
    assert runs == [1]


async def test_without_a_server_callers_are_told_why_and_new_ones_are_turned_away(
    store: PostgresStore, postgres: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "RESTART", 0.2)
    await store.put(action())
    await asyncio.to_thread(postgres.stop)
    for call in (store.put(action(name="b")), store.get(Action, "guest/hello"), store.identity("u", "k")):
        with pytest.raises(errors.Unavailable, match="no connection to the database"):
            await call
    assert store.refusal() is None, "nothing waits"
    store.record(activation(1))
    await until(lambda: store.trouble is not None)
    assert store.refusal() is None, "it may be back soon"
    await until(lambda: store.refusal() is not None)
    assert store.changes() is None, "nothing may be kept while nobody listens"
    postgres.start()
    await store.flush()
    assert store.refusal() is None
    await until(lambda: store.changes() is not None)


async def test_a_server_that_does_not_answer_is_an_error_and_not_a_wait_for_ever(
    url: PostgresUrl, postgres: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "PATIENCE", 0.2)
    monkeypatch.setattr(postgres_link, "CONNECT", 0.2)
    async with PostgresStore(url) as store:
        rev = await store.put(action())
        postgres.pause()
        try:
            with pytest.raises(errors.Unavailable, match="the database does not answer"):
                await store.get(Action, "guest/hello")
            await until(lambda: store.changes() is None)
        finally:
            postgres.resume()
        await until(lambda: store.changes() is not None)
        assert (await store.get(Action, "guest/hello")).rev == rev


async def test_closing_without_a_server_says_what_is_lost(
    url: PostgresUrl, postgres: "Server", caplog: pytest.LogCaptureFixture
) -> None:
    store = await PostgresStore(url).open()
    await asyncio.to_thread(postgres.stop)
    store.record(activation(1))
    await until(lambda: store.trouble is not None)
    await store.close(patience=0.01)
    assert store.lost == 1
    assert "1 activation records are lost: there is no connection to the database" in caplog.text
    with pytest.raises(errors.Unavailable):
        await store.put(action())


async def test_a_record_that_no_database_can_hold_does_not_stop_the_others(
    store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    for at in (1, 2**63, 3):
        store.record(activation(at, at=at))
    await store.flush()
    assert [record.start for record in await store.list(Activation, ALL)] == [3, 1]
    assert activation(2**63).id in caplog.text
    with pytest.raises(ValueError, match="cannot hold"):
        await store.put(action(at=2**63))


STRANGE = ["'; DROP SCHEMA upcall CASCADE; --", "$1", "%s", "a\x00b", "\\x00", "ä💡", "\ud800", "{a,b}", 'NULL"', " "]


async def test_strange_names_are_names(store: PostgresStore) -> None:
    for name in STRANGE[:-4] + STRANGE[-3:]:
        await store.put(action(name=name, code=f"x\x00 = {name!r}"))
        store.record(activation(STRANGE.index(name), name=name, path=f"guest/{name}"))
    await store.flush()
    for name in STRANGE[:-4] + STRANGE[-3:]:
        assert (await store.get(Action, f"guest/{name}")).doc == action(name=name, code=f"x\x00 = {name!r}")
        found = await store.list(Activation, Query(namespace="guest", name=name))
        assert [record.name for record in found] == [name]
    for name in STRANGE:
        with pytest.raises(errors.NotFound):
            await store.get(Action, f"guest/no{name}")
        assert await store.identity(name, name) is None
        assert await store.count(Action, Query(namespace=name, package=name)) == 0


async def test_code_of_48_mb(store: PostgresStore) -> None:
    doc = action(code="x" * 48 * 1024 * 1024)
    rev = await store.put(doc)
    assert (await store.get(Action, doc.id, rev)).doc == doc
    assert len(await store.list(Action, ALL)) == 1


async def test_long_lists(store: PostgresStore) -> None:
    for start in range(0, 450, 50):
        await asyncio.gather(*(store.put(action(f"a{number}", at=number)) for number in range(start, start + 50)))
    found = await store.list(Action, ALL)
    assert [doc.updated for doc in found] == list(range(449, -1, -1))
    assert [doc.updated for doc in await store.list(Action, Query(namespace="guest", skip=200, limit=200))] == list(
        range(249, 49, -1)
    )


async def test_another_process_s_changes_are_heard(store: PostgresStore, url: PostgresUrl) -> None:
    rev = await store.put(subject("alice-s", ("alice", "u1", "k1")))
    before = store.changes()
    assert before is not None
    async with PostgresStore(url, owner=False) as other:
        assert other.changes() is None, "who does not listen keeps nothing"
        await other.put(action())
        rev = await other.put(subject("alice-s", ("alice", "u1", "k1"), blocked=True), rev)
        await until(lambda: store.changes() not in (None, before))
        assert store.changes() == before + 1, "an action is none"
        with pytest.raises(errors.Conflict):
            await other.put(subject("alice-s"), "1-stale")
        await other.put(Limits("alice", UserLimits(fires_per_minute=1)))
        await until(lambda: store.changes() == before + 2)


async def test_ones_own_change_is_none_while_it_goes_on_and_counts_once(store: PostgresStore) -> None:
    before = store.changes()
    assert before is not None
    put = asyncio.ensure_future(store.put(subject("alice-s", ("alice", "u1", "k1"))))
    await asyncio.sleep(0)
    assert store.changes() is None
    await put
    assert store.changes() == before + 1
    await until(lambda: not store._changes._own)
    assert store.changes() == before + 1, "its notification has come, and is no change of anybody else's"


async def test_a_change_whose_end_nobody_knows_counts_when_it_is_heard(store: PostgresStore) -> None:
    writing: list[asyncio.Future[object]] = []

    async def torn(run: Callable[[str], Awaitable[object]], token: str) -> None:
        writing.append(asyncio.ensure_future(run(token)))
        raise errors.Unavailable("the answer takes too long")

    change = store._changes.change
    store._changes.change = lambda run: change(lambda token: torn(run, token))  # type: ignore[method-assign]
    before = store.changes()
    assert before is not None
    with pytest.raises(errors.Unavailable):
        await store.put(subject("alice-s", ("alice", "u1", "k1")))
    assert store.changes() == before + 1
    await writing[0]
    assert (await store.get(Subject, "alice-s")).rev.startswith("1-")
    await until(lambda: store.changes() == before + 2)


async def test_two_processes_start_together_and_write_the_same(url: PostgresUrl) -> None:
    """Of each document one process's creation wins; of each record there is one."""
    command = [sys.executable, str(HELPER), url.url]
    workers = [
        await asyncio.create_subprocess_exec(*command, name, stdout=asyncio.subprocess.PIPE) for name in ("a", "b")
    ]
    made = [int((await worker.communicate())[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(made) == 50
    async with PostgresStore(url) as store:
        docs = await store.list(Action, ALL)
        assert len(docs) == 50
        assert [doc.version for doc in docs] == ["0.0.41"] * 50, "each update of both counts"
        assert await store.count(Activation, ALL) == 300


async def test_lists_use_the_indexes(store: PostgresStore) -> None:
    async def plan(sql: str) -> str:
        async def explain(connection: asyncpg.Connection) -> str:
            await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            rows = await connection.fetch(f"EXPLAIN SELECT doc FROM upcall.{sql}")
            return " ".join(row[0] for row in rows)

        return await store.maintain(explain)

    where = "WHERE namespace = '' AND name = '' AND start BETWEEN 0 AND 1 ORDER BY start DESC, n DESC"
    assert "Index Scan Backward using activations_listed" in await plan(f"activations {where}")
    where = "WHERE kind = '' AND namespace = '' AND updated BETWEEN 0 AND 1 ORDER BY updated DESC, n DESC"
    found = await plan(f"documents {where}")
    assert "Index Scan Backward using documents_listed" in found
    assert "Sort" not in found


async def test_what_cannot_be_closed_in_order_is_no_error(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has gone, as long as that has not been noticed; the pool closes in a task that nobody awaits."""
    told: list[dict[str, Any]] = []
    closed: list[str] = []

    async def fail(connection: Any, *, timeout: float | None = None) -> None:
        closed.append("cut")
        connection.terminate()
        raise BrokenPipeError

    monkeypatch.setattr(asyncpg.Connection, "close", fail)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    await store.recorded([])
    await store._link._pool.expire_connections()
    await store.recorded([])
    await until(lambda: bool(closed))
    await asyncio.sleep(0)
    gc.collect()
    assert told == []
