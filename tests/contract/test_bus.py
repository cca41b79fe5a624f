"""What every bus does (spec: `upcall.ports.Bus`, bus.md §4): order, flow control, groups, what comes again."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic, time
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest

from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.bus.memory import MemoryBus
from upcall.errors import Unavailable
from upcall.model.messages import ActivationMessage, Message, PingMessage, Topic, invoker_topic
from upcall.ports import Bus
from upcall.store.fake_journal import FakeJournal
from upcall.testing import a_message, an_instance, unexpected, until

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

TOPIC = invoker_topic(0)


def numbered(number: int) -> ActivationMessage:
    return a_message(content=number)


def number(message: Message) -> int:
    assert isinstance(message, ActivationMessage)
    assert isinstance(message.content, msgspec.Raw)
    return msgspec.json.decode(message.content, type=int)


class Seen:
    """A consumer that notes what it gets."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.numbers: list[int] = []

    def __call__(self, offset: int, message: Message, started: bool) -> None:
        assert not started, "nobody has told that it started"
        self.offsets.append(offset)
        self.numbers.append(number(message))


def a_bus(request: pytest.FixtureRequest) -> Bus:
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        return KafkaBus(Brokers(hosts=broker.bootstrap), 1 << 20)
    return MemoryBus(journal=FakeJournal() if "journal" in request.param else None)


@pytest.fixture(params=["memory", "memory with a journal", "kafka"])
async def bus(request: pytest.FixtureRequest, topic: Topic) -> AsyncIterator[Bus]:
    bus = a_bus(request)
    await bus.ensure(topic)
    yield bus
    await bus.close()


@pytest.fixture
def topic() -> Topic:
    """One of its own for each test."""
    return Topic(f"invoker-{uuid4().hex}", "activation")


async def test_nothing_is_delivered_before_the_first_pull(bus: Bus, topic: Topic) -> None:
    seen = Seen()
    feed = await bus.feed(topic, topic.name, seen, unexpected)
    bus.send(topic, numbered(1))
    assert seen.numbers == []
    feed.pull(1)
    await until(lambda: seen.numbers == [1])
    await feed.close()


async def test_messages_keep_their_order_and_no_more_come_than_were_pulled(bus: Bus, topic: Topic) -> None:
    seen = Seen()
    for i in range(5):
        bus.send(topic, numbered(i))
    feed = await bus.feed(topic, topic.name, seen, unexpected)
    feed.pull(3)
    await until(lambda: seen.numbers == [0, 1, 2])
    bus.send(topic, numbered(5))
    feed.pull(9)
    await until(lambda: seen.numbers == [0, 1, 2, 3, 4, 5])
    assert seen.offsets == sorted(set(seen.offsets))
    await feed.close()


async def test_the_sender_is_told(bus: Bus, topic: Topic) -> None:
    told: list[BaseException | None] = []
    bus.send(topic, numbered(1), told.append)
    await until(lambda: told == [None])


async def test_each_group_gets_every_message(bus: Bus, topic: Topic) -> None:
    first, second = Seen(), Seen()
    groups = {f"{topic.name}-a": first, f"{topic.name}-b": second}
    feeds = [await bus.feed(topic, group, seen, unexpected) for group, seen in groups.items()]
    for feed in feeds:
        feed.pull(2)
    bus.send(topic, numbered(7))
    await until(lambda: first.numbers == second.numbers == [7])
    for feed in feeds:
        await feed.close()


async def test_what_is_sent_can_be_kept_and_comes_once(bus: Bus, topic: Topic) -> None:
    got: list[Message] = []
    feed = await bus.feed(topic, topic.name, lambda offset, message, started: got.append(message), unexpected)
    message, calls = a_message(), list[str]()
    bus.send(topic, message)
    bus.keep(topic, message, lambda: calls.append("kept"))
    await until(lambda: calls == ["kept"])
    feed.pull(9)
    await until(lambda: got == [message])
    await feed.close()


async def test_started_calls_back_once(bus: Bus, topic: Topic) -> None:
    seen = Seen()
    feed = await bus.feed(topic, topic.name, seen, unexpected)
    feed.pull(1)
    bus.send(topic, numbered(1))
    await until(lambda: seen.numbers == [1])
    calls: list[str] = []
    feed.started(seen.offsets[0], lambda: calls.append("then"))
    await until(lambda: calls == ["then"])
    feed.done(seen.offsets[0])
    await feed.close()


async def test_what_was_neither_started_nor_done_comes_again_to_the_next_feed_of_the_group(
    bus: Bus, topic: Topic
) -> None:
    seen, again = Seen(), Seen()
    feed = await bus.feed(topic, topic.name, seen, unexpected)
    feed.pull(3)
    for i in range(4):
        bus.send(topic, numbered(i))
    await until(lambda: seen.numbers == [0, 1, 2])
    feed.done(seen.offsets[1])
    await feed.close()
    feed = await bus.feed(topic, topic.name, again, unexpected)
    feed.pull(9)
    await until(lambda: again.numbers == [0, 2, 3])
    assert again.offsets[:2] == [seen.offsets[0], seen.offsets[2]]
    await feed.close()


async def test_a_consumer_may_send_and_pull_while_it_is_called(bus: Bus, topic: Topic) -> None:
    seen: list[int] = []

    def deliver(offset: int, message: Message, started: bool) -> None:
        seen.append(number(message))
        feed.pull(1)
        if seen[-1] < 2000:
            bus.send(topic, numbered(seen[-1] + 1))

    feed = await bus.feed(topic, topic.name, deliver, unexpected)
    bus.send(topic, numbered(0))
    feed.pull(1)
    await until(lambda: len(seen) == 2001)
    assert seen == list(range(2001))
    await feed.close()


async def test_memory_refuses_past_its_bound_and_keeps_what_it_has() -> None:
    bus, seen = MemoryBus(bound=2), Seen()
    told: list[BaseException | None] = []
    for i in range(3):
        bus.send(TOPIC, numbered(i), told.append)
    assert told[:2] == [None, None]
    assert isinstance(told[2], Unavailable)
    feed = await bus.feed(TOPIC, "g", seen, unexpected)
    feed.pull(9)
    assert seen.numbers == [0, 1]


async def test_memory_forgets_the_oldest_pings_that_nobody_reads() -> None:
    bus, seen = MemoryBus(bound=2), list[Message]()
    health = Topic("health", "ping")
    for i in range(5):
        bus.send(health, PingMessage(an_instance(i)))
    feed = await bus.feed(health, "g", lambda offset, message, started: seen.append(message), unexpected)
    feed.pull(9)
    assert seen == [PingMessage(an_instance(3)), PingMessage(an_instance(4))]


async def test_memory_hands_over_within_the_send() -> None:
    bus, seen = MemoryBus(), Seen()
    feed = await bus.feed(TOPIC, "g", seen, unexpected)
    feed.pull(1)
    bus.send(TOPIC, numbered(1))
    assert seen.numbers == [1]


@pytest.fixture
def pings() -> Topic:
    """One of its own for each test."""
    return Topic(f"health-{uuid4().hex}", "ping")


def ping(instance: int) -> PingMessage:
    return PingMessage(an_instance(instance))


async def test_a_follower_gets_what_is_sent_from_now_on_and_in_order(bus: Bus, pings: Topic) -> None:
    await bus.ensure(pings)
    told, seen = list[BaseException | None](), list[Message]()
    bus.send(pings, ping(0), told.append)
    await until(lambda: told == [None])
    following = await bus.follow(pings, seen.append, unexpected)
    for instance in range(1, 200):
        bus.send(pings, ping(instance))
    await until(lambda: len(seen) == 199)
    assert seen == [ping(instance) for instance in range(1, 200)]
    await following.close()


async def test_each_follower_gets_every_message_until_it_closes(bus: Bus, pings: Topic) -> None:
    await bus.ensure(pings)
    first, second = list[Message](), list[Message]()
    one = await bus.follow(pings, first.append, unexpected)
    other = await bus.follow(pings, second.append, unexpected)
    bus.send(pings, ping(1))
    await until(lambda: first == second == [ping(1)])
    await one.close()
    bus.send(pings, ping(2))
    await until(lambda: second == [ping(1), ping(2)])
    assert first == [ping(1)]
    again = await bus.follow(pings, first.append, unexpected)
    await other.close()
    bus.send(pings, ping(3))
    await until(lambda: first == [ping(1), ping(3)])
    assert second == [ping(1), ping(2)]
    await again.close()


async def test_topics_are_followed_apart(bus: Bus, pings: Topic, topic: Topic) -> None:
    await bus.ensure(pings)
    first, second = list[Message](), Seen()
    one = await bus.follow(pings, first.append, unexpected)
    other = await bus.follow(topic, lambda message: second.numbers.append(number(message)), unexpected)
    bus.send(topic, numbered(7))
    bus.send(pings, ping(1))
    await until(lambda: first == [ping(1)] and second.numbers == [7])
    await one.close()
    bus.send(topic, numbered(8))
    await until(lambda: second.numbers == [7, 8])
    await other.close()


async def test_a_follower_may_send_while_it_is_called_and_the_order_stays(bus: Bus, pings: Topic) -> None:
    await bus.ensure(pings)
    first, second = list[Message](), list[Message]()

    def deliver(message: Message) -> None:
        first.append(message)
        if len(first) < 20:
            bus.send(pings, ping(len(first)))

    followings = [await bus.follow(pings, each, unexpected) for each in (deliver, second.append)]
    bus.send(pings, ping(0))
    await until(lambda: len(second) == 20)
    assert first == second == [ping(instance) for instance in range(20)]
    for each in followings:
        await each.close()


async def test_a_quiet_topic_is_heard_all_the_same(bus: Bus, pings: Topic) -> None:
    await bus.ensure(pings)
    following = await bus.follow(pings, lambda message: None, unexpected)
    begun = monotonic()
    await until(lambda: begun < following.heard <= monotonic())
    await following.close()


async def test_what_is_followed_and_in_no_group_waits_for_nobody(pings: Topic) -> None:
    bus, seen, told = MemoryBus(bound=2), list[Message](), list[BaseException | None]()
    await bus.follow(pings, seen.append, unexpected)
    for instance in range(5):
        bus.send(pings, ping(instance), told.append)
    assert seen == [ping(instance) for instance in range(5)]
    assert told == [None] * 5
    late = list[Message]()
    feed = await bus.feed(pings, "g", lambda offset, message, started: late.append(message), unexpected)
    feed.pull(9)
    bus.send(pings, ping(9))
    assert late == [ping(9)] == seen[5:]


async def test_a_bus_says_whether_it_recalls(bus: Bus, pings: Topic) -> None:
    """Results are told before their records are durable where it does."""
    await bus.ensure(pings)
    told, heard = list[BaseException | None](), list[Message]()
    bus.send(pings, ping(1), told.append)
    await until(lambda: len(told) == 1)
    await bus.recall(pings, 0, heard.append)
    assert heard == ([ping(1)] if bus.recalls else [])


@pytest.mark.parametrize("bus", ["kafka"], indirect=True)
async def test_what_was_sent_since_a_moment_can_be_recalled(bus: Bus, pings: Topic) -> None:
    await bus.ensure(pings)
    told, heard = list[BaseException | None](), list[Message]()
    bus.send(pings, ping(1), told.append)
    await until(lambda: len(told) == 1)
    await asyncio.sleep(0.002)
    since = int(time() * 1000)
    await bus.recall(pings, since, heard.append)
    assert heard == []
    for instance in range(2, 2000):
        bus.send(pings, ping(instance), told.append)
    await until(lambda: len(told) == 1999)
    await bus.recall(pings, since, heard.append)
    assert heard == [ping(instance) for instance in range(2, 2000)]
    await bus.recall(pings, 0, heard.append)
    assert heard[1998] == ping(1)
    await bus.recall(Topic(f"{pings.name}-nowhere", "ping"), 0, unexpected)  # type: ignore[arg-type]
