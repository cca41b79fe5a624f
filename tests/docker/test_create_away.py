"""An engine that goes away while containers come to be."""

import asyncio
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.docker.creating import driver, ours, spec, unstarted
from tests.system.engine import Engine as Dockerd
from tests.system.engine import engine_of_its_own, required

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def fragile(request: pytest.FixtureRequest) -> Iterator[Dockerd]:
    """One that may be broken; the test is in its network."""
    required(request)
    with engine_of_its_own() as dockerd, dockerd.inside():
        yield dockerd


async def test_while_the_engine_hangs_a_creation_waits_and_then_goes_on(fragile: Dockerd, tmp_path: Path) -> None:
    async with driver(fragile, tmp_path) as made:
        fragile.freeze()
        creation = asyncio.ensure_future(made.create(spec()))
        async with asyncio.timeout(30):
            while made.trouble is None:
                await asyncio.sleep(0.01)
        assert made.trouble == f"The Docker engine at {fragile.url} does not answer."
        assert not creation.done()
        fragile.thaw()
        container = await creation
        async with asyncio.timeout(30):
            while made.trouble is not None:
                await asyncio.sleep(0.01)
        assert [each["Id"] for each in ours(fragile)] == [container.id]


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_an_engine_that_restarts_costs_no_creation(fragile: Dockerd, tmp_path: Path, kill: bool) -> None:
    async with driver(fragile, tmp_path) as made:
        creations = [asyncio.ensure_future(made.create(spec())) for _ in range(6)]
        async with asyncio.timeout(60):
            while not ours(fragile):
                await asyncio.sleep(0.001)
        await asyncio.to_thread(fragile.kill if kill else fragile.stop)
        async with asyncio.timeout(30):
            while made.trouble is None:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(fragile.start)
        containers = await asyncio.gather(*creations)
        lost: set[str] = set()
        for container in containers:
            container.lost = partial(lost.add, container.id)
        await made.ownership.look_round()
        await asyncio.sleep(0)
        alive = {container.id for container in containers if fragile.inspect(container.id)["State"]["Running"]}
        assert lost == {container.id for container in containers} - alive
        assert {each["Id"] for each in ours(fragile)} == lost | alive
        await made.create(spec())


async def test_what_cannot_be_removed_at_the_end_goes_at_the_next_start(
    fragile: Dockerd, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    instance = uuid.uuid4().hex
    made = unstarted(fragile, tmp_path, instance)
    await made.start()
    await made.create(spec())
    await asyncio.to_thread(fragile.kill)
    async with asyncio.timeout(30):
        while made.trouble is None:
            await asyncio.sleep(0.01)
    await made.close()
    assert "what is left goes at the next start, or by upcall clean" in caplog.text
    await asyncio.to_thread(fragile.start)
    assert len(ours(fragile)) == 1
    later = unstarted(fragile, tmp_path, instance)
    await later.start()
    assert ours(fragile) == []
    await later.close()


async def test_an_engine_that_hangs_when_the_platform_ends_is_not_waited_for(
    fragile: Dockerd, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.containers.docker.driver.PATIENCE", 600.0)
    made = unstarted(fragile, tmp_path, uuid.uuid4().hex)
    await made.start()
    await made.create(spec())
    fragile.freeze()
    assert made.trouble is None
    async with asyncio.timeout(60):
        await made.close()
    assert "what is left goes at the next start, or by upcall clean" in caplog.text
