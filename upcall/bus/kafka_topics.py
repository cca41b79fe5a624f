"""Topics: made where they are missing, with upstream's settings (spec: bus.md §2.1).

`whisk.kafka.topics.<key>.<setting>` changes what a new topic gets; `partitions` is its number of partitions. In both
parts dashes have become dots (`upcall.brokers`). The settings of an existing topic are the operator's.
"""

import logging
from collections.abc import Mapping
from time import monotonic, sleep

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from upcall.brokers import Brokers
from upcall.errors import Misconfigured
from upcall.model.messages import Carried, Topic

log = logging.getLogger(__name__)

HOUR = 3_600_000
PATIENCE = 20.0
"""Seconds for brokers that do not answer, or are not ready."""
_MINUTES = 5 * 60_000
_ANSWER = 2.0
"""Seconds for a question that is asked again anyway."""
_SILENCE = ("_TRANSPORT", "_TIMED_OUT", "_TIMED_OUT_QUEUE", "_ALL_BROKERS_DOWN", "REQUEST_TIMED_OUT")
_KEYS: dict[Carried, str] = {
    "activation": "invoker",
    "ack": "completed",
    "ping": "health",
    "event": "events",
    "invalidation": "cache.invalidation",
    "cluster": "upcall.controllers",
}
_RETENTION: dict[Carried, int] = {
    "activation": 48 * HOUR,
    "ack": HOUR,
    "ping": HOUR,
    "event": HOUR,
    "invalidation": _MINUTES,
    "cluster": _MINUTES,
}


def topic_settings(topic: Topic, largest: int, given: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """Number of partitions, and the topic's configuration."""
    settings = {
        "segment.bytes": str(512 << 20),
        "retention.bytes": str(1 << 30),
        "retention.ms": str(_RETENTION[topic.carries]),
    }
    if topic.carries in ("activation", "ack"):
        settings["max.message.bytes"] = str(largest)
    key = _KEYS[topic.carries] + "."
    settings |= {name.removeprefix(key): value for name, value in given.items() if name.startswith(key)}
    partitions = settings.pop("partitions", "1")
    if not partitions.isdecimal() or int(partitions) < 1:
        raise Misconfigured(f"kafka.topics: {key}partitions is '{partitions}': it has to be 1 or more.")
    return int(partitions), settings


def ensure_topic(admin: AdminClient, topic: Topic, brokers: Brokers, largest: int) -> None:
    """Blocks. Raises Misconfigured, with what the brokers say."""
    partitions, settings = topic_settings(topic, largest, brokers.topics)
    wanted = NewTopic(topic.name, partitions, brokers.replication_factor, config=settings)
    deadline, told = monotonic() + PATIENCE, False
    while True:
        try:
            if topic.name not in admin.list_topics(timeout=5).topics:
                admin.create_topics([wanted])[topic.name].result(PATIENCE)
                log.info("topic %s is made", topic.name)
            return
        except KafkaException as error:
            cause = error.args[0]
            if cause.name() == "TOPIC_ALREADY_EXISTS":
                return
            if not _passing(cause.name(), cause.retriable()) or monotonic() > deadline:
                raise _refused(topic, brokers, cause.str()) from error
            if not told:
                log.warning("%s: no topic %s yet: %s; tried for %g s", brokers.hosts, topic.name, cause.str(), PATIENCE)
                told = True
        sleep(1)


def cluster_id(admin: AdminClient, brokers: Brokers) -> str:
    """What the brokers call themselves together; their addresses where they say nothing. Blocks. Raises
    Misconfigured."""
    try:
        return str(admin.list_topics(timeout=PATIENCE).cluster_id or brokers.hosts)
    except KafkaException as error:
        reason = error.args[0].str()
        raise Misconfigured(f"The brokers {brokers.hosts} do not say which cluster they are: {reason}") from error


def topic_id(admin: AdminClient, name: str) -> str | None:
    """Of the topic that has this name now, and no other ever has; empty where there is none, or ids are not told; None
    where nobody answers. Blocks."""
    try:
        found = admin.describe_topics(TopicCollection([name]), request_timeout=_ANSWER)[name].result(_ANSWER * 2)
    except KafkaException as error:
        cause = error.args[0]
        return None if cause.name() in _SILENCE else ""
    except TimeoutError:
        return None
    return str(found.topic_id)


def _passing(name: str, retriable: bool) -> bool:
    return retriable or name in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "INVALID_REPLICATION_FACTOR")


def _refused(topic: Topic, brokers: Brokers, reason: str) -> Misconfigured:
    return Misconfigured(
        f"The topic {topic.name} can neither be found nor made at {brokers.hosts}: {reason}. Are the brokers up, is "
        "KAFKA_HOSTS right, is kafka.replication-factor no more than the number of brokers?"
    )
