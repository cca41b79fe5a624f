"""A store that is away: what has not started waits for it, and controllers hear that they should send no more."""

import asyncio
from typing import Any

import pytest

from tests.unit.invoker.conftest import NO_LOGS, Stage, value
from tests.unit.invoker.test_gate import pings
from upcall.bus.memory import MemoryBus
from upcall.errors import NotFound, Unavailable
from upcall.invoker import asking
from upcall.invoker import pings as its_pings
from upcall.invoker.asking import Asking
from upcall.model import texts
from upcall.model.activation import WHISK_ERROR
from upcall.model.documents import Document
from upcall.model.messages import Message, invoker_topic
from upcall.ports import Stored
from upcall.testing import FakeStore, an_action, unexpected, until
from upcall.watch.invoker import condition, hindrances


class Away:
    """Takes the store's answers away: it refuses, or says nothing."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, silent: bool = False) -> None:
        self.asked = 0
        self.over = False
        self._silent = silent
        self._get = stage.store.get
        monkeypatch.setattr(stage.store, "get", self.get)
        monkeypatch.setattr(asking, "AGAIN", 0.001)

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        self.asked += 1
        if self._silent:
            await asyncio.Event().wait()
        if not self.over:
            raise Unavailable("away")
        return await self._get(kind, id, rev)


async def test_what_has_not_started_runs_when_the_store_is_there_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    actions = [an_action(f"a{n}", limits=NO_LOGS) for n in range(3)]
    async with stage.started() as invoker:
        away = Away(stage, monkeypatch)
        sent = [await stage.send(action, content={"n": n}) for n, action in enumerate(actions)]
        await until(lambda: away.asked > 6)
        assert (invoker.held_back, invoker.load) == (3, 0)
        away.over = True
        for n, message in enumerate(sent):
            await stage.controller.ended(message.activation_id)
            assert value(stage.controller.record(message.activation_id)) == {"n": n}
        assert invoker.held_back == 0
    assert caplog.text.count("is asked until it answers: away") == 1


async def test_it_takes_no_more_than_it_has_units(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.started(units=2) as invoker:
        away = Away(stage, monkeypatch)
        sent = [await stage.send(an_action()) for _ in range(5)]
        await until(lambda: away.asked > 5)
        assert invoker.held_back == 2
        away.over = True
        for message in sent:
            await stage.controller.ended(message.activation_id)


async def test_a_stop_leaves_it_to_the_next_life(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage.started():
        away = Away(stage, monkeypatch)
        message = await stage.send(an_action(), blocking=False)
        await until(lambda: away.asked > 1)
    assert stage.shapes(message) == []
    assert await left(stage.bus) == [message]


async def left(bus: MemoryBus) -> list[Message]:
    """What the next life gets first."""
    again: list[Message] = []
    topic = invoker_topic(0)
    feed = await bus.feed(topic, topic.name, lambda offset, message, started: again.append(message), unexpected)
    feed.pull(1)
    await until(lambda: bool(again))
    return again


async def test_while_it_is_away_controllers_should_send_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(its_pings, "PING", 0.01)
    monkeypatch.setattr(asking, "REFUSED", 0.0)
    async with stage.started() as invoker:
        said = await pings(stage.bus)
        await until(lambda: said[-1:] == [True])
        away = Away(stage, monkeypatch)
        message = await stage.send(an_action())
        await until(lambda: not invoker.enabled)
        assert condition(invoker) == "store in trouble"
        assert hindrances(invoker) == ["the store does not answer: away"]
        away.over = True
        await stage.controller.ended(message.activation_id)
        await until(lambda: invoker.enabled)
        assert hindrances(invoker) == []
        await until(lambda: said[-1])
        assert False in said


@pytest.mark.parametrize(("refused", "silent", "told"), [(3600.0, 0.0, True), (0.0, 3600.0, False)])
async def test_a_store_that_says_nothing_has_more_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, refused: float, silent: float, told: bool
) -> None:
    """It may be large, what is read."""
    monkeypatch.setattr(asking, "REFUSED", refused)
    monkeypatch.setattr(asking, "SILENT", silent)
    async with stage.started() as invoker:
        away = Away(stage, monkeypatch, silent=True)
        await stage.send(an_action(), blocking=False)
        await until(lambda: away.asked == 1)
        assert hindrances(invoker) == (["the store does not answer"] if told else [])


async def test_what_alone_cannot_be_read_ends_and_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged page is no absence."""
    monkeypatch.setattr(asking, "AGAIN", 0.001)
    asked, tries = Asking(FakeStore()), iter([Unavailable("away"), Unavailable("away"), None])

    async def damaged() -> None:
        raise Unavailable("damaged")

    async def late() -> str:
        if cause := next(tries):
            raise cause
        return "answer"

    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(asked.answer(late))
        with pytest.raises(Unavailable, match="damaged"):
            await asked.answer(damaged)
    assert ended.result() == "answer"
    assert len(asked) == 0


async def test_an_action_that_alone_cannot_be_read_ends_with_status_3(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asking, "AGAIN", 0.001)
    monkeypatch.setattr(asking, "REFUSED", 0.0)
    get, damaged = stage.store.get, an_action("damaged")

    async def read(kind: type[Document], id: str, rev: str | None = None) -> Stored:
        if id == damaged.id:
            raise Unavailable("damaged")
        return await get(kind, id, rev)

    monkeypatch.setattr(stage.store, "get", read)
    async with stage.started() as invoker:
        record = await stage.result(damaged)
        assert (record.response.status_code, value(record)) == (WHISK_ERROR, {"error": texts.ACTION_FETCH})
        assert hindrances(invoker) == []
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("raised", [NotFound("gone"), OSError("net")])
async def test_what_is_said_otherwise_is_an_answer(raised: Exception) -> None:
    async def question() -> Any:
        raise raised

    asked = Asking(FakeStore())
    with pytest.raises(type(raised)):
        await asked.answer(question)
    assert (len(asked), asked.trouble) == (0, None)
