"""What goes and what stays with a store in PostgreSQL: retention, and the journal that stays on this machine."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from tests.contract.documents import activation
from upcall.model.activation import Activation
from upcall.model.keep import Keep
from upcall.model.store_url import PostgresUrl
from upcall.ports import Query
from upcall.store import choice, postgres_retention
from upcall.store.journalled import journalled
from upcall.store.postgres import PostgresStore
from upcall.store.postgres_retention import Sweeper
from upcall.testing import until

if TYPE_CHECKING:
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.postgres"]

ALL = Query(namespace="guest", limit=0)
NOW = 1_000_000.0
"""The sweeper's clock, in seconds."""


@pytest.fixture
async def url(postgres: "Server") -> AsyncIterator[PostgresUrl]:
    yield PostgresUrl(await postgres.database())
    postgres.start()


@pytest.fixture
async def store(url: PostgresUrl) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(url) as store:
        yield store


def sweeper(store: PostgresStore, **keep: float) -> Sweeper:
    return Sweeper(store.maintain, Keep(**keep), lambda: NOW)  # type: ignore[arg-type]


async def starts(store: PostgresStore, namespace: str = "guest") -> list[int]:
    return [record.start for record in await store.list(Activation, Query(namespace=namespace, limit=0))]


async def test_what_is_too_old_goes_in_every_namespace(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_retention, "ROWS", 7)
    old, young = int(NOW * 1000) - 10_001, int(NOW * 1000) - 9_999
    for number in range(20):
        store.record(activation(number, at=old - number))
        store.record(activation(100 + number, namespace="other", at=young if number % 2 else old))
    store.record(activation(999, namespace="zz", at=old))
    await store.flush()
    assert await sweeper(store, age=10).sweep() == 31
    assert await starts(store) == await starts(store, "zz") == []
    assert await starts(store, "other") == [young] * 10
    assert await sweeper(store, age=10).sweep() == 0


async def test_above_the_size_the_oldest_go_and_no_more_than_have_to(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_retention, "ROWS", 30)
    for number in range(200):
        store.record(structs.replace(activation(number), logs=[f"{number:05}" * 100]))
    await store.flush()

    async def analyze(connection: object) -> None:
        await connection.execute("ANALYZE upcall.activations")  # type: ignore[attr-defined]

    await store.maintain(analyze)
    _, used = await store.maintain(postgres_retention._used)
    assert 200 * 500 < used < 200 * 2000
    assert await sweeper(store, size=used + 1000).sweep() == 0
    removed = await sweeper(store, size=used // 2).sweep()
    assert 95 <= removed <= 105
    assert await starts(store) == list(range(199, removed - 1, -1))


async def test_two_sweep_one_database(store: PostgresStore, url: PostgresUrl) -> None:
    for number in range(300):
        store.record(activation(number))
    await store.flush()
    async with PostgresStore(url) as other:
        assert sum(await asyncio.gather(*(sweeper(each, age=1).sweep() for each in (store, other)))) == 300


async def test_the_platform_s_store_is_swept_in_the_background(url: PostgresUrl, tmp_path: Path) -> None:
    async with choice.opened(url, tmp_path, "normal") as store:
        store.record(activation(1))
        await store.flush()
        async with choice.retained(store, Keep(age=1.0)):
            while await store.count(Activation, ALL):
                await asyncio.sleep(0.001)


async def accepted(store: PostgresStore, *ids: str) -> None:
    for id in ids:
        told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        store.journal.accept(id, "invoker0", id.encode(), told.set_result)
        assert await told is None


async def test_a_row_goes_when_its_record_is_committed_and_not_before(
    url: PostgresUrl, postgres: "Server", tmp_path: Path
) -> None:
    ids = [activation(number).id for number in (1, 2)]
    async with journalled(PostgresStore(url), tmp_path) as store:
        await accepted(store, *ids)
        assert len(store.journal) == 2
        await asyncio.to_thread(postgres.stop)
        store.record(activation(1))
        store.journal.ended(ids[0])
        await until(lambda: store.trouble is not None)
        assert len(store.journal) == 1, "what has ended is not counted"
        assert len(store.journal._journal) == 2, "but it is there"
        postgres.start()
        await until(lambda: len(store.journal._journal) == 1)
        assert await starts(store) == [1]
    async with journalled(PostgresStore(url), tmp_path) as store:
        assert [each.id for each in store.journal.left()] == [ids[1]]
        assert list(store.journal.left()) == []


async def test_what_has_a_record_is_not_left(url: PostgresUrl, tmp_path: Path) -> None:
    """The row of one that was recorded when its process was killed, before the row went."""
    async with journalled(PostgresStore(url), tmp_path) as store:
        await accepted(store, *(activation(number).id for number in range(5)))
        for number in (1, 3):
            store.record(activation(number))
        await store.flush()
    for _ in range(2):
        async with journalled(PostgresStore(url), tmp_path) as store:
            assert [each.id for each in store.journal.left()] == [activation(number).id for number in (0, 2, 4)]
            assert len(store.journal) == 3


async def test_records_that_are_lost_keep_their_rows(url: PostgresUrl, postgres: "Server", tmp_path: Path) -> None:
    async with journalled(PostgresStore(url), tmp_path, patience=0.01) as store:
        await accepted(store, activation(1).id)
        await asyncio.to_thread(postgres.stop)
        store.record(activation(1))
        store.journal.ended(activation(1).id)
    assert store.lost == 1
    postgres.start()
    async with journalled(PostgresStore(url), tmp_path) as store:
        assert [each.id for each in store.journal.left()] == [activation(1).id]
