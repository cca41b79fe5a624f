"""What a new topic gets (spec: bus.md §2.1)."""

import pytest

from upcall.bus.kafka_topics import topic_settings
from upcall.config import load
from upcall.errors import Misconfigured
from upcall.model.messages import Topic, cluster_topic, completed_topic, health_topic, invalidation_topic, invoker_topic

EVENTS = Topic("events", "event")
LARGEST = 1_054_644
COMMON = {"segment.bytes": "536870912", "retention.bytes": "1073741824"}


@pytest.mark.parametrize(
    ("topic", "retention", "largest"),
    [
        (invoker_topic(0, "P"), 172_800_000, LARGEST),
        (completed_topic("0", "P"), 3_600_000, LARGEST),
        (health_topic("P"), 3_600_000, None),
        (invalidation_topic("P"), 300_000, None),
        (EVENTS, 3_600_000, None),
    ],
)
def test_topics_are_made_as_upstream_makes_them(topic: Topic, retention: int, largest: int | None) -> None:
    expected = {**COMMON, "retention.ms": str(retention)} | ({"max.message.bytes": str(largest)} if largest else {})
    assert topic_settings(topic, LARGEST, {}) == (1, expected)


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        (invoker_topic(0), "invoker"),
        (completed_topic("0"), "completed"),
        (health_topic(), "health"),
        (invalidation_topic(), "cacheInvalidation"),
        (EVENTS, "events"),
        (cluster_topic(), "upcallControllers"),
    ],
)
def test_the_variables_of_each_topic_reach_it(topic: Topic, key: str) -> None:
    prefix = f"CONFIG_whisk_kafka_topics_{key}"
    settings, _ = load(
        {}, {"KAFKA_HOSTS": "a:1", f"{prefix}_retentionMs": "77", f"{prefix}_partitions": "3"}, None, "controller"
    )
    assert settings.brokers is not None
    partitions, made = topic_settings(topic, LARGEST, settings.brokers.topics)
    assert (partitions, made["retention.ms"]) == (3, "77")


def test_a_number_of_partitions_that_is_none_is_told() -> None:
    with pytest.raises(Misconfigured, match=r"invoker\.partitions is '0': it has to be 1 or more"):
        topic_settings(invoker_topic(0), LARGEST, {"invoker.partitions": "0"})
