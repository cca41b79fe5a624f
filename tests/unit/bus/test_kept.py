"""Activations in memory and in the journal: what is safe when, and what the next life gets."""

import logging
from typing import Any

import pytest

from upcall.bus.kept import KeptLine
from upcall.bus.line import Line
from upcall.bus.memory import MemoryBus
from upcall.errors import Unavailable
from upcall.model.messages import ActivationMessage, Message, PingMessage, Topic, invoker_topic
from upcall.ports import Feed, Left
from upcall.store.fake_journal import FakeJournal
from upcall.testing import a_message, an_instance, unexpected

TOPIC = invoker_topic(0)


class Stage:
    """A bus, its journal, and a consumer that notes what it gets."""

    def __init__(self, journal: FakeJournal | None = None, bound: int = 100) -> None:
        self.journal = journal or FakeJournal()
        self.bus = MemoryBus(bound, self.journal)
        self.got: list[tuple[Message, bool]] = []
        self.offsets: dict[str, int] = {}
        self.told: list[object] = []
        self.feed: Feed

    async def consume(self, units: int = 100) -> None:
        self.feed = await self.bus.feed(TOPIC, "g", self._deliver, unexpected)
        self.feed.pull(units)

    def _deliver(self, offset: int, message: Message, started: bool) -> None:
        assert isinstance(message, ActivationMessage)
        self.got.append((message, started))
        self.offsets[message.activation_id] = offset

    def send(self, blocking: bool) -> ActivationMessage:
        message = a_message(blocking=blocking)
        self.bus.send(TOPIC, message, self.told.append)
        return message

    def start(self, message: ActivationMessage) -> None:
        self.feed.started(self.offsets[message.activation_id], lambda: self.told.append("starts"))

    def done(self, message: ActivationMessage) -> None:
        self.feed.done(self.offsets[message.activation_id])

    def keep(self, message: ActivationMessage) -> None:
        self.bus.keep(TOPIC, message, lambda: self.told.append("kept"))

    @property
    def rows(self) -> list[tuple[str, bool]]:
        return [(each.id, each.started) for each in self.journal.rows.values()]


def row(message: ActivationMessage, started: bool = False) -> tuple[str, bool]:
    return f"guest/{message.activation_id}", started


async def test_one_that_nobody_waits_for_is_in_the_journal_before_anybody_is_told_or_gets_it() -> None:
    stage = Stage()
    await stage.consume()
    stage.journal.slow = True
    message = stage.send(blocking=False)
    assert (stage.told, stage.got) == ([], [])
    stage.journal.settle()
    assert (stage.told, stage.got) == ([None], [(message, False)])
    assert stage.rows == [row(message)]


async def test_its_code_waits_until_its_start_is_in_the_journal_and_its_end_forgets_it() -> None:
    stage = Stage()
    await stage.consume()
    message = stage.send(blocking=False)
    stage.journal.slow = True
    stage.start(message)
    assert stage.told == [None]
    stage.journal.settle()
    assert stage.told == [None, "starts"]
    assert stage.rows == [row(message, True)]
    stage.done(message)
    assert stage.rows == []


async def test_what_the_journal_refuses_is_not_delivered() -> None:
    stage = Stage()
    await stage.consume()
    stage.journal.slow = True
    stage.send(blocking=False)
    stage.journal.settle(Unavailable("the disk is full"))
    assert isinstance(stage.told[0], Unavailable)
    assert stage.got == []


async def test_one_that_somebody_waits_for_costs_the_journal_nothing() -> None:
    stage = Stage()
    await stage.consume()
    stage.journal.slow = True
    message = stage.send(blocking=True)
    stage.start(message)
    stage.done(message)
    assert (stage.told, stage.rows) == ([None, "starts"], [])
    assert stage.got == [(message, False)]


@pytest.mark.parametrize("state", ["queued", "delivered", "started"])
async def test_it_is_kept_with_its_state_when_its_wait_is_over(state: str) -> None:
    stage = Stage()
    await stage.consume(0 if state == "queued" else 9)
    message = stage.send(blocking=True)
    if state == "started":
        stage.start(message)
    stage.told.clear()
    stage.keep(message)
    stage.keep(message)
    assert stage.told == ["kept", "kept"]
    assert stage.rows == [row(message, state == "started")]
    stage.feed.pull(1)
    if state != "started":
        stage.start(message)
        assert stage.rows == [row(message, True)]
    stage.done(message)
    assert stage.rows == []


async def test_one_that_has_ended_is_not_kept() -> None:
    stage = Stage()
    await stage.consume()
    message = stage.send(blocking=True)
    stage.start(message)
    stage.done(message)
    refused = stage.send(blocking=True)
    stage.done(refused)
    for ended in (message, refused):
        stage.keep(ended)
    assert stage.told[-2:] == ["kept", "kept"]
    assert stage.rows == []


async def test_what_is_delivered_and_not_started_is_kept_after_the_feed_is_closed() -> None:
    stage = Stage()
    await stage.consume()
    message = stage.send(blocking=True)
    await stage.feed.close()
    stage.keep(message)
    assert stage.rows == [row(message)]


async def test_the_next_life_gets_what_is_left_and_what_started_as_started() -> None:
    rows: dict[str, Left] = {}
    stage = Stage(FakeJournal(rows))
    await stage.consume()
    started, delivered = stage.send(blocking=False), stage.send(blocking=False)
    stage.start(started)
    ended = stage.send(blocking=False)
    stage.start(ended)
    stage.done(ended)

    later = Stage(FakeJournal(rows))
    assert later.bus.restore() == 2
    assert later.bus.restore() == 0
    await later.consume(1)
    assert later.got == [(started, True)], "no more than was pulled"
    fresh = later.send(blocking=True)
    later.feed.pull(9)
    assert later.got == [(started, True), (delivered, False), (fresh, False)]
    later.done(started)
    later.start(delivered)
    assert later.rows == [row(delivered, True)]
    later.done(delivered)
    assert rows == {}


async def test_one_that_may_run_again_runs_without_being_told_anew() -> None:
    rows: dict[str, Left] = {}
    stage = Stage(FakeJournal(rows))
    await stage.consume()
    message = stage.send(blocking=False)
    stage.start(message)
    later = Stage(FakeJournal(rows))
    later.bus.restore()
    await later.consume()
    later.start(message)
    assert later.told == ["starts"]
    later.done(message)
    assert rows == {}


async def test_what_cannot_be_read_stays_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    stage = Stage()
    message = stage.send(blocking=False)
    rows = {"guest/new": Left("guest/new", "invoker0", b'{"newer":1}', False), **stage.journal.rows}
    later = Stage(FakeJournal(rows))
    assert later.bus.restore() == 1
    await later.consume()
    assert later.got == [(message, False)]
    assert "guest/new" in rows
    assert "guest/new of an earlier life stays in the journal" in caplog.text


async def test_a_full_line_takes_none_into_the_journal() -> None:
    stage = Stage(bound=1)
    stage.journal.slow = True
    stage.send(blocking=False)
    stage.send(blocking=False)
    assert [type(error) for error in stage.told] == [Unavailable], "the first one has the last place"
    stage.journal.settle()
    assert stage.told[1:] == [None]
    assert len(stage.rows) == 1


async def test_a_promise_outlasts_a_line_that_filled_up_meanwhile() -> None:
    stage = Stage(bound=1)
    stage.journal.slow = True
    message = stage.send(blocking=False)
    first = stage.send(blocking=True)
    stage.journal.settle()
    await stage.consume()
    assert [got for got, _ in stage.got] == [first, message]


async def test_without_a_journal_everything_is_kept_as_well_as_it_can_be() -> None:
    bus = MemoryBus()
    told: list[str] = []
    bus.keep(TOPIC, a_message(), lambda: told.append("kept"))
    bus.keep(Topic("health", "ping"), PingMessage(an_instance()), lambda: told.append("kept"))
    assert told == ["kept", "kept"]
    assert bus.restore() == 0


async def test_what_cannot_be_encoded_is_its_senders_error() -> None:
    stage = Stage()
    message = a_message(blocking=False)
    message.transid = ["\ud800", 1]
    stage.bus.send(TOPIC, message, stage.told.append)
    assert [type(error) for error in stage.told] == [UnicodeEncodeError]
    assert stage.rows == []


class Counting(dict[int, ActivationMessage]):
    """Counts how often it is looked through."""

    passes = 0

    def values(self) -> Any:
        self.passes += 1
        return super().values()


async def test_waits_that_end_together_do_not_each_look_through_all_that_runs() -> None:
    stage = Stage()
    await stage.consume()
    running = [stage.send(blocking=True) for _ in range(50)]
    for message in running[:25]:
        stage.start(message)
    line = next(iter(stage.bus._lines[TOPIC.name].values()))
    assert isinstance(line, KeptLine)
    line._running = counting = Counting(line._running)
    for message in running:
        stage.keep(message)
    assert counting.passes == 1
    assert stage.rows == [row(message, number < 25) for number, message in enumerate(running)]


async def test_what_has_started_since_another_was_kept_is_kept_as_started() -> None:
    stage = Stage()
    await stage.consume()
    first, second, third = (stage.send(blocking=True) for _ in range(3))
    stage.keep(first)
    stage.start(second)
    stage.keep(second)
    stage.done(third)
    stage.keep(third)
    fourth = stage.send(blocking=True)
    stage.keep(fourth)
    assert stage.rows == [row(first), row(second, True), row(fourth)]


def test_messages_and_acks_go_through_code_of_their_own() -> None:
    """Which the interpreter fits to one class each."""
    assert KeptLine.take.__code__ is not Line.take.__code__
    assert KeptLine.pull.__code__ is not Line.pull.__code__
