"""Bookkeeping of what is in flight (spec: load-balancer.md §3, bus.md §7)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from upcall.bus.memory import MemoryBus
from upcall.controller import acks as module
from upcall.controller.acks import Acks, Entry
from upcall.controller.plan import Plan, plan_of
from upcall.core.balance import Job
from upcall.core.health import Outcome
from upcall.errors import UpcallError
from upcall.model.activation import Activation
from upcall.model.entities import Action, ActionLimits, Exec, Identity, NamespaceId
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    ResultMessage,
    completed_topic,
)
from upcall.model.names import ControllerId, FullyQualifiedName, InvokerId
from upcall.ports import Stored
from upcall.testing import unexpected

INSTANCE = InvokerId(0, "1 B")
TRANSID = ["t", 1]
PROBE = ["sid_invokerHealth", 1]


def a_message(id_: str = "a" * 32) -> ActivationMessage:
    user = Identity("s", NamespaceId("guest", "uuid"), {})
    return ActivationMessage(
        TRANSID, FullyQualifiedName("guest", "hello", "0.0.1"), "1-a", user, id_, ControllerId("0"), True
    )


def a_record(id_: str = "a" * 32) -> Activation:
    return Activation("guest", "hello", "s", id_, 1)


def a_plan(name: str = "hello", timeout: float = 60.0) -> Plan:
    action = Action("guest", name, Exec("python:3"), ActionLimits(int(timeout * 1000), 256))
    return plan_of(Stored(action, "1-a"), lambda _: False)


def freed(outcome: Outcome | None = Outcome.SUCCESS) -> tuple[str, int, Outcome | None]:
    return "a" * 32, 3, outcome


class Book:
    """Acks on a memory bus, and what they told."""

    def __init__(self, **times: Any) -> None:
        self.bus = MemoryBus()
        self.freed: list[tuple[str, int, Outcome | None]] = []
        self.told: list[tuple[str, Activation | None]] = []
        self.looked: list[tuple[str, bool]] = []
        self.unknown: list[str] = []
        self.acks = Acks(self.bus, "0", self.free, unexpected, unknown=self.wonder, period=0.005, **times)
        self.acks.missing = lambda entry, acknowledged: self.looked.append((entry.id, acknowledged))
        self.changed = asyncio.Event()
        self.failures: list[str] = []

    def free(self, job: Job, invoker: int, outcome: Outcome | None) -> None:
        self.freed.append((job.action.removeprefix("guest/"), invoker, outcome))

    def wonder(self, ack: CompletionMessage | CombinedMessage) -> bool:
        self.unknown.append(ack.activation_id if isinstance(ack, CompletionMessage) else str(ack.response))
        return ack.transid == PROBE

    def done(self, id: str, activation: Activation | None) -> None:
        self.told.append((id, activation))
        self.changed.set()

    def failed(self, id: str, error: UpcallError) -> None:
        self.failures.append(id)

    def register(self, id_: str = "a" * 32, waits: bool = True, wait: float = 60.0) -> Entry:
        return self.acks.register(a_message(id_), a_plan(id_), 3, wait if waits else None, self)

    def send(self, message: Message) -> None:
        self.bus.send(completed_topic("0"), message)


@pytest.fixture
async def book() -> AsyncIterator[Book]:
    made = Book()
    await made.acks.start()
    yield made
    await made.acks.close()


async def test_a_combined_ack_answers_and_frees(book: Book) -> None:
    book.register()
    assert (book.acks.count, book.acks.in_flight) == (1, {"uuid": 1})
    assert book.acks.active() == [("a" * 32, "guest/hello@0.0.1")]
    record = a_record()
    book.send(CombinedMessage(TRANSID, record, False, INSTANCE))
    assert book.told == [("a" * 32, record)]
    assert book.freed == [freed()]
    assert (book.acks.count, book.acks.in_flight) == (0, {})


async def test_a_result_answers_and_the_completion_frees(book: Book) -> None:
    book.register()
    book.send(ResultMessage(TRANSID, a_record()))
    assert (len(book.told), book.freed, book.acks.count) == (1, [], 1)
    book.send(CompletionMessage(TRANSID, "a" * 32, False, INSTANCE))
    assert (len(book.told), book.freed, book.acks.count) == (1, [freed()], 0)


@pytest.mark.parametrize("recalls", [True, False])
async def test_where_the_record_may_come_later_a_result_is_remembered_for_a_moment(
    book: Book, monkeypatch: pytest.MonkeyPatch, recalls: bool
) -> None:
    monkeypatch.setattr(book.bus, "recalls", recalls)
    entry = book.register()
    book.send(ResultMessage(TRANSID, a_record()))
    assert (entry.id in book.acks.recent) == recalls


async def test_acks_that_come_twice_or_late_count_once(book: Book) -> None:
    book.register()
    for _ in range(3):
        book.send(CombinedMessage(TRANSID, a_record(), False, INSTANCE))
        book.send(CompletionMessage(TRANSID, "a" * 32, False, INSTANCE))
    assert (len(book.told), len(book.freed), book.acks.in_flight) == (1, 1, {})


async def test_acks_of_others_change_nothing(book: Book) -> None:
    book.register()
    book.send(CombinedMessage(TRANSID, a_record("b" * 32), False, INSTANCE))
    book.send(CombinedMessage(TRANSID, "c" * 32, False, INSTANCE))
    assert (book.told, book.freed, book.looked, book.acks.count) == ([], [], [], 1)


async def test_an_id_alone_frees_and_sends_who_waits_to_the_store(book: Book) -> None:
    entry = book.register()
    book.send(CombinedMessage(TRANSID, "a" * 32, False, INSTANCE))
    assert (book.looked, book.freed, book.told) == ([("a" * 32, True)], [freed()], [])
    book.acks.resolve(entry, a_record())
    book.acks.resolve(entry, None)
    assert len(book.told) == 1
    assert not book.acks._outlasting


async def test_who_outlasts_the_entry_is_told_when_the_wait_ends(book: Book) -> None:
    book.register(wait=0.01)
    book.send(CombinedMessage(TRANSID, "a" * 32, False, INSTANCE))
    await book.changed.wait()
    assert book.told == [("a" * 32, None)]


async def test_a_wait_ends_and_the_entry_stays(book: Book) -> None:
    before = asyncio.get_running_loop().time()
    book.register(wait=0.03)
    await book.changed.wait()
    assert asyncio.get_running_loop().time() - before >= 0.03
    assert (book.told, book.freed, book.acks.count) == ([("a" * 32, None)], [], 1)
    book.send(CombinedMessage(TRANSID, a_record(), False, INSTANCE))
    assert (len(book.told), book.acks.count) == (1, 0)


async def test_a_completion_that_does_not_come_is_forced_and_a_late_one_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    book = Book(standard=0.0, factor=0.0, addon=0.02)
    await book.acks.start()
    book.register()
    await book.changed.wait()
    assert (book.told, book.freed, book.acks.count) == ([("a" * 32, None)], [freed(Outcome.TIMEOUT)], 0)
    book.send(CombinedMessage(TRANSID, a_record(), False, INSTANCE))
    assert (len(book.told), len(book.freed), book.acks.in_flight) == (1, 1, {})
    assert book.acks.completions == {"regular": 0, "forced": 1, "probe": 0, "late": 1}
    await book.acks.close()


@pytest.mark.parametrize(("failed", "outcome"), [(True, Outcome.SYSTEM_ERROR), (False, Outcome.SUCCESS)])
@pytest.mark.parametrize("shape", ["completion", "combined", "id"])
async def test_how_it_ended_is_told_with_the_slot(book: Book, shape: str, failed: bool, outcome: Outcome) -> None:
    book.register()
    ack: dict[str, Message] = {
        "completion": CompletionMessage(TRANSID, "a" * 32, failed, INSTANCE),
        "combined": CombinedMessage(TRANSID, a_record(), failed, INSTANCE),
        "id": CombinedMessage(TRANSID, "a" * 32, failed, INSTANCE),
    }
    book.send(ack[shape])
    assert book.freed == [freed(outcome)]
    assert book.unknown == []


async def test_completions_of_what_is_not_known_are_told_once_and_free_nothing(book: Book) -> None:
    book.register()
    book.send(CompletionMessage(PROBE, "b" * 32, False, INSTANCE))
    book.send(CombinedMessage(TRANSID, "c" * 32, False, INSTANCE))
    book.send(ResultMessage(TRANSID, "d" * 32))
    assert book.unknown == ["b" * 32, "c" * 32]
    assert (book.freed, book.acks.count) == ([], 1)
    assert book.acks.completions == {"regular": 0, "forced": 0, "probe": 1, "late": 1}


@pytest.mark.parametrize(("timeout", "seconds"), [(0.1, 180.0), (60.0, 180.0), (300.0, 660.0)])
async def test_the_time_until_a_completion_is_forced(book: Book, timeout: float, seconds: float) -> None:
    before = asyncio.get_running_loop().time()
    entry = book.acks.register(a_message(), a_plan(timeout=timeout), 0, None, book)
    assert entry.forced - before == pytest.approx(seconds, abs=0.1)


async def test_a_long_wait_looks_into_the_store_now_and_then(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_POLL", 0.01)
    book.register(wait=0.1)
    await book.changed.wait()
    assert 2 <= len(book.looked) <= 10
    assert set(book.looked) == {("a" * 32, False)}


async def test_a_withdrawn_entry_is_freed_and_tells_nobody(book: Book) -> None:
    entry = book.register()
    assert book.acks.withdraw(entry) is True
    assert book.acks.withdraw(entry) is False
    assert (book.told, book.freed, book.acks.count) == ([], [freed(None)], 0)


async def test_closing_ends_all_waits(book: Book) -> None:
    book.register("b" * 32)
    book.register("c" * 32)
    book.send(CombinedMessage(TRANSID, "c" * 32, False, INSTANCE))
    await book.acks.close()
    assert book.told == [("b" * 32, None), ("c" * 32, None)]


async def test_one_caller_that_fails_does_not_stop_the_others(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Book):
        def done(self, id: str, activation: Activation | None) -> None:
            raise RuntimeError("broken")

    book.acks.register(a_message("b" * 32), a_plan(), 0, 60, Broken())
    book.register()
    book.send(CombinedMessage(TRANSID, a_record("b" * 32), False, INSTANCE))
    book.send(CombinedMessage(TRANSID, a_record(), False, INSTANCE))
    assert (len(book.told), book.acks.count) == (1, 0)
    assert "broken" in caplog.text


async def test_more_acks_than_the_first_credit_arrive(book: Book) -> None:
    for number in range(2000):
        book.register(f"{number:032x}", waits=False)
        book.send(CompletionMessage(TRANSID, f"{number:032x}", False, INSTANCE))
    assert (book.acks.count, len(book.freed)) == (0, 2000)
