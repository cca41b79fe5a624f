"""Every check of `upcall.testing.conformance` against real `upcall invoker` processes on a real Kafka and real stores.

Two Invokers, since some checks want other settings: one on PostgreSQL without stem cells, one on SQLite with a stem
cell, a short idle time and a store level. What a check cannot look at here is a failure: none is left out but those of
Docker's containers.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import pytest

from tests.conformance.process import Process
from upcall.testing.conformance.check import CHECKS
from upcall.testing.conformance.command import PASSED, look
from upcall.testing.conformance.every import chosen
from upcall.testing.conformance.target import Target
from upcall.testing.conformance.world import World

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.kafka", "tests.system.postgres"]

SECOND = [each.id for each in chosen(("life.idle", "records.levels", "pool.stem"))]
"""Those that the first Invoker's settings do not allow."""
ON_DOCKER = [each.id for each in chosen(("docker",))]
"""Those of containers of a Docker engine: tests/docker has them."""
BOTH = [each.id for each in chosen(("acks.success", "acks.too-large", "acks.order", "records.members", "logs.form"))]
"""Those where the store matters: SQLite promises a record before it is written."""

COMMON = {
    "UPCALL_LIMITS_MEMORY_MAX": "1024m",
    "UPCALL_LIMITS_CONCURRENCY_MAX": "4",
    "UPCALL_POOL_PAUSE_GRACE": "1s",
    "UPCALL_LOG_LEVEL": "warning",
}


class Stand(NamedTuple):
    world: World
    process: Process


def node_kind() -> str:
    from upcall.containers.kinds import find_node, node_kinds

    return (*node_kinds(find_node()), "")[0]


def target(process: Process, **facts: object) -> Target:
    common: dict[str, object] = {
        "url": process.url,
        "node": node_kind(),
        "concurrency": 4,
        "memory_max": 1024,
        "pause_grace": 1.0,
        "stop": process.stop,
        "start": process.start,
        "kill": process.kill,
    }
    return Target(**{**common, **facts})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def first(kafka: "Broker", postgres: "Server", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    prefix = f"c{uuid4().hex[:6]}-"
    store = asyncio.run(postgres.database())
    environment = {
        **COMMON,
        "KAFKA_HOSTS": kafka.bootstrap,
        "UPCALL_STORE": store,
        "UPCALL_MEMORY": "512m",
        "UPCALL_PREWARM": "none",
        "CONFIG_whisk_kafka_topics_prefix": prefix,
        "CONFIG_whisk_kafka_topics_userEvent_prefix": f"{prefix}user-",
        "CONFIG_whisk_userEvents_enabled": "true",
    }
    folder = tmp_path_factory.mktemp("first") / "invoker"
    process = Process(folder, environment, "--id", "0", "--displayedName", "here")
    facts = target(
        process, kafka=kafka.bootstrap, prefix=prefix, event_prefix=f"{prefix}user-", store=store, events=True,
        displayed_name="here",
    )  # fmt: skip
    yield from looking(facts, process)


@pytest.fixture(scope="module")
def second(kafka: "Broker", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    prefix = f"d{uuid4().hex[:6]}-"
    folder: Path = tmp_path_factory.mktemp("second")
    environment = {
        **COMMON,
        "KAFKA_HOSTS": kafka.bootstrap,
        "UPCALL_STORE": f"sqlite:///{folder}/shared/upcall.db",
        "UPCALL_MEMORY": "1024m",
        "UPCALL_PREWARM": "python:3=1/192m",
        "UPCALL_POOL_IDLE_CONTAINER": "1s",
        "UPCALL_STORE_LEVEL_NON_BLOCKING": "STORE_FAILURES",
        "CONFIG_whisk_kafka_topics_prefix": prefix,
    }
    process = Process(folder / "invoker", environment, "--id", "7")
    facts = target(
        process, kafka=kafka.bootstrap, invoker=7, prefix=prefix, store=environment["UPCALL_STORE"], idle=1.0,
        stem="192", failures_only=True,
    )  # fmt: skip
    yield from looking(facts, process)


def looking(facts: Target, process: Process) -> Iterator[Stand]:
    world = World(facts)
    try:
        world.up()
        yield Stand(world, process)
    finally:
        world.close()
        process.close()


@pytest.mark.parametrize("id", [id for id in CHECKS if id not in (*SECOND, *ON_DOCKER)])
def test_on_postgresql(id: str, first: Stand) -> None:
    passes(first, id)


@pytest.mark.parametrize("id", [*SECOND, *BOTH])
def test_on_sqlite(id: str, second: Stand) -> None:
    passes(second, id)


def test_new_names_are_in_pings_after_a_start(second: Stand) -> None:
    """The controller has one Invoker as before, called otherwise."""
    world = second.world
    assert "displayedName" not in world.ping()["name"]
    second.process.renamed("--displayedName", "elsewhere")
    world.wait("the new name", lambda: world.ping()["name"].get("displayedName") == "elsewhere")
    world.up()
    assert world.begin(world.action()).ended().acks[-1].body["instance"] == world.ping()["name"]


def passes(stand: Stand, id: str) -> None:
    stand.process.revive()
    result = look(stand.world, CHECKS[id])
    assert result.verdict == PASSED, f"{result.what}\n{result.why}"
