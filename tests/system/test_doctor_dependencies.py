"""A real Kafka, with what goes wrong with one: it is named by `upcall doctor`, and nothing else is blamed."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]
UPCALL = Path(sys.executable).with_name("upcall")


def ask(hosts: str, folder: Path, **variables: str) -> dict[str, Any]:
    """As people do, in a pod's environment."""
    environment = {"PATH": os.environ["PATH"], "KAFKA_HOSTS": hosts, "UPCALL_ID": "0", "UPCALL_DATA": str(folder)}
    command = [str(UPCALL), "doctor", "--dependencies", "--role", "invoker", "--json"]
    done = subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def named(found: dict[str, Any]) -> list[str]:
    return [each["id"] for each in found["findings"]]


def nobody() -> int:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def make(broker: "Broker", topic: str, **settings: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    config = {name.replace("_", "."): value for name, value in settings.items()}
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(30)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Broker"]:
    """A broker that says it is where nobody is."""
    from tests.system.kafka import Broker, jars, required

    required()
    port = nobody()
    broker = Broker(jars(), tmp_path_factory.mktemp("elsewhere"), advertised=f"127.0.0.1:{port}")
    broker.start()
    yield broker
    broker.kill()


def test_brokers_and_topics_that_are_well(kafka: "Broker", tmp_path: Path) -> None:
    prefix = uuid4().hex
    make(kafka, f"{prefix}invoker0", max_message_bytes="1054644")
    found = ask(kafka.bootstrap, tmp_path, CONFIG_whisk_kafka_topics_prefix=prefix)
    assert found["findings"] == []
    assert f"Kafka at {kafka.bootstrap}" in found["looked_at"]


def test_a_topic_whose_messages_have_to_be_small(kafka: "Broker", tmp_path: Path) -> None:
    prefix = uuid4().hex
    make(kafka, f"{prefix}invoker0", max_message_bytes="100000")
    make(kafka, f"{prefix}other", max_message_bytes="1000")
    found = ask(kafka.bootstrap, tmp_path, CONFIG_whisk_kafka_topics_prefix=prefix)
    assert named(found) == ["DEP-04"]
    assert f"{prefix}invoker0 100000" in found["findings"][0]["evidence"]
    assert "other" not in found["findings"][0]["evidence"]


def test_an_address_of_the_broker_that_leads_nowhere(elsewhere: "Broker", tmp_path: Path) -> None:
    found = ask(elsewhere.bootstrap, tmp_path)
    assert named(found) == ["DEP-01"]
    (told,) = found["findings"]
    assert told["evidence"].startswith(f"asked at {elsewhere.bootstrap}, a broker answers that it is at 127.0.0.1:")


def test_nobody_where_brokers_are_named(tmp_path: Path) -> None:
    port = nobody()
    found = ask(f"127.0.0.1:{port}", tmp_path)
    assert named(found) == ["DEP-05"]
    assert "refused" in found["findings"][0]["evidence"]


def test_a_frozen_broker(elsewhere: "Broker", tmp_path: Path) -> None:
    elsewhere.freeze()
    try:
        assert named(ask(elsewhere.bootstrap, tmp_path)) == ["DEP-05"]
    finally:
        elsewhere.thaw()


def test_others_that_are_away(kafka: "Broker", tmp_path: Path) -> None:
    port = nobody()
    found = ask(
        kafka.bootstrap, tmp_path, ZOOKEEPER_HOSTS=f"127.0.0.1:{port}", WHISK_API_HOST_NAME="nobody.invalid",
        UPCALL_STORE=f"postgresql://u:secret@127.0.0.1:{port}/d",
    )  # fmt: skip
    assert sorted(named(found)) == ["DEP-05", "K8S-19"]
    assert "secret" not in json.dumps(found)


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    found = ask("", tmp_path, CONFIG_whisk_couchdb_host="db", UPCALL_ID="", UPCALL_PORT="x")
    (told,) = found["findings"]
    assert told["id"] == "CFG-01"
    for name in ("KAFKA_HOSTS", "KAFKA_HOST_PORT", "CONFIG_whisk_couchdb_databases_WhiskEntity", "DB_WHISK_ACTIONS",
                 "--id N", "UPCALL_PORT"):  # fmt: skip
        assert name in told["cause"], name
