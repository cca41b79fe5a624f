"""A client of Kafka that fails for good while it has something to send."""

import ctypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import confluent_kafka
import pytest
from confluent_kafka import Producer

from tests.system.kafka_world import Taker, World
from upcall.errors import Unavailable
from upcall.testing import until

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
