"""An `upcall invoker` whose database goes away: what has not started waits for it, and nothing ends for its sake."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.test_invoker_recovery import SLOW, Node, wait
from upcall.testing.conformance.activation import Activation

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.kafka", "tests.system.postgres"]


@pytest.fixture
def node(kafka: "Broker", postgres: "Server", folder: Path) -> Iterator[Node]:
    node = Node(kafka, folder, UPCALL_STORE=asyncio.run(postgres.database()))
    yield node
    postgres.start()
    node.close()


def ready(node: Node) -> Any:
    connection = http.client.HTTPConnection(node.process.url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", "/ready")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def sent_while_away(node: Node, server: "Server") -> list[Activation]:
    """Six of them, more than would make an Invoker unhealthy; until it has said that it should get no more."""
    actions = [node.world.action(SLOW) for _ in range(6)]
    server.stop()
    sent = [node.world.begin(each, {"seconds": 0}, blocking=n % 2 == 0) for n, each in enumerate(actions)]
    wait("it says so", lambda: not ready(node)["ready"])
    assert "the store does not answer: " in ready(node)["reason"]
    node.world.wait("it is down", lambda: node.world.health.state == "down")
    assert [each.acks for each in sent] == [[]] * 6
    return sent


def test_what_it_has_taken_runs_when_the_store_is_back(node: Node, postgres: "Server") -> None:
    sent = sent_while_away(node, postgres)
    postgres.start()
    node.finish(*sent)
    assert [each.kept()["response"]["result"] for each in sent] == [{"slept": 0}] * 6
    assert [each.shapes for each in sent] == [["result", "completion"], ["completion"]] * 3
    wait("it is ready", lambda: ready(node)["ready"])
    node.world.up()


def test_a_stop_leaves_it_to_the_next_life(node: Node, postgres: "Server") -> None:
    sent = sent_while_away(node, postgres)
    node.process.stop()
    assert [each.acks for each in sent] == [[]] * 6
    postgres.start()
    node.process.start()
    node.finish(*sent)
    assert [each.kept()["response"]["statusCode"] for each in sent] == [0] * 6
