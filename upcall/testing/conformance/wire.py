"""The brokers as a controller uses them: topics that a controller makes, a producer, and one thread that reads.

What was read is kept, in order, with its offset, time, key and headers; `heard` is asked from any thread. Nothing is
committed: the harness takes no place in any group.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic  # type: ignore[attr-defined]

from upcall.testing.conformance.check import Failed

LIMIT = 1_048_576 + 6068
"""Bytes of a message on the topics of activations and acks (spec: bus.md §2.1)."""
SETTINGS = {
    "completed": {"retention.ms": "3600000", "max.message.bytes": str(LIMIT)},
    "health": {"retention.ms": "3600000"},
    "events": {"retention.ms": "3600000"},
}
_ASK = 10.0


class Heard(NamedTuple):
    """One record of a topic; `at` is the broker's or sender's time in epoch ms, `seen` ours (monotonic seconds)."""

    offset: int
    at: int
    seen: float
    key: bytes | None
    headers: Any
    value: bytes


class Wire:
    """Close it in the end."""

    def __init__(self, bootstrap: str, prefix: str = "") -> None:
        self.prefix = prefix
        self._bootstrap = bootstrap
        common: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(common)
        self._producer = Producer({**common, "linger.ms": 0, "message.max.bytes": 4 << 20, "acks": "all"})
        group = {"group.id": "upcall-conformance", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
        self._consumer = Consumer({**common, **group})
        self._asking = Consumer({**common, **group})
        """A consumer lets in one thread at a time."""
        self._common = common
        self._heard: dict[str, list[Heard]] = {}
        self._news = threading.Condition()
        self._count = 0
        self._over = False
        self._wanted: list[TopicPartition] = []
        self._next: dict[tuple[str, int], int] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    # --- topics

    def topics(self) -> dict[str, int]:
        """Names, and how many partitions each has. Raises Failed without a broker."""
        try:
            found = self._admin.list_topics(timeout=_ASK / 2).topics
        except KafkaException as error:
            raise Failed(f"no broker answers at {self._bootstrap}: {error.args[0].str()}") from error
        return {name: len(topic.partitions) for name, topic in found.items()}

    def ensure(self, topic: str, kind: str) -> None:
        """Make a topic as a controller makes it; `kind` is one of `SETTINGS`."""
        if topic not in self.topics():
            made = self._admin.create_topics([NewTopic(topic, 1, 1, config=SETTINGS[kind])], request_timeout=_ASK)
            made[topic].result(_ASK)
        while topic not in self.topics():
            time.sleep(0.02)

    def settings(self, topic: str) -> dict[str, str]:
        """What the broker has for a topic."""
        self._partitions(topic)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = self._admin.describe_configs([resource], request_timeout=_ASK)[resource].result(_ASK)
        return {name: entry.value for name, entry in found.items()}

    def set_up(self, topic: str, **values: str) -> None:
        """Change settings of a topic."""
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in values.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        self._admin.incremental_alter_configs([resource], request_timeout=_ASK)[resource].result(_ASK)

    def ends(self, topic: str) -> list[int]:
        """The offset that the next message of each partition gets."""
        return [self._end(TopicPartition(topic, number)) for number in range(self._partitions(topic))]

    def committed(self, group: str, topic: str) -> list[int]:
        """What a group has committed for each partition; below 0 where it has not."""
        asking = Consumer({**self._common, "group.id": group})
        try:
            places = [TopicPartition(topic, number) for number in range(self._partitions(topic))]
            return [place.offset for place in asking.committed(places, timeout=_ASK)]
        finally:
            asking.close()

    # --- messages

    def send(self, topic: str, value: bytes) -> None:
        """Returns when the broker has it. Raises Failed."""
        outcome: list[Any] = []
        self._producer.produce(topic, value, on_delivery=lambda error, _: outcome.append(error))
        self._producer.flush(_ASK)
        if outcome != [None]:
            raise Failed(f"{topic} does not take a message: {outcome[0] if outcome else 'no answer'}")

    def listen(self, topic: str) -> None:
        """Keep what comes from now on."""
        places = [TopicPartition(topic, number, end) for number, end in enumerate(self.ends(topic))]
        with self._news:
            self._heard.setdefault(topic, [])
            self._wanted += places

    def listens(self, topic: str) -> bool:
        return topic in self._heard

    def heard(self, topic: str, after: int = 0) -> list[Heard]:
        """All that came, without the first `after`."""
        with self._news:
            return self._heard.get(topic, [])[after:]

    def wait(self, what: str, found: Callable[[], bool], patience: float) -> None:
        """Return when `found`, which is asked whenever something has come, and else each 50 ms. Raises Failed."""
        deadline = time.monotonic() + patience
        while True:
            before = self._count
            if found():
                return
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not in {patience:g} s")
            with self._news:
                if self._count == before:
                    self._news.wait(0.05)

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._consumer.close()
        self._asking.close()

    def _partitions(self, topic: str) -> int:
        found = self.topics()
        if topic not in found:
            raise Failed(f"there is no topic {topic}")
        return found[topic]

    def _end(self, place: TopicPartition) -> int:
        """A topic that has just been made may have no leader yet."""
        deadline = time.monotonic() + _ASK
        while True:
            try:
                return int(self._asking.get_watermark_offsets(place, timeout=_ASK)[1])
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise Failed(f"{place.topic} cannot be read: {error.args[0].str()}") from error
            time.sleep(0.05)

    def _read(self) -> None:
        while not self._over:
            self._follow()
            message = self._consumer.poll(0.05)
            if message is None or message.error() is not None:
                continue
            topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            at, value = message.timestamp()[1], message.value() or b""
            heard = Heard(offset, at, time.monotonic(), message.key(), message.headers(), value)
            self._next[topic, partition] = offset + 1
            with self._news:
                self._heard[topic].append(heard)
                self._count += 1
                self._news.notify_all()

    def _follow(self) -> None:
        with self._news:
            new, self._wanted = self._wanted, []
        if new:
            self._next |= {(place.topic, place.partition): place.offset for place in new}
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])
