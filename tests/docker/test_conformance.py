"""What OpenWhisk's controllers and operators expect of an Invoker, where it is Docker's to keep
(`upcall.testing.conformance`); the other checks do not depend on what runs an action."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.process import Process
from tests.system.engine import Engine
from upcall.testing.conformance.check import CHECKS
from upcall.testing.conformance.command import PASSED, look
from upcall.testing.conformance.every import chosen
from upcall.testing.conformance.target import Target
from upcall.testing.conformance.world import World

IDS = ("docker", "logs", "life.pause", "life.died", "life.deaf", "outcomes.memory")


@pytest.fixture(scope="module")
def seen(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Process]]:
    """An Invoker with a stem cell, and a small controller, where the containers' addresses lead."""
    from tests.system import kafka  # a plugin of other tests, which has to be the first to load it

    kafka.required()
    folder: Path = tmp_path_factory.mktemp("conformance")
    with engine.inside():
        broker = kafka.Broker(kafka.jars(), folder)
        broker.start()
        process = Process(folder / "invoker", settings(engine, broker.bootstrap, folder), "--id", "0")
        store = f"sqlite:///{folder}/shared/upcall.db"
        facts = Target(
            kafka=broker.bootstrap,
            store=store,
            url=process.url,
            node="nodejs:20",
            docker=engine.url,
            memory_max=1024,
            pause_grace=1.0,
            idle=4.0,
            stem="192",
            stop=process.stop,
            start=process.start,
            kill=process.kill,
        )
        world = World(facts)
        try:
            world.up()
            yield world, process
        finally:
            world.close()
            process.close()
            broker.kill()


def settings(engine: Engine, brokers: str, folder: Path) -> dict[str, str]:
    return {
        "KAFKA_HOSTS": brokers,
        "UPCALL_STORE": f"sqlite:///{folder}/shared/upcall.db",
        "UPCALL_DRIVER": "docker",
        "DOCKER_HOST": engine.url,
        "WHISK_API_HOST_NAME": "api.example.org",
        "UPCALL_MEMORY": "1024m",
        "UPCALL_LIMITS_MEMORY_MAX": "1024m",
        "UPCALL_PREWARM": "python:3=1/192m",
        "UPCALL_POOL_PAUSE_GRACE": "1s",
        "UPCALL_POOL_IDLE_CONTAINER": "4s",
        "UPCALL_LOG_LEVEL": "warning",
    }


@pytest.mark.parametrize("id", [each.id for each in chosen(IDS)])
def test_it_conforms(id: str, seen: tuple[World, Process]) -> None:
    world, process = seen
    process.revive()
    result = look(world, CHECKS[id])
    assert result.verdict == PASSED, f"{result.what}\n{result.why}"
