"""A container that is out of sight: what the engine says of its end, and a removal that fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from tests.docker.living import NoLogs
from tests.unit.containers.calls import exhausted, spec
from upcall.containers.docker import container as module
from upcall.containers.docker.container import DockerContainer
from upcall.containers.docker.container import Driver as Owner
from upcall.containers.docker.options import Timeouts
from upcall.errors import Failed

RUNS = {"Running": True, "Pid": 7, "ExitCode": 0, "OOMKilled": False}
KILLED = {"Running": False, "Pid": 0, "ExitCode": 137, "OOMKilled": False}
FAILED = {"Running": False, "Pid": 0, "ExitCode": 1, "OOMKilled": False}
MEMORY = {"Running": False, "Pid": 0, "ExitCode": 137, "OOMKilled": True}


class Engine:
    """Says one state after another, and the last one over and over; refuses so many removals."""

    timeouts = Timeouts()

    def __init__(self, *states: dict[str, Any], refusals: int = 0) -> None:
        self.states = list(states)
        self.refusals = refusals
        self.looks = self.removed = self.forgotten = 0
        self.engine = self.removals = self.containers = self

    @contextlib.asynccontextmanager
    async def asked(self, *_: object) -> AsyncIterator["Engine"]:
        yield self

    def container(self, _id: str) -> "Engine":
        return self

    async def show(self) -> dict[str, Any]:
        self.looks += 1
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"Id": "1", "State": state, "Config": {"Labels": {}}, "NetworkSettings": {"Networks": {}}}

    async def remove(self, _id: str, _paused: bool) -> bool:
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise Failed("not now")
        self.removed += 1
        return True

    def forget(self, _container: DockerContainer) -> None:
        self.forgotten += 1


def made(engine: Engine) -> DockerContainer:
    return DockerContainer(cast(Owner, engine), spec(), "1", "127.0.0.1", NoLogs())


@pytest.mark.parametrize("before", [(), (RUNS,), (KILLED,), (RUNS, KILLED, KILLED)])
async def test_the_engine_may_learn_late_that_it_was_for_want_of_memory(before: tuple[dict[str, Any], ...]) -> None:
    engine = Engine(*before, MEMORY)
    assert await exhausted(made(engine))
    assert engine.looks == len(before) + 1


async def test_one_that_was_killed_may_have_been_so_by_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE", 0.05)
    assert not await exhausted(made(Engine(KILLED)))


async def test_one_that_ended_by_itself_is_asked_for_once() -> None:
    engine = Engine(FAILED)
    assert not await exhausted(made(engine))
    assert engine.looks == 1


async def test_a_removal_that_failed_is_done_again_by_who_comes_next() -> None:
    engine = Engine(RUNS, refusals=1)
    container = made(engine)
    first, second = asyncio.ensure_future(container.destroy()), asyncio.ensure_future(container.destroy())
    with pytest.raises(Failed, match="not now"):
        await first
    await second  # came while it was tried
    assert (engine.removed, engine.forgotten) == (0, 0)
    await container.destroy()
    await container.destroy()
    assert (engine.removed, engine.forgotten) == (1, 1)
