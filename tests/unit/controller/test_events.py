"""Metric events of the throttles (spec: load-balancer.md §7): one for each attempt, none when they are off."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tests.api.platform import UUID, Platform, a_request
from upcall.bus.codec import encode
from upcall.bus.memory import MemoryBus
from upcall.controller.events import Events
from upcall.core.throttle import Held
from upcall.errors import Throttled
from upcall.model import texts
from upcall.model.entities import Identity, NamespaceId
from upcall.model.messages import EventMessage, Message, Topic
from upcall.ports import Sent

TOPIC = Topic("our-events", "event")
USER = Identity("guest-subject", NamespaceId("guest", UUID), {})


class Heard(MemoryBus):
    """Keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, Message]] = []

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        self.messages.append((topic.name, message))


def metrics(bus: Heard) -> list[tuple[str, int]]:
    bodies = [each.body for _, each in bus.messages if isinstance(each, EventMessage)]
    return [(body["metricName"], body["metricValue"]) for body in bodies]


def test_an_event_has_upstreams_members() -> None:
    bus = Heard()
    Events(bus, "1", TOPIC, clock=lambda: 1764000000.456).passed(USER, 3)
    [(topic, event)] = bus.messages
    assert topic == "our-events"
    assert msgspec.json.decode(encode(event)) == {
        "source": "controller1",
        "eventType": "Metric",
        "subject": "guest-subject",
        "namespace": "guest",
        "userId": UUID,
        "timestamp": 1764000000456,
        "body": {"metricName": "ConcurrentInvocations", "metricValue": 3},
    }


class Asked:
    """In place of a cluster: takes what is held, and decides as it is told."""

    def __init__(self, refusal: Throttled | None = None) -> None:
        self.refusal = refusal
        self.held: list[Held] = []

    async def __call__(self, held: Held) -> None:
        self.held.append(held)
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal


def platform(bus: Heard, limits: dict[str, int], agree: Callable[[Held], Awaitable[None]] | None = None) -> Platform:
    made = Platform()
    made.limits = msgspec.structs.replace(made.limits, **limits)
    made.events = Events(bus, "0", TOPIC)
    made.agree = agree
    return made


async def test_each_attempt_that_passes_tells_how_many_there_are_with_it() -> None:
    bus = Heard()
    async with platform(bus, {}).run() as made:
        made.hold()
        for number in range(3):
            (await made.connect()).send(a_request())
            await made.invoker.message(number)
        assert metrics(bus) == [("ConcurrentInvocations", number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("limit", "metric"),
    [("invocations_per_minute", "TimedRateLimit"), ("concurrent_invocations", "ConcurrentRateLimit")],
)
async def test_a_refusal_tells_which_throttle_it_was(limit: str, metric: str) -> None:
    bus = Heard()
    async with platform(bus, {limit: 0}).run() as made:
        assert (await made.ask(a_request())).status == 429
    assert metrics(bus) == [(metric, 1)]


async def test_what_is_held_is_answered_as_the_others_agree() -> None:
    bus, asked = Heard(), Asked()
    async with platform(bus, {"invocations_per_minute": 1}, asked).run() as made:
        made.throttles.size = 2
        assert (await made.ask(a_request())).status == 200
        assert [each.count for each in asked.held] == [1]
        assert (await made.ask(a_request())).status == 429, "beyond the limit nobody is asked"
    assert len(asked.held) == 1
    assert metrics(bus) == [("ConcurrentInvocations", 1), ("TimedRateLimit", 1)]


async def test_what_is_held_and_refused_tells_so() -> None:
    bus, text = Heard(), texts.too_many_requests(61, 60)
    asked = Asked(Throttled(text, 7, "TimedRateLimit"))
    async with platform(bus, {"invocations_per_minute": 1}, asked).run() as made:
        made.throttles.size = 2
        answer = await made.ask(a_request())
    assert (answer.status, answer.json["error"], answer.headers["retry-after"]) == (429, text, "7")
    assert metrics(bus) == [("TimedRateLimit", 1)]
    assert made.invoker.messages == []


async def test_an_event_that_cannot_be_sent_is_nobodys_concern() -> None:
    class Refusing(MemoryBus):
        def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
            assert sent is None, "nobody waits for it"

    made = Platform()
    made.events = Events(Refusing(), "0", TOPIC)
    async with made.run():
        assert (await made.ask(a_request())).status == 200
