"""An engine that cuts off, answers late, in part, or with garbage: a creation succeeds or fails in words, nothing is
left of it, and the next one succeeds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docker.creating import SERVER, driver, spec
from tests.docker.meddling import FAULTS, Meddler, meddling
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker.driver import DockerContainers
from upcall.errors import StartFailed
from upcall.model import texts

pytestmark = pytest.mark.timeout(180)


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
