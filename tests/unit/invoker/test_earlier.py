"""What an earlier life has left: acknowledged from its record, from what it has said, or as failed (D7;
docs/adr/0017-recovery.md)."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from msgspec import Raw, structs

from tests.unit.invoker.conftest import Stage, annotations, value
from upcall.bus import memory as memory_bus
from upcall.bus.memory import MemoryBus, MemoryFeed
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels, fallback_record
from upcall.errors import NotFound, Unavailable
from upcall.invoker import asking, told
from upcall.model import texts
from upcall.model.activation import SUCCESS, WHISK_ERROR, Activation, Response
from upcall.model.documents import Document
from upcall.model.entities import Action
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    ResultMessage,
    Topic,
    invoker_topic,
)
from upcall.ports import Stored
from upcall.testing import a_message, an_action, an_instance, until


async def redelivered(stage: Stage, action: Action, **options: Any) -> ActivationMessage:
    """A message that an earlier life has started, as a bus that outlives the process delivers it."""
    message = a_message(action, await stage.put(action), **options)
    stage.invoker._deliver(99, message, True)
    await stage.controller.ended(message.activation_id)
    return message


@pytest.mark.parametrize(("blocking", "shape"), [(True, "combined"), (False, "combined-id")])
async def test_what_an_earlier_life_has_started_does_not_run_again(stage: Stage, blocking: bool, shape: str) -> None:
    async with stage.started() as invoker:
        message = await redelivered(stage, an_action(), blocking=blocking)
        record = await stage.stored(message)
        assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.INTERRUPTED})
        assert (annotations(record)["kind"], annotations(record)["timeout"]) == ("python:3", False)
        assert stage.shapes(message) == [shape]
        assert stage.containers.made == []
        assert invoker.counters.activations == 1


async def test_the_record_that_an_earlier_life_has_left_stands(stage: Stage) -> None:
    async with stage.started():
        message = await stage.call(an_action(), content={"a": 1})
        stage.controller.acks.clear()
        stage.invoker._deliver(99, message, True)
        await stage.controller.ended(message.activation_id)
        assert value(stage.controller.record(message.activation_id)) == {"a": 1}
        assert value(await stage.stored(message)) == {"a": 1}
        assert stage.container.story == ["/init", "/run"]


async def test_an_idempotent_action_runs_again(stage: Stage) -> None:
    async with stage.started() as invoker:
        message = await redelivered(stage, an_action(annotations={"idempotent": True}), content={"a": 1})
        assert value(await stage.stored(message)) == {"a": 1}
        assert stage.container.story == ["/init", "/run"]
        assert invoker.counters.activations == 1


async def test_what_has_started_and_whose_action_is_gone_is_answered_too(stage: Stage) -> None:
    async with stage.started():
        message = a_message(an_action(), "1-0")
        stage.invoker._deliver(99, message, True)
        await stage.controller.ended(message.activation_id)
        assert value(await stage.stored(message)) == {"error": texts.INTERRUPTED}


class Away:
    """A store that cannot be read `times` times."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
        self.asked = 0
        self._times = times
        self._get = stage.store.get
        monkeypatch.setattr(stage.store, "get", self.get)

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        self.asked += 1
        if self.asked <= self._times:
            raise Unavailable("away")
        return await self._get(kind, id, rev)


async def test_a_record_that_cannot_be_read_is_not_contradicted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "AGAIN", 0.0)
    async with stage.started():
        message = await stage.call(an_action(), content={"a": 1})
        stage.controller.acks.clear()
        away = Away(stage, monkeypatch, 3)
        stage.invoker._deliver(99, message, True)
        await stage.controller.ended(message.activation_id)
        assert away.asked == 5, "one of them was whether it answers at all"
        assert value(stage.controller.record(message.activation_id)) == {"a": 1}


async def test_what_a_predecessor_records_meanwhile_is_what_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is alive yet: between the look for its record and the one of its failure it writes its own."""
    async with stage.started():
        late = await stage.stored(await stage.call(an_action(), content={"a": 1}))
        message = a_message(an_action(), await stage.put(an_action()))
        late.activation_id = message.activation_id
        record = stage.store.record

        def slower(activation: Activation) -> bool:
            return record(late) and record(activation)

        monkeypatch.setattr(stage.store, "record", slower)
        stage.invoker._deliver(99, message, True)
        await stage.controller.ended(message.activation_id)
        assert value(stage.controller.record(message.activation_id)) == {"a": 1}
        assert value(await stage.stored(message)) == {"a": 1}


async def test_a_stop_does_not_wait_for_a_store_that_is_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has started is for the next life."""
    async with stage.started():
        away = Away(stage, monkeypatch, float("inf"))
        message = a_message(an_action(), "1-0")
        stage.invoker._deliver(99, message, True)
        while not away.asked:
            await asyncio.sleep(0)
    assert stage.shapes(message) == []


class Remembering(MemoryBus):
    """Has kept acknowledgements of an earlier life; away for the first `silent` times."""

    def __init__(self, silent: int = 0) -> None:
        super().__init__()
        self.said: list[Message] = []
        self.asked: list[tuple[str, int]] = []
        self._silent = silent

    async def recall(self, topic: Topic, since: int, heard: Callable[[Message], None]) -> None:
        self.asked.append((topic.name, since))
        if len(self.asked) <= self._silent:
            raise Unavailable("away")
        for message in self.said:
            heard(message)


FAILURES = StoreLevels("STORE_FAILURES", "STORE_FAILURES")


@pytest.mark.parametrize(
    ("said", "expected", "status"),
    [
        (lambda id: [], ["combined"], WHISK_ERROR),
        (lambda id: [ResultMessage(["tid"], id)], ["completion"], None),
        (lambda id: [ResultMessage(["tid"], id), CompletionMessage(["tid"], id, False, an_instance())], [], None),
        (lambda id: [CombinedMessage(["tid"], id, False, an_instance())], [], None),
        (lambda id: [CompletionMessage(["tid"], "f" * 32, False, an_instance())], ["combined"], WHISK_ERROR),
    ],
)
async def test_what_was_not_to_be_recorded_is_known_from_its_acknowledgements(
    stage: Stage, said: Callable[[str], list[Message]], expected: list[str], status: int | None
) -> None:
    bus = stage.bus = stage.controller._bus = Remembering()
    async with stage.started(levels=FAILURES) as invoker:
        message = a_message(an_action(), await stage.put(an_action()))
        bus.said = said(message.activation_id)
        await invoker._settle(7, message)
        assert stage.shapes(message) == expected
        assert bus.asked == [("completed0", 1_764_000_000_000 - 2 * told.SKEW)]
        assert await recorded(stage, message) == status


def a_record(message: ActivationMessage, status: int = SUCCESS) -> Activation:
    return fallback_record(message, Response(status, Raw(b'{"n":1}')), 1)


@pytest.mark.parametrize("levels", [StoreLevels(), FAILURES])
@pytest.mark.parametrize("freed", [True, False])
@pytest.mark.parametrize("status", [SUCCESS, WHISK_ERROR])
async def test_what_was_told_with_its_whole_record_stands_and_gets_that_record(
    stage: Stage, levels: StoreLevels, freed: bool, status: int
) -> None:
    bus = stage.bus = stage.controller._bus = Remembering()
    async with stage.started(levels=levels) as invoker:
        message = a_message(an_action(), await stage.put(an_action(annotations={"idempotent": True})))
        record = a_record(message, status)
        bus.said = [
            CombinedMessage(["tid"], record, False, an_instance()) if freed else ResultMessage(["tid"], record),
            ResultMessage(["tid"], a_record(message, 2)),
        ]
        await invoker._settle(7, message)
        assert stage.shapes(message) == ([] if freed else ["completion"])
        assert [ack.is_system_error for ack in stage.controller.acks if isinstance(ack, CompletionMessage)] == (
            [] if freed else [status == WHISK_ERROR]
        )
        assert await recorded(stage, message) == (None if levels is FAILURES and status == SUCCESS else status)


async def test_an_id_alone_or_a_free_slot_tells_no_result(stage: Stage) -> None:
    bus = stage.bus = stage.controller._bus = Remembering()
    async with stage.started() as invoker:
        message = a_message(an_action(), await stage.put(an_action()))
        bus.said = [CombinedMessage(["tid"], message.activation_id, False, an_instance())]
        await invoker._settle(7, message)
        assert await recorded(stage, message) == WHISK_ERROR


async def test_for_whom_nobody_waited_no_topic_is_read(stage: Stage) -> None:
    bus = stage.bus = stage.controller._bus = Remembering()
    async with stage.started() as invoker:
        message = a_message(an_action(), await stage.put(an_action()), blocking=False)
        await invoker._settle(7, message)
        assert bus.asked == []
        assert await recorded(stage, message) == WHISK_ERROR


async def test_records_that_are_too_much_to_hold_are_read_again_one_by_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "RECORDS", 2000)
    bus = stage.bus = stage.controller._bus = Remembering()
    async with stage.started() as invoker:
        messages = [a_message(an_action(), await stage.put(an_action(f"a{number}"))) for number in range(3)]
        bus.said = [ResultMessage(["tid"], a_record(message)) for message in messages]
        for message, reads in zip(messages[::-1], (1, 2, 3), strict=True):
            await invoker._settle(7, message)
            assert len(bus.asked) == reads
            assert await recorded(stage, message) == SUCCESS


async def test_what_another_invoker_says_is_not_remembered() -> None:
    heard, message = told.Heard(0, 0), a_message()
    heard.hear(ResultMessage(["tid"], a_record(message)))
    heard.hear(CompletionMessage(["tid"], message.activation_id, False, structs.replace(an_instance(), instance=1)))
    assert heard.said == {}


async def test_what_was_read_is_let_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "FORGET", 0.0)
    bus = Remembering()
    asked = told.Told(bus, 0, "")
    for _ in range(2):
        assert await asked.said(a_message()) is None
        await until(lambda: not asked._heard)
    assert len(bus.asked) == 2


async def test_a_topic_is_read_once_for_all_that_came_at_about_the_same_time(stage: Stage) -> None:
    bus = stage.bus = stage.controller._bus = Remembering()
    async with stage.started(levels=FAILURES) as invoker:
        for late in (0, told.SKEW // 2, -told.SKEW // 2):
            message = a_message(an_action(), await stage.put(an_action()))
            message.transid = ["tid", 1_764_000_000_000 + late]
            await invoker._settle(7, message)
        assert len(bus.asked) == 1
        message = a_message(an_action(), await stage.put(an_action()))
        message.transid = ["tid"]
        await invoker._settle(7, message)
        assert bus.asked[1:] == [("completed0", -2 * told.SKEW)]


async def test_brokers_that_are_away_are_asked_until_they_answer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "AGAIN", 0.001)
    bus = stage.bus = stage.controller._bus = Remembering(silent=3)
    async with stage.started(levels=FAILURES) as invoker:
        message = a_message(an_action(), await stage.put(an_action()))
        bus.said = [CombinedMessage(["tid"], message.activation_id, False, an_instance())]
        await invoker._settle(7, message)
        assert len(bus.asked) == 4
        assert stage.shapes(message) == []


async def recorded(stage: Stage, message: ActivationMessage) -> int | None:
    """The status that its record has, if there is one."""
    try:
        return (await stage.stored(message)).response.status_code
    except NotFound:
        return None


class Holding(MemoryFeed):
    """Acknowledges no start before it is told to."""

    held: ClassVar[list[Callable[[], None]]] = []

    def started(self, offset: int, then: Callable[[], None]) -> None:
        self.held.append(then)


@pytest.mark.parametrize(
    ("memory", "gone"), [(1024, True), (128, False)], ids=["refused before the pool", "refused by the pool"]
)
async def test_what_is_answered_without_a_run_counts_as_started_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, memory: int, gone: bool
) -> None:
    """A next life would run it otherwise, and its result would contradict the record."""
    monkeypatch.setattr(memory_bus, "MemoryFeed", Holding)
    async with stage.started(PoolConfig(memory=memory)) as invoker:
        message = a_message(an_action(), "1-0" if gone else await stage.put(an_action()))
        stage.bus.send(invoker_topic(0), message)
        await until(lambda: bool(Holding.held))
        assert stage.shapes(message) == []
        assert await recorded(stage, message) is None
        Holding.held.pop()()
        await stage.controller.ended(message.activation_id)
        assert await recorded(stage, message) is not None
        await until(lambda: invoker.load == 0)
