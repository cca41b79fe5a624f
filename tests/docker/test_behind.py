"""An engine that is behind: it takes a pause of ours for another one, or our resumption, until it has heard of all, and
refuses meanwhile what we ask for as done already."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.docker.living import Blind, Life, life
from tests.docker.meddling import Meddler, meddling
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker import container as module
from upcall.containers.docker.engine import EngineError
from upcall.testing import until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def meddler(engine: Dockerd, tmp_path: Path) -> AsyncIterator[Meddler]:
    async with meddling(engine.path, tmp_path / "engine.sock") as made:
        yield made


@pytest.fixture
async def behind(engine: Dockerd, meddler: Meddler, tmp_path: Path) -> AsyncIterator[Life]:
    host = f"unix://{tmp_path}/engine.sock"
    async with life(engine, uuid.uuid4().hex, freezer=Blind(), host=host) as made:
        yield made


async def test_a_pause_that_it_refuses_as_done_already_is_asked_for_again(behind: Life, meddler: Meddler) -> None:
    container = await behind.make()
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    meddler.spoil("pause", "behind", times=3)
    await container.pause()
    assert meddler.spoilt == 3
    assert (await behind.look(container.id))["Paused"]
    await container.resume()
    await until(lambda: not container._announced)
    assert lost == []
    await behind.engine.docker.containers.container(container.id).pause()
    await until(lambda: bool(lost))


async def test_a_resumption_that_it_refuses_as_done_already_is_asked_for_again(behind: Life, meddler: Meddler) -> None:
    container = await behind.make()
    await container.pause()
    meddler.spoil("unpause", "behind", times=3)
    await container.resume()
    assert meddler.spoilt == 3
    assert not (await behind.look(container.id))["Paused"]


async def test_one_that_stands_by_it_is_believed(
    behind: Life, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = await behind.make()
    monkeypatch.setattr(module, "LATE", 0.1)
    await behind.engine.docker.containers.container(container.id).pause()
    for call, ask in (("pause", container.pause), ("unpause", container.resume)):
        meddler.spoil(call, "behind", times=1000)
        with pytest.raises(EngineError, match=r"is (already|not) paused"):
            await ask()
        assert 1 < meddler.spoilt < 1000
    await container.destroy()
    assert not await behind.engine.docker.containers.list(all=True, filters=f'{{"id":["{container.id}"]}}')


async def test_nobody_insists_on_the_pause_of_one_that_has_ended(behind: Life, meddler: Meddler) -> None:
    container = await behind.make()
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    await behind.engine.docker.containers.container(container.id).kill(signal="KILL")
    await until(lambda: bool(lost))
    meddler.spoil("pause", "behind", times=100)
    with pytest.raises(EngineError, match="is already paused"):
        await container.pause()
    assert meddler.spoilt == 1
    meddler.left = 0
