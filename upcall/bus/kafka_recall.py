"""What was sent to a topic a while ago: read once, up to its end as of now, by a client that is gone afterwards.

Blocks: it is for a thread.
"""

import contextlib
from collections.abc import Callable
from time import monotonic
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, TopicPartition

from upcall.bus.codec import decode
from upcall.bus.kafka_client import Config, made
from upcall.errors import Unavailable, Unreadable
from upcall.model.messages import Message, Topic

_PATIENCE = 10.0
"""Seconds for one answer."""
_BATCH = 500


def recall(config: Config, topic: Topic, since: int, heard: Callable[[Message], None]) -> None:
    """Call `heard` with each message, in the order of its partition; `since` in epoch ms. What cannot be read is left
    out. Raises Unavailable."""
    consumer: Consumer = made(Consumer, {**config, "group.id": f"upcall-{uuid4().hex}"})
    try:
        ends = _place(consumer, topic.name, since)
        while ends:
            _read(consumer, topic, ends, heard)
    except KafkaException as error:
        raise Unavailable(f"{topic.name} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _place(consumer: Consumer, name: str, since: int) -> dict[int, int]:
    """Go to that time; gives the ends of the partitions where there is something to read."""
    partitions = consumer.list_topics(name, timeout=_PATIENCE).topics[name].partitions
    asked = [TopicPartition(name, number, max(since, 0)) for number in partitions]
    found = consumer.offsets_for_times(asked, timeout=_PATIENCE) if asked else []
    places, ends = [], {}
    for place in found:
        marks = consumer.get_watermark_offsets(TopicPartition(name, place.partition), timeout=_PATIENCE)
        if marks is None:
            raise Unavailable(f"{name} cannot be read: no broker tells its end")
        if 0 <= place.offset < marks[1]:
            places.append(place)
            ends[place.partition] = marks[1]
    consumer.assign(places)
    return ends


def _read(consumer: Consumer, topic: Topic, ends: dict[int, int], heard: Callable[[Message], None]) -> None:
    """The next batch; partitions that are through are taken out of `ends`."""
    begun = monotonic()
    records = consumer.consume(_BATCH, 1.0)
    while not records:
        if monotonic() - begun > _PATIENCE:
            raise Unavailable(f"{topic.name} cannot be read: nothing comes")
        records = consumer.consume(_BATCH, 1.0)
    for record in records:
        if (error := record.error()) is not None:
            raise KafkaException(error)
        with contextlib.suppress(Unreadable):
            heard(decode(topic.carries, record.value() or b""))
        partition, offset = record.partition() or 0, record.offset() or 0
        if offset + 1 >= ends.get(partition, 0):
            ends.pop(partition, None)
