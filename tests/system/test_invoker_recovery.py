"""An `upcall invoker` that is killed at chosen moments, and what its next life says (D7; docs/adr/0003-delivery.md,
0017-recovery.md).

The moment is made by the broker or the database: what it does not answer to cannot have left the process.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.conformance.process import Process
from tests.system.kafka_world import committed
from upcall.testing.conformance.activation import Activation
from upcall.testing.conformance.target import Target
from upcall.testing.conformance.world import World

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.kafka", "tests.system.postgres"]

SLOW = "import time\ndef main(args):\n    time.sleep(args['seconds'])\n    return {'slept': args['seconds']}"
NO_LOGS = {"logs": 0}


class Node:
    """One Invoker on a store, by default a SQLite file, and the controller that it answers to."""

    def __init__(self, broker: "Broker", folder: Path, **settings: str) -> None:
        self.broker = broker
        prefix = f"r{uuid4().hex[:8]}-"
        store = settings.get("UPCALL_STORE", f"sqlite:///{folder}/shared/upcall.db")
        environment = {
            "KAFKA_HOSTS": broker.bootstrap,
            "CONFIG_whisk_kafka_topics_prefix": prefix,
            "UPCALL_STORE": store,
            "UPCALL_MEMORY": "256m",
            "UPCALL_PREWARM": "none",
            **settings,
        }
        self.topic = f"{prefix}invoker0"
        self.process = Process(folder / "invoker", environment, "--id", "0")
        self.world = World(Target(kafka=broker.bootstrap, prefix=prefix, store=store, url=self.process.url))
        self.world.up()
        wait("the probe is done", self.settled)

    @property
    def story(self) -> str:
        """What the Invoker's group has committed."""
        return committed(self.broker.bootstrap, self.topic)

    def settled(self) -> bool:
        return self.story.endswith("open 0, started 0")

    def close(self) -> None:
        self.world.close()
        self.process.kill()

    def restart(self) -> None:
        self.process.kill()
        self.process.start()

    def finish(self, *activations: Activation) -> None:
        """Wait until nothing of these is left to do, and nothing more comes of them."""
        for each in activations:
            each.ended()
        wait("all is committed", self.settled)
        self.world.advance()


@pytest.fixture
def make(kafka: "Broker", folder: Path) -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def start(**settings: str) -> Node:
        made.append(Node(kafka, folder, **settings))
        return made[-1]

    yield start
    for node in made:
        node.close()


def wait(what: str, met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.02)


def statuses(activation: Activation) -> set[int]:
    """That acks of it tell."""
    return {
        ack.body["response"]["response"]["statusCode"] for ack in activation.acks if ack.shape in ("result", "combined")
    }


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("logs", [1, 0])
def test_what_has_a_record_and_no_ack_is_acknowledged_from_its_record(
    make: Callable[..., Node], blocking: bool, logs: int
) -> None:
    node = make()
    action = node.world.action(SLOW, limits={"logs": logs})
    activation = node.world.begin(action, {"seconds": 2}, blocking=blocking)
    wait("it has started", lambda: "started 1" in node.story)
    node.broker.kill()
    try:
        record = activation.kept()
        node.process.kill()
    finally:
        node.broker.start()
    assert activation.acks == []
    node.process.start()
    node.finish(activation)
    assert activation.shapes == ["combined" if blocking else "combined-id"]
    assert [ack.body["isSystemError"] for ack in activation.acks] == [False]
    assert statuses(activation) == ({0} if blocking else set())
    assert activation.kept() == record
    assert record["response"]["result"] == {"slept": 2}


@pytest.mark.parametrize("logs", [1, 0])
@pytest.mark.parametrize("frozen", [True, False])
def test_what_was_told_while_the_database_was_away_is_what_is_recorded(
    make: Callable[..., Node], postgres: "Server", frozen: bool, logs: int
) -> None:
    """The Invoker is killed before it is back."""
    node = make(UPCALL_STORE=asyncio.run(postgres.database()))
    action = node.world.action(SLOW, limits={"logs": logs})
    activation = node.world.begin(action, {"seconds": 1})
    wait("it has started", lambda: "started 1" in node.story)
    (postgres.pause if frozen else postgres.kill)()
    try:
        told = activation.told()
        node.process.kill()
    finally:
        (postgres.resume if frozen else postgres.start)()
    node.process.start()
    node.finish(activation)
    assert activation.shapes == (["result", "completion"] if logs else ["combined"])
    assert activation.kept() == told
    assert told["response"]["result"] == {"slept": 1}


@pytest.mark.parametrize("blocking", [True, False])
def test_what_had_started_ends_once_with_status_3_and_what_had_not_runs(
    make: Callable[..., Node], blocking: bool
) -> None:
    node = make()
    action = node.world.action(SLOW, limits={"memory": 256})
    first = node.world.begin(action, {"seconds": 3}, blocking=blocking)
    wait("it has started", lambda: "started 1" in node.story)
    second = node.world.begin(action, {"seconds": 0}, blocking=blocking)
    node.restart()
    node.finish(first, second)
    assert [each.kept()["response"]["statusCode"] for each in (first, second)] == [3, 0]
    assert first.shapes == ["combined" if blocking else "combined-id"]
    assert first.acks[0].body["isSystemError"] is True


def test_a_probe_is_answered_while_all_is_full_and_hundreds_wait(make: Callable[..., Node]) -> None:
    node = make()
    world = node.world
    long = world.action(SLOW, limits={"memory": 256, "timeout": 60_000})
    running = world.begin(long, {"seconds": 30}, blocking=False)
    wait("it has started", lambda: "started 1" in node.story)
    waiting = [world.begin(long, {"seconds": 0, "text": "x" * 2000}, blocking=False) for _ in range(400)]
    begun = len(world.probe_acks)
    world.probe()
    world.wait("the probe's ack", lambda: len(world.probe_acks) > begun, 10)
    assert not running.over
    assert not any(each.over for each in waiting)
