"""An `upcall invoker` on CouchDB's databases that a controller has made: it runs, keeps, and outlasts their absence."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.test_invoker_recovery import SLOW, Node, wait
from tests.system.test_invoker_store import ready
from upcall.model.store_url import CouchUrl
from upcall.store.couch import CouchStore

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.kafka", "tests.system.pouchdb"]


async def made(url: CouchUrl) -> None:
    async with CouchStore(url, part="guest"):
        """Its databases are there now."""


@pytest.fixture
def node(kafka: "Broker", pouchdb: "Server", folder: Path) -> Iterator[Node]:
    url = pouchdb.databases()
    asyncio.run(made(url))
    node = Node(kafka, folder, UPCALL_STORE=pouchdb.url(url.entities.removesuffix("whisks")))
    yield node
    pouchdb.start()
    node.close()


def test_what_it_has_taken_runs_when_the_database_is_back(node: Node, pouchdb: "Server") -> None:
    actions = [node.world.action(SLOW) for _ in range(6)]
    pouchdb.stop()
    sent = [node.world.begin(each, {"seconds": 0}, blocking=n % 2 == 0) for n, each in enumerate(actions)]
    wait("it says so", lambda: not ready(node)["ready"])
    node.world.wait("it is down", lambda: node.world.health.state == "down")
    assert [each.acks for each in sent] == [[]] * 6
    pouchdb.start()
    node.finish(*sent)
    assert [each.kept()["response"]["result"] for each in sent] == [{"slept": 0}] * 6
    wait("it is ready", lambda: ready(node)["ready"])
