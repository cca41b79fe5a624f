"""Kafka's settings: OpenWhisk's variables, our own, and what is said of bad ones."""

from pathlib import Path

import pytest

from upcall.brokers import Brokers
from upcall.config import Settings, load
from upcall.errors import Misconfigured


def brokers(environment: dict[str, str] | None = None) -> Brokers:
    found = load({"kafka_hosts": "a:9092"}, environment or {})[0].brokers
    assert found is not None
    return found


def test_without_brokers_there_are_none_and_the_bus_is_in_memory() -> None:
    plain: Settings = load({}, {})[0]
    assert (plain.bus, plain.brokers) == ("memory", None)


def test_the_defaults_are_upstreams() -> None:
    assert brokers() == Brokers(hosts="a:9092")


def test_upstreams_variables_name_brokers_topics_and_clients() -> None:
    settings = load(
        {"bus": "kafka"},
        {
            "KAFKA_HOSTS": "kafka-0.kafka:9092, [::1]:9093",
            "CONFIG_whisk_kafka_replicationFactor": "3",
            "CONFIG_whisk_kafka_topics_prefix": "dev-",
            "CONFIG_whisk_kafka_topics_invoker_retentionBytes": "1000",
            "CONFIG_whisk_kafka_topics_completed_retentionMs": "2000",
            "CONFIG_whisk_kafka_common_securityProtocol": "SSL",
            "CONFIG_whisk_kafka_common_sslKeystorePassword": "a,b=c",
            "CONFIG_whisk_kafka_consumer_sessionTimeoutMs": "10000",
            "CONFIG_whisk_kafka_producer_acks": "1",
            "CONFIG_whisk_activation_serdesOverhead": "7000",
        },
    )[0]
    assert settings.brokers == Brokers(
        hosts="kafka-0.kafka:9092,[::1]:9093",
        prefix="dev-",
        replication_factor=3,
        serdes_overhead=7000,
        common={"security.protocol": "SSL", "ssl.keystore.password": "a,b=c"},
        consumer={"session.timeout.ms": "10000"},
        producer={"acks": "1"},
        topics={"invoker.retention.bytes": "1000", "completed.retention.ms": "2000"},
    )


def test_tables_of_the_file_have_names_of_kafkas_own(tmp_path: Path) -> None:
    file = tmp_path / "upcall.toml"
    file.write_text('[kafka]\nhosts = "a:1"\n[kafka.common]\n"security.protocol" = "SSL"\n[kafka.other]\nx = 1\n')
    settings, remarks = load({}, {}, file)
    assert settings.brokers == Brokers(hosts="a:1", common={"security.protocol": "SSL"})
    assert remarks == [f"{file}: the key 'kafka.other.x' is not known and has no effect"]


def test_our_own_variables_take_pairs() -> None:
    found = brokers({"UPCALL_KAFKA_COMMON": "security.protocol=SSL, ssl.ca.location=/etc/ca.pem"})
    assert found.common == {"security.protocol": "SSL", "ssl.ca.location": "/etc/ca.pem"}


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"KAFKA_HOSTS": "kafka"}, "KAFKA_HOSTS: 'kafka' is no broker; write it as kafka.example.org:9092"),
        ({"KAFKA_HOSTS": "a:0"}, "'a:0' is no broker"),
        ({"KAFKA_HOSTS": "a:9092,b:99999"}, "'b:99999' is no broker"),
        ({"UPCALL_KAFKA_PREFIX": "a b"}, "UPCALL_KAFKA_PREFIX: 'a b' cannot begin a topic's name"),
        ({"UPCALL_KAFKA_REPLICATION_FACTOR": "0"}, "'0' is no number of copies"),
        ({"UPCALL_KAFKA_OFFSET_METADATA": "10"}, "'10' is not between 64 and"),
        ({"UPCALL_KAFKA_SILENCE": "1 s"}, "'1 s' is too short"),
    ],
)
def test_a_bad_value_is_named_with_its_source(environment: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load({}, environment)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["secret", "=secret", '{"a":["secret"]}', "{secret"])
def test_values_of_clients_are_not_quoted(text: str) -> None:
    with pytest.raises(Misconfigured, match="UPCALL_KAFKA_COMMON: ") as caught:
        load({}, {"UPCALL_KAFKA_COMMON": text})
    assert "secret" not in str(caught.value)


def test_kafka_without_brokers_is_refused() -> None:
    with pytest.raises(Misconfigured, match="--bus kafka needs brokers: name them by --kafka-hosts HOST:PORT"):
        load({"bus": "kafka"}, {})
