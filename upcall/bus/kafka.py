"""The bus over Kafka (spec: bus.md; docs/adr/0003-delivery.md).

A message is JSON in a topic; what a broker has confirmed outlives this process, so `keep` has nothing to add to it.
Sending is in `kafka_sender` (activations by a client of their own), a feed with its two clients in `kafka_feed`, what
is followed in `kafka_follower`, topics in `kafka_topics`. librdkafka does the work in threads of its own; the loop is
never blocked by a call of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from upcall import metrics as names
from upcall.brokers import Brokers
from upcall.bus.kafka_client import Complaints, common_config, consumer_config, made, producer_config
from upcall.bus.kafka_feed import KafkaFeed
from upcall.bus.kafka_follower import Follower, KafkaFollowing
from upcall.bus.kafka_recall import recall
from upcall.bus.kafka_sender import Sender
from upcall.bus.kafka_topics import cluster_id, ensure_topic, topic_id
from upcall.measures import many
from upcall.model.messages import Message, Topic
from upcall.model.names import Json
from upcall.ports import Deliver, Lost, Sent

if TYPE_CHECKING:
    from prometheus_client import Metric

FLUSH = 5.0
"""Seconds for what was sent, when the bus is closed."""


class KafkaBus:
    """Implements `upcall.ports.Bus`. Make it on the loop. `payload` is the largest activation's, in bytes; `settle`
    returns when all records that the store has taken are durable. Raises Misconfigured."""

    recalls = True

    def __init__(self, brokers: Brokers, payload: int, settle: Callable[[], Awaitable[None]] | None = None) -> None:
        self._brokers = brokers
        self._largest = payload + brokers.serdes_overhead
        self._settle = settle
        self._admin: AdminClient = made(AdminClient, common_config(brokers, Complaints("topics")))
        self._follower: Follower | None = None
        self._feeds: dict[str, KafkaFeed] = {}
        self._sender = Sender(producer_config(brokers, self._largest, Complaints("sending"), once=False))
        self._activations: Sender | None = None

    async def ensure(self, topic: Topic) -> None:
        await asyncio.to_thread(ensure_topic, self._admin, topic, self._brokers, self._largest)

    async def cluster(self) -> str:
        """Which brokers these are, whatever they are called from here. Raises Misconfigured."""
        return await asyncio.to_thread(cluster_id, self._admin, self._brokers)

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        sender = self._sender if topic.carries != "activation" else self._activations or self._for_activations()
        sender.send(topic, message, sent)

    def keep(self, topic: Topic, message: Message, then: Callable[[], None]) -> None:
        if self._activations is None:
            then()
        else:
            self._activations.keep(message, then)

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> KafkaFeed:
        """Raises Unavailable where the group gives no place, Misconfigured where its commit cannot be read."""
        if topic.carries == "ack" and self._activations is None:
            self._for_activations()  # it will be asked for, and then in a hurry
        complain = Complaints(f"group {group}")
        feed = KafkaFeed(
            topic,
            consumer_config(self._brokers, group, complain),
            complain,
            deliver,
            lost,
            silence=self._brokers.silence,
            metadata=self._brokers.offset_metadata,
            settle=self._settle if topic.carries == "activation" else None,
            identify=partial(topic_id, self._admin, topic.name) if topic.carries == "activation" else None,
        )
        await feed.opened()
        self._feeds[topic.name] = feed
        return feed

    async def follow(self, topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> KafkaFollowing:
        """Raises Unavailable where the topic's ends cannot be known."""
        if self._follower is None:
            complain = Complaints("followed topics")
            config = consumer_config(self._brokers, "follower", complain)
            self._follower = Follower(config, self._admin, self._brokers.silence, complain)
        return await self._follower.follow(topic, deliver, lost)

    def metrics(self, tags: bool = True) -> Iterator["Metric"]:
        """Of each topic that is read."""
        yield from many(names.QUEUE, [((topic,), feed.waiting) for topic, feed in self._feeds.items()], tags=tags)
        yield from many(names.DELAYS, [((topic,), feed.delays) for topic, feed in self._feeds.items()], tags=tags)

    def condition(self, topic: str) -> dict[str, Json] | None:
        """Of a topic that is read, for people: how many messages wait, seconds since the brokers were heard."""
        feed = self._feeds.get(topic)
        if feed is None:
            return None
        return {"topic": topic, "behind": feed.waiting, "heard": round(max(monotonic() - feed.heard, 0.0), 1)}

    async def recall(self, topic: Topic, since: int, heard: Callable[[Message], None]) -> None:
        """Raises Unavailable."""
        config = consumer_config(self._brokers, "recall", Complaints("recall"))
        await asyncio.to_thread(recall, config, topic, since, heard)

    async def close(self) -> None:
        if self._follower is not None:
            await self._follower.close()
        senders = [sender for sender in (self._activations, self._sender) if sender is not None]
        await asyncio.gather(*(sender.close(FLUSH) for sender in senders))

    def _for_activations(self) -> Sender:
        """An Invoker sends none, and does without."""
        config = producer_config(self._brokers, self._largest, Complaints("sending activations"), once=True)
        self._activations = Sender(config)
        return self._activations
