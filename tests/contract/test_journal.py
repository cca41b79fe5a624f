"""What every journal does (spec: `upcall.ports.Journal`): what was told to be safe is there for the next life."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from upcall.errors import Unavailable
from upcall.ports import Journal, Left
from upcall.store import journal as sqlite_journal
from upcall.store.fake_journal import FakeJournal
from upcall.store.sqlite import SqliteStore

Life = Callable[[], Awaitable[Journal]]
"""Ends the life before, and begins the next."""


@pytest.fixture(params=["fake", "sqlite", "sqlite-full"])
async def life(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Life]:
    rows: dict[str, Left] = {}
    stack = AsyncExitStack()
    monkeypatch.setattr(sqlite_journal.SqliteJournal.__init__, "__defaults__", ((), 3, 100))

    async def begin() -> Journal:
        await stack.aclose()
        if request.param == "fake":
            return FakeJournal(rows, bound=3)
        store = SqliteStore(tmp_path / "upcall.db", "full" if request.param == "sqlite-full" else "normal")
        return (await stack.enter_async_context(store)).journal

    yield begin
    await stack.aclose()


async def accept(journal: Journal, id: str) -> None:
    """Raises what the journal tells."""
    told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    journal.accept(id, "invoker0", id.encode(), told.set_result)
    if (error := await told) is not None:
        raise error


async def called(ask: Callable[[Callable[[], None]], None]) -> None:
    told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ask(lambda: told.set_result(None))
    await told


async def test_what_was_accepted_is_left_to_the_next_life_in_its_order_once(life: Life) -> None:
    journal = await life()
    for id in ("n/b", "n/a"):
        await accept(journal, id)
    assert journal.left() == () or list(journal.left()) == []
    journal = await life()
    found = list(journal.left())
    assert found == [Left("n/b", "invoker0", b"n/b", False), Left("n/a", "invoker0", b"n/a", False)]
    assert list(journal.left()) == []


async def test_what_started_is_left_as_started_and_what_ended_is_not(life: Life) -> None:
    journal = await life()
    for id in ("n/a", "n/b", "n/c"):
        await accept(journal, id)
    await called(lambda then: journal.started("n/b", then))
    journal.ended("n/a")
    journal = await life()
    assert [(each.id, each.started) for each in journal.left()] == [("n/b", True), ("n/c", False)]
    await called(lambda then: journal.started("n/c", then))
    journal.ended("n/b")
    journal = await life()
    assert [(each.id, each.started) for each in journal.left()] == [("n/c", True)]


async def test_what_is_kept_has_the_state_that_it_had(life: Life) -> None:
    journal = await life()
    await called(lambda then: journal.keep("n/a", "invoker0", b"a", True, then))
    await called(lambda then: journal.keep("n/b", "invoker0", b"b", False, then))
    journal = await life()
    assert [(each.id, each.started) for each in journal.left()] == [("n/a", True), ("n/b", False)]


async def test_a_full_journal_refuses_and_keeps_what_it_must(life: Life) -> None:
    journal = await life()
    for id in ("n/a", "n/b", "n/c"):
        await accept(journal, id)
    with pytest.raises(Unavailable):
        await accept(journal, "n/d")
    await called(lambda then: journal.keep("n/e", "invoker0", b"e", False, then))
    for id in ("n/a", "n/e"):
        journal.ended(id)
    await accept(journal, "n/f")
    journal = await life()
    assert [each.id for each in journal.left()] == ["n/b", "n/c", "n/f"]


async def test_of_what_it_does_not_know_it_makes_nothing(life: Life) -> None:
    journal = await life()
    await called(lambda then: journal.started("n/x", then))
    journal.ended("n/x")
    journal = await life()
    assert list(journal.left()) == []
