"""Topics that are followed on a real Kafka where things go wrong: deleted, widened, brokers that restart or hang."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.system.kafka_world import World
from upcall.bus.codec import encode
from upcall.errors import Unavailable
from upcall.model.messages import Message, PingMessage, Topic
from upcall.ports import Following
from upcall.testing import an_instance, unexpected, until

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]


class Follower:
    """What it has got, by the numbers of the Invokers in pings."""

    def __init__(self, broker: "Broker", **settings: object) -> None:
        self.world = World(broker, **settings)  # type: ignore[arg-type]
        self.world.topic = Topic(f"health-{uuid4().hex}", "ping")
        self.numbers: list[int] = []
        self.lost: list[BaseException] = []
        self.following: Following

    async def start(self) -> "Follower":
        await self.world.make()
        self.following = await self.world.bus.follow(self.world.topic, self.deliver, self.lost.append)
        return self

    def deliver(self, message: Message) -> None:
        assert isinstance(message, PingMessage)
        self.numbers.append(message.name.instance)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.world.bus.send(self.world.topic, PingMessage(an_instance(number)))

    async def got(self, *numbers: int, patience: float = 30) -> None:
        await until(lambda: self.numbers == list(numbers), patience)


@pytest.fixture
async def follower(kafka: "Broker") -> AsyncIterator[Follower]:
    made = await Follower(kafka).start()
    yield made
    assert made.lost == []
    await made.world.close()


async def test_what_is_no_message_is_told_and_skipped(follower: Follower, caplog: pytest.LogCaptureFixture) -> None:
    follower.world.put(b"nonsense", encode(PingMessage(an_instance(1))))
    await follower.got(1)
    assert f"offset 0 of {follower.world.topic.name} is skipped" in caplog.text


@pytest.mark.parametrize("count", [2, 9], ids=["fewer than before", "more than before"])
async def test_a_topic_made_anew_is_followed_from_its_beginning(follower: Follower, count: int) -> None:
    world = follower.world
    follower.send(0, 1, 2, 3)
    await follower.got(0, 1, 2, 3)
    world.admin.delete_topics([world.topic.name])[world.topic.name].result(10)
    await until(lambda: world.topic.name not in world.admin.list_topics(timeout=5).topics)
    await world.bus.ensure(world.topic)
    world.put(*(encode(PingMessage(an_instance(10 + number))) for number in range(count)))
    await until(lambda: set(follower.numbers[4:]) == set(range(10, 10 + count)), 30)
    begun = monotonic()
    await until(lambda: follower.following.heard > begun)


async def test_a_partition_that_appears_later_is_followed_from_its_beginning(follower: Follower) -> None:
    world = follower.world
    world.admin.create_partitions([NewPartitions(world.topic.name, 2)])[world.topic.name].result(10)
    await until(lambda: len(world.admin.list_topics(timeout=5).topics[world.topic.name].partitions) == 2)
    world.put(encode(PingMessage(an_instance(7))), partition=1)
    await follower.got(7)


async def test_a_broker_started_again_is_followed_on_and_heard_of(follower: Follower) -> None:
    follower.send(1)
    await follower.got(1)
    follower.world.broker.kill()
    died = monotonic()
    follower.send(2)
    follower.world.broker.start()
    follower.send(3)
    await follower.got(1, 2, 3)
    await until(lambda: follower.following.heard > died, 30)


async def test_a_broker_that_hangs_is_not_heard_of_and_followers_are_told(kafka: "Broker") -> None:
    follower = await Follower(kafka, silence=2.0).start()
    kafka.freeze()
    try:
        frozen = monotonic()
        await until(lambda: len(follower.lost) == 1, 60)
        assert follower.following.heard <= frozen
    finally:
        kafka.thaw()
    assert "could not be read for 2 s: the brokers do not answer" in str(follower.lost[0])
    await follower.world.close()


async def test_a_topic_that_is_not_there_cannot_be_followed(kafka: "Broker") -> None:
    world = World(kafka, silence=1.0)
    with pytest.raises(Unavailable, match="could not be read for 1 s: is it there"):
        await world.bus.follow(Topic("nowhere", "ping"), lambda message: None, unexpected)
    await world.close()
