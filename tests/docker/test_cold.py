"""Many cold starts, one after another and at once: all succeed, and nothing is left of them."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.drivers import made
from tests.docker.platform import descriptors, eventually, left, on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.serving import Platform
from tests.unit.containers.calls import spec

pytestmark = pytest.mark.usefixtures("inside")

CODE = "def main(args):\n    print('cold')\n    return {'n': args['n']}\n"
COLDS, LANES, PARALLEL, TURNS = 100, 4, 20, 8


@pytest.mark.timeout(300)
async def test_a_hundred_of_a_driver_leave_nothing_behind(inside: Engine) -> None:
    before = left(inside)

    async def some(count: int) -> None:
        for _ in range(count):
            container = await driver.create(spec())
            await container.destroy()

    async with made("docker", inside) as driver:
        await some(1)
        open_before = descriptors(os.getpid())
        await asyncio.gather(*(some(COLDS // LANES) for _ in range(LANES)))
        assert descriptors(os.getpid()) <= open_before + 2 * LANES, (
            "connections to the engine, and nothing of containers"
        )
    eventually(lambda: left(inside) == before, lambda: left(inside))


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With room for so many containers at once."""
    data = tmp_path_factory.mktemp("cold") / "data"
    with on_docker(engine, data, "--memory", f"{PARALLEL * 128} MB", "--prewarm", "python:3=0") as full:
        yield full


def create(platform: Platform, name: str) -> None:
    assert platform.create(name, CODE, limits={"memory": 128}).status == 200


def check(platform: Platform, name: str, n: int) -> None:
    record = recorded(platform, name, n=n)
    assert record["response"]["result"] == {"n": n}
    assert "initTime" in str(record["annotations"]), "it was a cold start"
    assert printed(record) == ["stdout: cold"]


def test_many_at_once_succeed(platform: Platform, engine: Engine) -> None:
    names = [f"parallel{n}" for n in range(PARALLEL)]
    for name in names:
        create(platform, name)
    with ThreadPoolExecutor(PARALLEL) as threads:
        list(threads.map(lambda n: check(platform, names[n], n), range(PARALLEL)))
    assert left(engine)["containers"] == PARALLEL


def test_one_after_another_each_takes_the_place_of_another_one(platform: Platform, engine: Engine) -> None:
    """The platform is full."""
    create(platform, "again")
    check(platform, "again", 0)
    before, open_before = left(engine), descriptors(platform.process.pid)
    for n in range(TURNS):
        create(platform, "again")
        check(platform, "again", n)
    eventually(lambda: left(engine) == before, lambda: left(engine))
    assert descriptors(platform.process.pid) <= open_before + 5
