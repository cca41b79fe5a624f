"""A bus on the tests' broker, a topic of its own, and consumers that note what they get."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from upcall.brokers import Brokers
from upcall.bus.codec import encode
from upcall.bus.kafka import KafkaBus
from upcall.bus.kafka_feed import KafkaFeed
from upcall.core.offsets import Commit, Offsets
from upcall.model.messages import ActivationMessage, Message, Topic
from upcall.testing import a_message, until

if TYPE_CHECKING:
    from tests.system.kafka import Broker


class Taker:
    """A consumer; `lost` is what it was told of the end of its feed."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, ActivationMessage, bool]] = []
        self.lost: list[BaseException] = []

    def deliver(self, offset: int, message: Message, started: bool) -> None:
        assert isinstance(message, ActivationMessage)
        self.taken.append((offset, message, started))

    @property
    def tokens(self) -> list[int]:
        return [offset for offset, _, _ in self.taken]

    @property
    def numbers(self) -> list[int]:
        return [number_of(message) for _, message, _ in self.taken]


class World:
    """`settings` are those of `Brokers`. Make it on the loop, close it in the end."""

    def __init__(self, broker: "Broker", payload: int = 1 << 20, **settings: object) -> None:
        self.broker = broker
        self.topic = Topic(f"invoker-{uuid4().hex[:12]}", "activation")
        self.brokers = msgspec.convert({"hosts": broker.bootstrap, **settings}, Brokers)
        self.flushed = asyncio.Event()
        """Records are durable: feeds may commit what is done."""
        self.flushed.set()
        self.bus = KafkaBus(self.brokers, payload, self._flush)
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        self._feeds: list[KafkaFeed] = []

    async def make(self) -> "World":
        await self.bus.ensure(self.topic)
        return self

    async def feed(self, taker: Taker, pulled: int = 0) -> KafkaFeed:
        feed = await self.bus.feed(self.topic, self.topic.name, taker.deliver, taker.lost.append)
        self._feeds.append(feed)
        feed.pull(pulled)
        return feed

    def send(self, *numbers: int, told: Callable[[BaseException | None], None] | None = None) -> None:
        for number in numbers:
            self.bus.send(self.topic, numbered(number), told)

    async def sent(self, *numbers: int) -> None:
        """They are in the topic."""
        told: list[BaseException | None] = []
        self.send(*numbers, told=told.append)
        await until(lambda: len(told) == len(numbers))
        assert not any(told)

    def put(self, *values: bytes, partition: int = 0) -> None:
        """Straight into the topic."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        for value in values:
            producer.produce(self.topic.name, value, partition=partition)
        assert producer.flush(10) == 0

    def commit(self, offset: int, text: str) -> None:
        """As somebody else might."""
        consumer = self._consumer()
        consumer.commit(offsets=[TopicPartition(self.topic.name, 0, offset, text)], asynchronous=False)
        consumer.close()

    def story(self) -> str:
        """What the group has committed."""
        return committed(self.broker.bootstrap, self.topic.name)

    async def close(self) -> None:
        """What a test has left undone is not waited for."""
        for feed in self._feeds:
            for token in list(feed._running):
                feed.done(token)
            await feed.close()
        await self.bus.close()

    def end(self) -> int:
        """How many messages the topic has had; -1 while no broker says."""
        consumer = self._consumer()
        try:
            return consumer.get_watermark_offsets(TopicPartition(self.topic.name, 0), timeout=1)[1]
        except KafkaException:
            return -1
        finally:
            consumer.close()

    async def _flush(self) -> None:
        await self.flushed.wait()

    def _consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": self.topic.name, "log_level": 0})


def committed(bootstrap: str, topic: str) -> str:
    """What the group of this name tells of the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "log_level": 0})
    place = consumer.committed([TopicPartition(topic, 0)], timeout=10)[0]
    consumer.close()
    return Offsets(Commit(place.offset, place.metadata or "")).story()


def numbered(number: int, size: int = 0) -> ActivationMessage:
    return a_message(content={"number": number, "text": "x" * size})


def number_of(message: ActivationMessage) -> int:
    assert isinstance(message.content, msgspec.Raw)
    number: int = msgspec.json.decode(message.content)["number"]
    return number


def encoded(number: int) -> bytes:
    return encode(numbered(number))
