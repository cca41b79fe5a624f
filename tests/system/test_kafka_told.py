"""What has started, has no record and needed none: its acknowledgements in a real topic say how it ended
(docs/adr/0017-recovery.md). The earlier life is what it left: messages, a commit, acknowledgements."""

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.core.offsets import Commit, Offsets
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels, fallback_record
from upcall.errors import NotFound
from upcall.invoker.acks import Acks
from upcall.invoker.service import Invoker
from upcall.model.activation import Activation, Response
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    completed_topic,
    health_topic,
    invoker_topic,
)
from upcall.store.cache import ActionCache
from upcall.testing import MANIFEST, FakeContainers, FakeStore, a_message, an_action, an_instance, unexpected, until

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

FAILURES = StoreLevels("STORE_FAILURES", "STORE_FAILURES")


class Life:
    """The bus of one Invoker, with topics of its own."""

    def __init__(self, broker: "Broker") -> None:
        self.prefix = f"t{uuid4().hex[:8]}-"
        self.topic = invoker_topic(0, self.prefix)
        self.store = FakeStore()
        self.acks: list[Message] = []
        self.bus = KafkaBus(Brokers(hosts=broker.bootstrap, prefix=self.prefix), 1 << 20)
        self._broker = broker
        self._earlier = Acks(self.bus, an_instance(), lambda then: then(), self.prefix)
        self._told = 0

    async def begin(self, *messages: ActivationMessage) -> None:
        """They are sent, and committed as started."""
        topics = (self.topic, completed_topic("0", self.prefix), health_topic(self.prefix))
        for topic in topics:
            await self.bus.ensure(topic)
        offsets, sent = Offsets(Commit(0, "")), list[BaseException | None]()
        for number, message in enumerate(messages):
            message.transid = ["tid", int(time.time() * 1000)]
            self.bus.send(self.topic, message, sent.append)
            offsets.arrive(number)
            offsets.start(number)
        await until(lambda: len(sent) == len(messages))
        commit = offsets.commit()
        place = TopicPartition(self.topic.name, 0, commit.offset, commit.text)
        consumer = Consumer({"bootstrap.servers": self._broker.bootstrap, "group.id": self.topic.name})
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()

    async def tell(self, message: ActivationMessage, *, result: bool, freed: bool) -> None:
        record, done = fallback_record(message, Response(), 1), list[str]()
        if result:
            self._earlier.result(message, record, lambda: done.append("result"), lambda: done.append("large"))
        if freed:
            self._earlier.freed(message, None, lambda: done.append("freed"))
        await until(lambda: len(done) == result + freed)

    async def next(self, levels: StoreLevels) -> Invoker:
        """What is told from now on is in `acks`."""
        await self.bus.follow(completed_topic("0", self.prefix), self.acks.append, unexpected)
        return Invoker(
            an_instance(),
            self.bus,
            self.store,
            ActionCache(self.store, time.monotonic),
            FakeContainers(),
            pool=PoolConfig(256),
            manifest=MANIFEST,
            prefix=self.prefix,
            levels=levels,
        )

    async def recorded(self, message: ActivationMessage) -> int | None:
        """The status that its record has, if there is one."""
        try:
            found = (await self.store.get(Activation, f"guest/{message.activation_id}")).doc
        except NotFound:
            return None
        assert isinstance(found, Activation)
        return found.response.status_code


@pytest.fixture
async def life(kafka: "Broker") -> AsyncIterator[Life]:
    made = Life(kafka)
    yield made
    await made.bus.close()


async def test_what_was_acknowledged_needs_no_record_and_what_was_not_has_failed(life: Life) -> None:
    action = an_action()
    await life.store.put(action)
    told, half, plain, none, bare = (
        a_message(action, blocking=blocking) for blocking in (True, True, False, True, False)
    )
    await life.begin(told, half, plain, none, bare)
    await life.tell(told, result=True, freed=True)
    await life.tell(half, result=True, freed=False)
    await life.tell(plain, result=False, freed=True)
    async with await life.next(FAILURES) as invoker:
        await until(lambda: len(life.acks) == 3)
        await until(lambda: invoker.counters.activations == 2)
    assert dict(map(described, life.acks)) == {
        half.activation_id: "completion",
        none.activation_id: "combined with status 3",
        bare.activation_id: "combined",
    }
    assert [await life.recorded(message) for message in (told, half, plain, none, bare)] == [None, None, None, 3, 3]


def described(ack: Message) -> tuple[str, str]:
    """Whose it is, and what it says."""
    if isinstance(ack, CompletionMessage):
        return ack.activation_id, "completion"
    assert isinstance(ack, CombinedMessage)
    if isinstance(ack.response, str):
        return ack.response, "combined"
    return ack.response.activation_id, f"combined with status {ack.response.response.status_code}"


async def test_where_a_success_would_have_a_record_what_has_none_has_failed(life: Life) -> None:
    action = an_action()
    await life.store.put(action)
    message = a_message(action)
    await life.begin(message)
    async with await life.next(StoreLevels()):
        await until(lambda: len(life.acks) == 1)
    assert await life.recorded(message) == 3
