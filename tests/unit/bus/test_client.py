"""How Kafka's clients are set up."""

from upcall.bus.kafka_client import Config, consumer_config
from upcall.config import load


def consumer(**variables: str) -> Config:
    settings, _ = load({}, {"KAFKA_HOSTS": "kafka:9092", "UPCALL_ID": "0", **variables}, role="invoker")
    assert settings.brokers is not None
    return consumer_config(settings.brokers, "invoker0", lambda error: None)


def test_a_backlog_is_fetched_without_pauses() -> None:
    """Left alone the client rests for a second once it has some messages ahead: it reads 2,000 a second, no more."""
    assert consumer()["fetch.queue.backoff.ms"] <= 20


def test_the_operator_has_the_last_word() -> None:
    assert consumer(CONFIG_whisk_kafka_consumer_fetchQueueBackoffMs="7")["fetch.queue.backoff.ms"] == "7"
