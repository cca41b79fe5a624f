"""invoker.blacklist: blocked namespaces are refused as soon as the store tells of them (spec: store.md §7)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.unit.invoker.conftest import Stage, value
from upcall.errors import NotFound, Unavailable
from upcall.invoker.blacklist import Blacklist
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR
from upcall.model.entities import Limits, NamespaceKey, Subject, UserLimits
from upcall.store.fake import FakeStore
from upcall.testing import an_action, until

NAMESPACE = NamespaceKey("guest", "23bc46b1-71f6-4ed5-8c54-816aa4f8c502", "k" * 64)


async def block(store: FakeStore) -> None:
    await store.put(Subject("guest", [NAMESPACE], blocked=True))


@contextlib.asynccontextmanager
async def following(blacklist: Blacklist) -> AsyncIterator[None]:
    task = asyncio.create_task(blacklist.follow(0.001))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("blocking", "shape"), [(True, "combined"), (False, "combined-id")])
async def test_a_blocked_namespace_is_answered_and_nothing_is_kept(stage: Stage, blocking: bool, shape: str) -> None:
    await block(stage.store)
    async with stage.started():
        message = await stage.call(an_action(), blocking=blocking)
        assert stage.shapes(message) == [shape]
        assert stage.containers.made == []
        with pytest.raises(NotFound):
            await stage.stored(message)
        if blocking:
            record = stage.controller.record(message.activation_id)
            assert record.response.status_code == APPLICATION_ERROR
            assert value(record) == {"error": texts.NAMESPACE_BLOCKED}


async def test_what_the_store_tells_is_read_and_undone() -> None:
    store = FakeStore()
    blacklist = Blacklist(store, 3600.0)
    await blacklist.read()
    assert blacklist.names == frozenset()
    async with following(blacklist):
        revision = await store.put(Limits("guest", UserLimits(concurrent_invocations=0)))
        await until(lambda: blacklist.names == {"guest"})
        await store.delete(Limits, "guest/limits", revision)
        await until(lambda: blacklist.names == frozenset())


async def test_nobody_is_refused_by_names_that_are_older_than_the_store() -> None:
    store = FakeStore()
    revision = await store.put(Limits("guest", UserLimits(concurrent_invocations=0)))
    blacklist = Blacklist(store, 3600.0)
    await blacklist.read()
    assert blacklist.refuses("guest")
    await store.delete(Limits, "guest/limits", revision)
    assert not blacklist.refuses("guest")


async def test_each_interval_it_is_read_whatever_the_store_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    monkeypatch.setattr(store, "changes", lambda: None)
    blacklist = Blacklist(store, 0.01)
    async with following(blacklist):
        await block(store)
        await until(lambda: blacklist.names == {"guest"})


async def test_what_a_store_answers_late_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CouchDB's view, which is brought up to date by being asked."""
    store = FakeStore()
    had: list[frozenset[str]] = [frozenset()]
    fresh = store.blocked

    async def late() -> frozenset[str]:
        had.append(await fresh())
        return had[-2]

    monkeypatch.setattr(store, "blocked", late)
    await block(store)
    blacklist = Blacklist(store, 3600.0)
    await blacklist.read()
    assert blacklist.names == frozenset()
    async with following(blacklist):
        await until(lambda: blacklist.names == {"guest"})
        await store.put(Limits("team", UserLimits(concurrent_invocations=0)))
        await until(lambda: blacklist.names == {"guest", "team"})


async def test_what_cannot_be_read_leaves_the_names_as_they_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeStore()
    await block(store)
    blacklist = Blacklist(store, 0.01)
    await blacklist.read()

    async def fail() -> frozenset[str]:
        raise Unavailable("away")

    monkeypatch.setattr(store, "blocked", fail)
    async with following(blacklist):
        await until(lambda: "cannot be read: away" in caplog.text)
    assert blacklist.names == {"guest"}
