"""A controller and an Invoker that are told what OpenWhisk's deployments tell theirs, on a real Kafka and CouchDB's
stand-in: only addresses are others, and the driver, for there is no Docker of theirs."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.system.deployments import ANSIBLE, HELM_DAEMON_SET
from tests.system.fleet.member import Member
from tests.system.test_invokers import AUTH, ECHO, wait

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.kafka", "tests.system.pouchdb"]


@pytest.fixture(params=[HELM_DAEMON_SET, ANSIBLE], ids=["helm", "ansible"])
def environment(request: pytest.FixtureRequest, kafka: "Broker", pouchdb: "Server", tmp_path: Path) -> dict[str, str]:
    """With what there is here in place of the deployment's addresses and of what its machines have."""
    own, place = uuid4().hex[:8], pouchdb.databases()
    places = {
        "KAFKA_HOSTS": kafka.bootstrap,
        "CONFIG_whisk_kafka_topics_prefix": f"p{own}-",
        "CONFIG_whisk_kafka_replicationFactor": "1",
        "CONFIG_whisk_couchdb_protocol": "http",
        "CONFIG_whisk_couchdb_host": place.host,
        "CONFIG_whisk_couchdb_port": str(place.port),
        "CONFIG_whisk_couchdb_username": place.username,
        "CONFIG_whisk_couchdb_password": place.password,
        "CONFIG_whisk_couchdb_databases_WhiskAuth": f"d{own}_who",
        "CONFIG_whisk_couchdb_databases_WhiskEntity": f"d{own}_what",
        "CONFIG_whisk_couchdb_databases_WhiskActivation": f"d{own}_when",
        "CONFIG_whisk_invoker_protocol": "http",
        "UPCALL_DRIVER": "process",
        "UPCALL_ACTION_NETWORK": "none",
        "UPCALL_LOGS_FOLDER": str(tmp_path / "logs"),
    }
    given: dict[str, str] = request.param
    return {name: text for name, text in given.items() if not name.startswith("CONFIG_whisk_kafka_common_ssl")} | {
        **places,
        **({"CONFIG_whisk_kafka_common_securityProtocol": "PLAINTEXT"} if given is ANSIBLE else {}),
    }


@pytest.fixture
def pair(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    controller = Member("controller", 0, tmp_path, {**environment, "UPCALL_AUTH": AUTH}, AUTH)
    invoker = Member("invoker", 0, tmp_path, environment, AUTH)
    controller.start()
    invoker.start()
    yield controller, invoker
    controller.kill()
    invoker.kill()


def test_an_action_runs_and_its_record_is_in_the_named_database(
    pair: tuple[Member, Member], environment: dict[str, str], pouchdb: "Server"
) -> None:
    controller, invoker = pair
    wait("the Invoker", lambda: controller.states() == {0: "up"}, lambda: str(controller.states()))
    body = {"exec": {"kind": "python:3", "code": ECHO}}
    assert controller.call("PUT", "actions/echo", body).status == 200
    answer = controller.call("POST", "actions/echo?blocking=true", {"a": "é"})
    assert (answer.status, answer.body["response"]["result"]) == (200, {"a": "é"})
    record = f"activations/{answer.body['activationId']}"
    wait("the record", lambda: controller.call("GET", record).status == 200, lambda: record)
    assert environment["CONFIG_whisk_couchdb_databases_WhiskActivation"] in names(pouchdb)
    secret = environment["CONFIG_whisk_couchdb_password"]
    assert all(secret not in output.read_text() for output in (*controller.outputs, *invoker.outputs))


def names(server: "Server") -> list[str]:
    place = server.databases()
    request = urllib.request.Request(f"{place.url}/_all_dbs")
    request.add_header("Authorization", "Basic " + b64encode(f"{place.username}:{place.password}".encode()).decode())
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: list[str] = json.load(answer)
    return found
