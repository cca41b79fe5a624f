"""What is sent to Kafka, while a client fails for good, or a broker is away for long."""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import confluent_kafka
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]
from msgspec import Raw

from tests.system.kafka_world import Taker, World, numbered
from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.core.record import fallback_record
from upcall.errors import Unavailable
from upcall.invoker.acks import Acks
from upcall.model.activation import Response
from upcall.model.messages import CompletionMessage, Message, PingMessage, Topic, completed_topic, health_topic
from upcall.model.names import ControllerId
from upcall.testing import a_message, an_instance, until

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
_HANDLE = object.__basicsize__
"""Where a client of confluent-kafka keeps librdkafka's: after the head that all objects have."""


@pytest.fixture
async def world(kafka: "Broker") -> AsyncIterator[World]:
    made = await World(kafka).make()
    yield made
    await made.close()


def fail(producer: Producer) -> None:
    """As librdkafka does itself when a broker refuses a sequence number; it offers this to tests."""
    [library] = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*")
    test = ctypes.CDLL(str(library)).rd_kafka_test_fatal_error
    test.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    handle = ctypes.c_void_p.from_address(id(producer) + _HANDLE)
    assert test(handle, OUT_OF_ORDER_SEQUENCE_NUMBER, b"by a test") == 0


async def test_a_client_that_has_failed_for_good_is_replaced_and_what_it_had_is_given_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the broker has lost what it had confirmed: an idempotent client never recovers from that."""
    await world.sent(1)
    sender = world.bus._activations
    assert sender is not None
    world.broker.freeze()
    told: list[BaseException | None] = []
    world.send(2, told=told.append)
    await until(lambda: sender._lanes[world.topic.name].out == 1)
    fail(sender._producer)
    await until(lambda: len(told) == 1)
    world.broker.thaw()
    assert isinstance(told[0], Unavailable)
    assert "has failed for good" in caplog.text
    await world.sent(3)
    taker = Taker()
    await world.feed(taker, 9)
    await until(lambda: 3 in taker.numbers)


async def test_an_ack_outlives_a_broker_that_is_away_for_longer_than_a_message_waits(
    kafka: "Broker", caplog: pytest.LogCaptureFixture
) -> None:
    world = await World(kafka, producer={"message.timeout.ms": "500"}).make()
    topic = completed_topic("0", world.topic.name)
    await world.bus.ensure(topic)
    acks, ended = Acks(world.bus, an_instance(), lambda then: then(), world.topic.name), list[str]()
    message = a_message()
    record = fallback_record(message, Response(0, Raw(b"{}")), 0)
    kafka.freeze()
    acks.completion(message, record, lambda: ended.append(message.activation_id))
    await until(lambda: "are sent again" in caplog.text)
    kafka.thaw()
    await until(lambda: ended == [message.activation_id])
    heard = list[Message]()
    await world.bus.recall(topic, 0, heard.append)
    assert heard[-1] == CompletionMessage(message.transid, message.activation_id, False, acks.instance)
    assert acks.failed == 0
    await world.close()


@pytest.mark.parametrize("controller", ["a/b", "0\n", "x" * 300])
async def test_an_ack_to_a_topic_that_can_never_be_is_given_up_at_once(
    world: World, caplog: pytest.LogCaptureFixture, controller: str
) -> None:
    acks, ended = Acks(world.bus, an_instance(), lambda then: then(), world.topic.name), list[str]()
    message = a_message()
    message.root_controller_index = ControllerId(controller)
    record = fallback_record(message, Response(0, Raw(b"{}")), 0)
    acks.completion(message, record, lambda: ended.append(message.activation_id))
    await until(lambda: ended == [message.activation_id])
    assert acks.failed == 1
    assert "is lost" in caplog.text
    assert "sent again" not in caplog.text


async def test_a_topic_that_takes_no_pings_is_told_in_a_while_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Compacted, it takes no messages without keys; whoever waits for them sees nothing but silence."""
    health = health_topic(f"{world.topic.name}-")
    made = NewTopic(health.name, 1, 1, config={"cleanup.policy": "compact"})
    world.admin.create_topics([made])[health.name].result(10)
    told = list[BaseException | None]()
    world.bus.send(health, PingMessage(an_instance()))
    await until(lambda: f"{health.name} does not take messages: " in caplog.text)
    for _ in range(2):
        world.bus.send(health, PingMessage(an_instance()), told.append)
    await until(lambda: len(told) == 2)
    assert [type(each) for each in told] == [Unavailable, Unavailable]
    assert len(caplog.records) == 1


async def test_what_is_sent_while_a_burst_is_out_waits_for_its_report_but_not_for_long(world: World) -> None:
    await world.sent(0)
    assert world.bus._activations is not None
    client, told, taker = world.bus._activations._producer, list[BaseException | None](), Taker()
    world.broker.freeze()
    try:
        world.send(1, told=told.append)
        await asyncio.sleep(0)
        world.send(*range(2, 40), told=told.append)
        await asyncio.sleep(0)
        assert len(client) == 1, "the others are held"
        await until(lambda: len(client) == 39)
        assert told == []
    finally:
        world.broker.thaw()
    await until(lambda: told == [None] * 39)
    await world.feed(taker, 99)
    await until(lambda: taker.numbers == list(range(40)))


async def test_what_no_broker_takes_is_refused_at_the_bound_and_given_back_in_the_end(kafka: "Broker") -> None:
    nobody = Brokers(
        hosts="127.0.0.1:1",
        producer={"message.timeout.ms": "500", "queue.buffering.max.messages": "10"},
    )
    bus, told, kept = KafkaBus(nobody, 1 << 20), list[BaseException | None](), list[str]()
    last = numbered(9)
    for number in range(9):
        bus.send(Topic("t", "activation"), numbered(number), told.append)
    bus.send(Topic("t", "activation"), last, told.append)
    bus.keep(Topic("t", "activation"), last, lambda: kept.append("kept"))
    bus.send(Topic("t", "activation"), numbered(10), told.append)
    await asyncio.sleep(0)  # the next turn hands over
    assert [str(error) for error in told] == ["t: too much waits for Kafka's brokers"]
    await until(lambda: len(told) == 11)
    assert {type(error) for error in told} == {Unavailable}
    assert kept == []
    await bus.close()
