"""The cache of actions: one read for many, nothing stale after a write, bounded."""

import asyncio

import pytest
from msgspec import UNSET, Raw

from upcall.controller.cache import DocumentCache
from upcall.errors import NotFound
from upcall.model.documents import Document
from upcall.model.entities import Action, ActionLimits, Exec, Parameter
from upcall.ports import Stored
from upcall.store.fake import FakeStore


def an_action(name: str = "hello", value: bytes = b"1", version: str = "0.0.1") -> Action:
    exec_ = Exec("python:3", "some code", main="go")
    return Action(
        "guest", name, exec_, ActionLimits(60_000, 256), version=version, parameters=[Parameter("p", Raw(value))]
    )


class GatedStore(FakeStore):
    """Reads wait for the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        self.reads += 1
        try:
            return await super().get(kind, id, rev)
        finally:
            await self.gate.wait()


async def test_an_action_is_read_once_and_kept_without_its_code() -> None:
    store = GatedStore()
    rev = await store.put(an_action())
    cache = DocumentCache(store)
    assert cache.cached("guest/hello") is None
    stored = await cache.fetch("guest/hello")
    assert stored.rev == rev
    assert isinstance(stored.doc, Action)
    assert (stored.doc.exec.code, stored.doc.exec.main) == (UNSET, "go")
    assert cache.cached("guest/hello") is stored
    await cache.fetch("guest/hello")
    assert store.reads == 1


async def test_fetches_that_come_together_share_a_read_and_its_error() -> None:
    store = GatedStore()
    store.gate.clear()
    cache = DocumentCache(store)
    fetches = [asyncio.ensure_future(cache.fetch("guest/none")) for _ in range(3)]
    await asyncio.sleep(0)
    store.gate.set()
    for fetch in fetches:
        with pytest.raises(NotFound):
            await fetch
    assert store.reads == 1


async def test_a_cancelled_reader_leaves_the_others_an_answer() -> None:
    store = GatedStore()
    await store.put(an_action())
    store.gate.clear()
    cache = DocumentCache(store)
    first, second = (asyncio.ensure_future(cache.fetch("guest/hello")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    store.gate.set()
    assert (await second).doc.id == "guest/hello"


async def test_what_was_read_before_a_write_is_not_kept() -> None:
    store = GatedStore()
    rev = await store.put(an_action())
    store.gate.clear()
    cache = DocumentCache(store)
    fetch = asyncio.ensure_future(cache.fetch("guest/hello"))
    await asyncio.sleep(0)
    store.gate.set()
    new = await store.put(an_action(version="0.0.2"), rev)
    cache.forget("guest/hello")
    assert (await fetch).rev == rev
    assert cache.cached("guest/hello") is None
    assert (await cache.fetch("guest/hello")).rev == new


async def test_an_entry_ends_with_its_time() -> None:
    now = [0.0]
    store = GatedStore()
    await store.put(an_action())
    cache = DocumentCache(store, ttl=300, clock=lambda: now[0])
    await cache.fetch("guest/hello")
    now[0] = 300.0
    assert cache.cached("guest/hello") is None


async def test_the_cache_is_bounded_by_the_size_of_what_it_holds() -> None:
    store = FakeStore()
    cache = DocumentCache(store, room=30_000)
    for name, size in (("a0", 10_000), ("a1", 10_000), ("a2", 10_000), ("a3", 10_000), ("big", 30_000)):
        await store.put(an_action(name, b'"' + b"x" * size + b'"'))
        await cache.fetch(f"guest/{name}")
    known = [name for name in ("a0", "a1", "a2", "a3", "big") if cache.cached(f"guest/{name}") is not None]
    assert known == ["a2", "a3"]
