import asyncio

import pytest

from tests.contract.documents import action
from upcall.errors import NotFound
from upcall.model.documents import Document
from upcall.model.entities import Action
from upcall.ports import Stored
from upcall.store.cache import ActionCache
from upcall.store.fake import FakeStore

HELLO = "guest/hello"


class CountingStore(FakeStore):
    """Counts the reads; with `gate` closed they wait."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str | None] = []
        self.waiting = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        self.reads.append(rev)
        self.waiting.set()
        await self.gate.wait()
        return await super().get(kind, id, rev)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def cache(store: CountingStore, clock: Clock) -> ActionCache:
    return ActionCache(store, clock, max_bytes=100_000)


async def test_a_revision_is_read_once(cache: ActionCache, store: CountingStore) -> None:
    rev = await store.put(action())
    assert cache.cached(HELLO, rev) is None
    first = await cache.fetch(HELLO, rev)
    assert (first.doc, first.rev) == (action(), rev)
    assert cache.cached(HELLO, rev) is first
    assert await cache.fetch(HELLO, rev) is first
    assert store.reads == [rev]


async def test_without_a_revision_the_newest_is_read_each_time(cache: ActionCache, store: CountingStore) -> None:
    rev = await store.put(action())
    await cache.fetch(HELLO, rev)
    assert cache.cached(HELLO, None) is None
    await store.put(action(code="new"), rev)
    assert (await cache.fetch(HELLO, None)).doc == action(code="new")
    assert store.reads == [rev, None]


async def test_the_newest_is_run_where_the_revision_is_gone(cache: ActionCache, store: CountingStore) -> None:
    old = await store.put(action())
    new = await store.put(action(code="new"), old)
    found = await cache.fetch(HELLO, old)
    assert (found.doc, found.rev) == (action(code="new"), new)
    assert store.reads == [old, None]
    assert cache.cached(HELLO, old) is None
    assert cache.cached(HELLO, new) is found


async def test_failures_are_not_kept(cache: ActionCache, store: CountingStore) -> None:
    with pytest.raises(NotFound):
        await cache.fetch(HELLO, "1-aa")
    rev = await store.put(action())
    assert (await cache.fetch(HELLO, rev)).rev == rev


async def test_reads_that_overlap_share_one_request(cache: ActionCache, store: CountingStore) -> None:
    rev = await store.put(action())
    store.gate.clear()
    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(cache.fetch(HELLO, rev)) for _ in range(5)]
        await store.waiting.wait()
        store.gate.set()
    assert {id(read.result()) for read in reads} == {id(cache.cached(HELLO, rev))}
    assert store.reads == [rev]


async def test_a_failure_is_told_to_all_who_asked(cache: ActionCache, store: CountingStore) -> None:
    store.gate.clear()
    reads = [asyncio.ensure_future(cache.fetch(HELLO, "1-aa")) for _ in range(3)]
    await store.waiting.wait()
    store.gate.set()
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotFound] * 3
    assert store.reads == ["1-aa"]


async def test_who_gives_up_does_not_take_the_others_along(cache: ActionCache, store: CountingStore) -> None:
    rev = await store.put(action())
    store.gate.clear()
    leader = asyncio.ensure_future(cache.fetch(HELLO, rev))
    await store.waiting.wait()
    others = [asyncio.ensure_future(cache.fetch(HELLO, rev)) for _ in range(2)]
    await asyncio.sleep(0)
    leader.cancel()
    store.gate.set()
    assert {found.rev for found in await asyncio.gather(*others)} == {rev}
    assert leader.cancelled()
    assert store.reads == [rev, rev]


async def test_an_entry_lives_five_minutes_after_its_last_use(
    cache: ActionCache, store: CountingStore, clock: Clock
) -> None:
    rev = await store.put(action())
    await cache.fetch(HELLO, rev)
    for _ in range(3):
        clock.now += 299
        assert cache.cached(HELLO, rev) is not None
    clock.now += 300
    assert cache.cached(HELLO, rev) is None
    cache.expire()
    assert cache.size == 0


async def test_the_bound_drops_what_was_not_used_for_longest(cache: ActionCache, store: CountingStore) -> None:
    revs = {}
    for name in "abc":
        revs[name] = await store.put(action(name, code=name * 40_000))
    for name in "ab":
        await cache.fetch(f"guest/{name}", revs[name])
    cache.cached("guest/a", revs["a"])
    await cache.fetch("guest/c", revs["c"])
    kept = {name for name, rev in revs.items() if cache.cached(f"guest/{name}", rev)}
    assert kept == {"a", "c"}
    assert 80_000 < cache.size <= 100_000


async def test_what_is_above_the_bound_alone_is_not_kept(cache: ActionCache, store: CountingStore) -> None:
    small = await store.put(action("small"))
    await cache.fetch("guest/small", small)
    rev = await store.put(action(code="x" * 200_000))
    doc = (await cache.fetch(HELLO, rev)).doc
    assert isinstance(doc, Action)
    assert len(str(doc.exec.code)) == 200_000
    assert cache.cached(HELLO, rev) is None
    assert cache.cached("guest/small", small) is not None
