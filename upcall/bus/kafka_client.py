"""How clients of Kafka are set up, and what they complain of (spec: bus.md §3).

The client is librdkafka, upstream's is Java's. Settings of deployments are Java's: most names are the same, a few are
translated, some have no counterpart and no effect. What librdkafka does not know or take stops the start with its name.

Differences that are on purpose. The producer of activations is idempotent unless the settings ask for fewer
acknowledgements: a message that is sent again after a time-out must not stand in the topic twice, for its code would
run twice (D7). All other messages may, and their producer is not: an idempotent one spins on a processor while more
waits than is on its way, 70 us for an activation under load (librdkafka 2.16). It has one request under way at a time,
which keeps the order, and makes the next one hold all that was sent meanwhile. A batch is small, because a broker
refuses the whole batch when it is too large: a small ack would share the fate of its neighbours. Fetching ahead is
bounded in bytes.
"""

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from upcall.brokers import Brokers
from upcall.errors import Misconfigured

log = logging.getLogger(__name__)

T = TypeVar("T")
Config = dict[str, Any]

AGAIN = 10.0
"""Seconds between two complaints of the same sort."""
SEND_TIMEOUT = 30.0
"""Seconds until a message that no broker takes is given back to its sender; upstream's `request.timeout.ms`."""

_COMMON: Config = {
    "log_level": 0,  # what matters comes by `error_cb`
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 1000,
}
_PRODUCER: Config = {
    "linger.ms": 0,
    "batch.size": 65_536,
    "metadata.max.age.ms": 15_000,
    "message.timeout.ms": int(SEND_TIMEOUT * 1000),
    "queue.buffering.max.messages": 10_000,
    "queue.buffering.max.kbytes": 131_072,
    "topic.metadata.propagation.max.ms": 10_000,
}
_CONSUMER: Config = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "session.timeout.ms": 30_000,
    "heartbeat.interval.ms": 10_000,
    "max.poll.interval.ms": 1_800_000,
    "fetch.wait.max.ms": 500,
    "queued.max.messages.kbytes": 16_384,
    "topic.metadata.refresh.interval.ms": 10_000,  # producers send to new partitions after 15 s
    "queued.min.messages": 1000,
    "fetch.queue.backoff.ms": 10,  # by default a second without fetching after 1000 messages: 2,000 a second at most
}
_JAVA = {"fetch.max.wait.ms": "fetch.wait.max.ms", "max.request.size": "message.max.bytes"}
_NO_COUNTERPART = frozenset(
    ["max.poll.records", "buffer.memory", "max.block.ms", "key.serializer", "value.serializer", "delivery.timeout.ms"]
)


def common_config(brokers: Brokers, complain: Callable[[KafkaError], None]) -> Config:
    """Of every client."""
    return {"bootstrap.servers": brokers.hosts, "error_cb": complain, **_COMMON, **_native(brokers.common)}


def producer_config(brokers: Brokers, largest: int, complain: Callable[[KafkaError], None], *, once: bool) -> Config:
    """`largest` in bytes: of a message's value; `once`: none may stand in the topic twice."""
    own = _native(brokers.producer)
    config = {**common_config(brokers, complain), **_PRODUCER, "message.max.bytes": max(largest, 1000)}
    if not once:
        config["max.in.flight.requests.per.connection"] = 1
    config |= own
    if once and config.get("acks", "all") in ("all", "-1") and "enable.idempotence" not in own:
        config["enable.idempotence"] = True
    return config


def consumer_config(brokers: Brokers, group: str, complain: Callable[[KafkaError], None]) -> Config:
    config = {**common_config(brokers, complain), **_CONSUMER, **_native(brokers.consumer)}
    return {**config, "group.id": group, "client.id": f"consumer-{group}", "enable.auto.commit": False}


def made(kind: Callable[[Config], T], config: Config) -> T:
    """A client. Raises Misconfigured where librdkafka does not take the settings; their values are not quoted."""
    try:
        return kind(config)
    except KafkaException as error:
        raise Misconfigured(
            f"Kafka's client does not take a setting: {error.args[0].str()}. Change or leave out what "
            "CONFIG_whisk_kafka_… or UPCALL_KAFKA_… says of it. Names are those of librdkafka, certificates are in PEM."
        ) from error


def _native(settings: Mapping[str, str]) -> Config:
    """librdkafka's names for Java's."""
    found = {_JAVA.get(name, name): value for name, value in settings.items() if name not in _NO_COUNTERPART}
    if found.get("ssl.endpoint.identification.algorithm") == "":
        found["ssl.endpoint.identification.algorithm"] = "none"
    return found


class Complaints:
    """A client's errors as log lines, each sort at most once in a while; called from any thread."""

    def __init__(self, client: str) -> None:
        self._client = client
        self._last: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            return  # each of them has been complained of, and at the end of a client it says nothing
        now, code = monotonic(), error.code()
        if now - self._last.get(code, -AGAIN) >= AGAIN:
            self._last[code] = now
            log.warning("Kafka, %s: %s", self._client, error.str())
