"""A wait that is over: its caller is told the id once the activation outlives the process (D7)."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from tests.unit.controller.test_acks import TRANSID, Book, a_message, a_record
from upcall.bus.memory import MemoryBus
from upcall.controller import acks as module
from upcall.controller.acks import Entry
from upcall.model.messages import CombinedMessage, CompletionMessage, Message, Topic
from upcall.testing import an_instance, until


class KeepingBus(MemoryBus):
    """Keeps nothing before the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Topic, Message, Callable[[], None]]] = []

    def keep(self, topic: Topic, message: Message, then: Callable[[], None]) -> None:
        self.asked.append((topic, message, then))


@pytest.fixture
async def keeping(monkeypatch: pytest.MonkeyPatch) -> tuple[Book, KeepingBus]:
    bus = KeepingBus()
    monkeypatch.setattr("tests.unit.controller.test_acks.MemoryBus", lambda: bus)
    book = Book()
    await book.acks.start()
    return book, bus


async def test_the_id_is_told_when_it_is_kept_and_not_before(keeping: tuple[Book, KeepingBus]) -> None:
    book, bus = keeping
    book.register(wait=0.01)
    await until(lambda: bool(bus.asked))
    ((topic, message, kept),) = bus.asked
    assert (topic.name, topic.carries, message) == ("invoker3", "activation", a_message())
    assert book.told == []
    kept()
    assert book.told == [("a" * 32, None)]
    assert book.acks.count == 1, "its slot is taken until the Invoker says otherwise"
    await book.acks.close()


async def test_a_result_that_comes_meanwhile_is_told_and_nothing_else(keeping: tuple[Book, KeepingBus]) -> None:
    book, bus = keeping
    book.register(wait=0.01)
    await until(lambda: bool(bus.asked))
    book.send(CombinedMessage(TRANSID, a_record(), False, an_instance()))
    bus.asked[0][2]()
    assert book.told == [("a" * 32, a_record())]
    await book.acks.close()


async def test_it_is_asked_once(keeping: tuple[Book, KeepingBus], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_POLL", 0.01)
    book, bus = keeping
    entry: Entry = book.register(wait=0.01)
    await until(lambda: len(book.looked) > 2)
    book.acks._give_up(entry)
    assert len(bus.asked) == 1
    bus.asked[0][2]()
    await book.acks.close()


async def test_at_the_end_all_waits_end_as_soon_as_they_are_kept(keeping: tuple[Book, KeepingBus]) -> None:
    book, bus = keeping
    for letter in "ab":
        book.register(letter * 32)
    book.register("c" * 32, waits=False)
    outlasting = book.register("d" * 32)
    book.send(CompletionMessage(TRANSID, outlasting.id, False, an_instance()))
    ending = asyncio.create_task(book.acks.end_waits())
    await until(lambda: len(bus.asked) == 3)
    for _, _, kept in bus.asked[:2]:
        kept()
    await asyncio.sleep(0)
    assert not ending.done()
    bus.asked[2][2]()
    await ending
    assert book.told == [(letter * 32, None) for letter in "abd"]
    await book.acks.close()


async def test_who_cannot_be_kept_is_not_waited_for_without_end(
    keeping: tuple[Book, KeepingBus], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(module, "KEEPING", 0.01)
    book, _ = keeping
    book.register()
    await book.acks.end_waits()
    assert book.told == []
    assert "1 callers get no answer" in caplog.text
    await book.acks.close()
