"""An engine that cuts off, answers late, in part, or with garbage: a creation succeeds or fails in words, nothing is
left of it, and the next one succeeds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docker.creating import SERVER, driver, ours, spec
from tests.docker.meddling import FAULTS, Meddler, meddling
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker.driver import DockerContainers
from upcall.errors import StartFailed
from upcall.model import texts

pytestmark = pytest.mark.timeout(180)

NO_NETWORK = (
    "The Docker engine has no network 'upgone': make it (docker network create upgone), or name another with"
    " --docker-network."
)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def bad(inside: Dockerd, folder: Path) -> AsyncIterator[tuple[DockerContainers, Meddler]]:
    socket = folder / "engine.sock"
    async with meddling(inside.path, socket) as meddler, driver(inside, folder, host=f"unix://{socket}") as made:
        yield made, meddler


async def outcome(made: DockerContainers) -> str:
    """Of a creation; what was made is removed."""
    try:
        async with asyncio.timeout(60):
            container = await made.create(spec())
    except StartFailed as error:
        return str(error)
    await container.destroy()
    return "made"


def traces(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info and record.levelno >= logging.ERROR]


@pytest.mark.parametrize("call", ["inspect an image", "create", "start", "inspect", "remove", "list", "events"])
async def test_one_bad_answer_costs_no_more_than_one_creation(
    inside: Dockerd, tmp_path: Path, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    ends: dict[str, str] = {}
    async with bad(inside, tmp_path) as (made, meddler):
        for fault in FAULTS:
            made.images.forget(SERVER)
            meddler.spoil(call, fault)
            ends[fault] = await outcome(made)
            if call == "list":
                await made.ownership.look_round()
            assert meddler.spoilt or call == "events"
            meddler.left = 0
        assert await outcome(made) == "made"
    assert set(ends.values()) <= {"made", texts.PROVISION}
    assert {ends[fault] for fault in ("cut", "cut after", "half", "late", "noise")} == {"made"}
    assert traces(caplog) == []


async def test_a_container_that_is_pruned_before_it_starts_is_made_anew(inside: Dockerd, tmp_path: Path) -> None:
    async with bad(inside, tmp_path) as (made, meddler):
        meddler.spoil("start", "late")
        meddler.meanwhile = lambda path: inside.call("DELETE", f"/containers/{path.split('/')[-2]}")
        container = await made.create(spec())
        assert meddler.spoilt == 1
        assert [each["Id"] for each in ours(inside)] == [container.id]


async def test_while_the_network_is_gone_creations_wait_and_the_platform_says_so(
    inside: Dockerd, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside.call("POST", "/networks/create", {"Name": "upgone"})
    try:
        async with driver(inside, tmp_path, network="upgone") as made:
            await (await made.create(spec())).destroy()
            inside.call("DELETE", "/networks/upgone")
            creation = asyncio.ensure_future(made.create(spec()))
            await until(lambda: made.trouble is not None)
            assert made.trouble == NO_NETWORK
            assert not creation.done()
            await until(lambda: not ours(inside))
            inside.call("POST", "/networks/create", {"Name": "upgone"})
            container = await creation
            await until(lambda: made.trouble is None)
            networks = inside.inspect(container.id)["NetworkSettings"]["Networks"]
            assert [each["IPAddress"] for each in networks.values()] == [container.address.host]
            assert [text for text in caplog.messages if "waits" in text or "is back" in text] == [
                f"what needs a container waits: {NO_NETWORK}",
                "the network upgone of containers is back",
            ]
    finally:
        inside.call("DELETE", "/networks/upgone")


async def test_without_a_network_the_driver_ends_at_once(inside: Dockerd, tmp_path: Path) -> None:
    inside.call("POST", "/networks/create", {"Name": "upgone"})
    async with driver(inside, tmp_path, network="upgone") as made:
        inside.call("DELETE", "/networks/upgone")
        creation = asyncio.ensure_future(made.create(spec()))
        await until(lambda: made.trouble is not None)
    with pytest.raises(StartFailed, match="is closing"):
        await creation
