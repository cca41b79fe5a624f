"""invoker.events: every member of a user event (spec: bus.md §9.1)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.unit.invoker.conftest import NO_LOGS, Stage, answers
from upcall.bus.memory import MemoryBus
from upcall.invoker.events import Events, user_status
from upcall.model.activation import APPLICATION_ERROR, Activation, Response
from upcall.model.entities import ActionLimits
from upcall.model.messages import EventMessage, Message, Topic, invoker_topic
from upcall.testing import CRASH, Reply, a_message, an_action, an_instance, unexpected, until

TOPIC = Topic("events", "event")


async def followed(bus: MemoryBus) -> list[EventMessage]:
    seen: list[EventMessage] = []

    def deliver(message: Message) -> None:
        assert isinstance(message, EventMessage)
        seen.append(message)

    await bus.follow(TOPIC, deliver, unexpected)
    return seen


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (b'{"statusCode":404}', 404),
        (b'{"error":{"statusCode":"418"},"statusCode":200}', 418),
        (b'{"error":{"text":"x"},"statusCode":"201"}', 201),
        (b'{"error":"statusCode","statusCode":202}', 202),
        (b'{"error":{"statusCode":"teapot"}}', 400),
        (b'{"statusCode":null}', 400),
        (b'{"statusCode":true}', 400),
        (b'{"statusCode":200.5}', 400),
        (b'{"statusCode":200.0}', 200),
        (b'{"statusCode":1e400}', 400),
        (b'{"statusCode":9999999999}', 400),
        (b'{"statusCode":"NaN"}', 400),
        (b'{"a":1}', None),
        (b"[1]", None),
    ],
)
def test_the_status_that_a_result_asks_for(result: bytes, status: int | None) -> None:
    assert user_status(Raw(result)) == status


async def test_each_end_is_told_once_with_every_member(stage: Stage) -> None:
    seen = await followed(stage.bus)
    stage.containers.script = answers(Reply(body=b'{"error":{"statusCode":404}}'))
    async with stage.started(events=TOPIC):
        message = await stage.call(an_action(), cause="c" * 32)
        record = await stage.stored(message)
    assert stage.shapes(message) == ["combined"]
    event = msgspec.to_builtins(seen)[0]
    body = event.pop("body")
    assert abs(event.pop("timestamp") - record.end) < 60_000
    assert event == {
        "source": "invoker0",
        "eventType": "Activation",
        "subject": "guest",
        "namespace": "guest",
        "userId": "23bc46b1-71f6-4ed5-8c54-816aa4f8c502",
    }
    notes = {entry["key"]: entry["value"] for entry in msgspec.json.decode(record.annotations)}
    assert body == {
        "name": "guest/hello",
        "activationId": message.activation_id,
        "statusCode": APPLICATION_ERROR,
        "duration": record.duration,
        "waitTime": notes["waitTime"],
        "initTime": notes["initTime"],
        "kind": "python:3",
        "conductor": False,
        "memory": 256,
        "causedBy": "sequence",
        "size": 28,
        "userDefinedStatusCode": 404,
    }
    assert len(seen) == 1


async def ran(stage: Stage) -> str:
    return (await stage.call(an_action(limits=NO_LOGS), blocking=False)).activation_id


async def crashed(stage: Stage) -> str:
    stage.containers.script = lambda path, body: CRASH
    return (await stage.call(an_action())).activation_id


async def too_big(stage: Stage) -> str:
    return (await stage.call(an_action(limits=ActionLimits(60_000, 2048, 1)))).activation_id


async def missing(stage: Stage) -> str:
    message = a_message(an_action("nowhere"), "1-0")
    stage.bus.send(invoker_topic(0), message)
    await stage.controller.ended(message.activation_id)
    return message.activation_id


@pytest.mark.parametrize("end", [ran, crashed, too_big, missing])
async def test_whatever_the_end_there_is_one_event(stage: Stage, end: Callable[[Stage], Any]) -> None:
    seen = await followed(stage.bus)
    async with stage.started(events=TOPIC):
        id = await end(stage)
        await until(lambda: len(seen) > 0)
    assert [event.body["activationId"] for event in seen] == [id]


async def test_none_are_sent_unless_they_are_wanted(stage: Stage) -> None:
    seen = await followed(stage.bus)
    async with stage.started():
        await ran(stage)
    assert seen == []


@pytest.mark.parametrize("annotations", [b"[]", b'[{"key":"path","value":"guest/a"}]', b"null"])
async def test_a_record_without_path_or_kind_has_none_and_nothing_fails(
    annotations: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bus = MemoryBus()
    seen = await followed(bus)
    record = Activation("guest", "a", "guest", "1" * 32, 1, response=Response(), annotations=Raw(annotations))
    Events(bus, an_instance(), TOPIC, lambda: 1).send(a_message(), record)
    assert seen == []
    assert "no user event" in caplog.text
