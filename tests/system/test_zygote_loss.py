"""A zygote that dies, or never lives, costs nobody a container that was just being made."""

import asyncio
import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.test_sandbox_life import OK, child_of, eventually
from tests.unit.containers.calls import result, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox import launch
from upcall.containers.sandbox.container import Fork
from upcall.containers.sandbox.zygote import Zygote, ZygoteLost
from upcall.errors import StartFailed
from upcall.model.preload import Preload
from upcall.ports import Container

STATUS = 3
"""The place of a container's status pipe among the descriptors that it is spawned with."""


def kill(driver: ProcessContainers) -> None:
    """Its zygote, if there is one."""
    with contextlib.suppress(AssertionError, OSError, IndexError):
        os.kill(int(child_of(driver.zygote_pid())), signal.SIGKILL)


@pytest.mark.parametrize("op", ["spawn", "net", "hello"])
async def test_a_container_is_made_by_the_next_zygote_where_one_dies_when_asked(
    driver: ProcessContainers, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, request = [], Zygote.request

    async def deadly(self: Zygote, message: dict[str, object], fds: list[int]) -> object:
        if message["op"] == op:
            asked.append(op)
            if len(asked) == 1:
                self._kill()
        return await request(self, message, fds)

    if op == "hello":
        kill(driver)
        await eventually(lambda: driver._zygote is None)
    driver._networks.reset()  # so that one has to be made
    monkeypatch.setattr(Zygote, "request", deadly)
    assert await result(await driver.create(spec("new")), OK) == {"ok": 1}
    assert len(asked) >= 2


async def test_a_zygote_found_dead_when_it_is_asked_is_not_asked_again(driver: ProcessContainers) -> None:
    """Though its end has not been read: else all tries of a container could go to the same dead one."""
    zygote = driver._zygote
    assert zygote is not None
    pid = child_of(driver.zygote_pid())
    kill(driver)
    while os.path.exists(f"/proc/{pid}"):
        time.sleep(0.001)  # the loop stands still
    with pytest.raises(ZygoteLost):
        await zygote.request({"op": "net"}, [])
    assert not zygote.alive
    assert await result(await driver.create(spec("new")), OK) == {"ok": 1}


async def test_zygotes_that_end_before_their_turn_comes_are_no_tries(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Zygote] = []
    request = Zygote.request

    async def late(self: Zygote, message: dict[str, object], fds: list[int]) -> object:
        if message["op"] == "spawn" and len(ended) < 5:
            ended.append(self)
            self._kill()
            self._lose("it has ended")
        return await request(self, message, fds)

    monkeypatch.setattr(Zygote, "request", late)
    assert await result(await driver.create(spec("new")), OK) == {"ok": 1}
    assert len(ended) == 5


async def test_a_container_whose_process_dies_with_its_zygote_before_it_is_ready_is_made_again(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so to nobody: a process may be ready sooner than it can be stopped."""
    spawned: list[Fork] = []
    spawn = driver.spawn

    async def deadly(order: dict[str, Any], tenant: str, fds: list[int]) -> Fork:
        if spawned:
            spawned.append(await spawn(order, tenant, fds))
            return spawned[-1]
        with open(os.devnull, "wb") as nobody:
            spawned.append(await spawn(order, tenant, [*fds[:STATUS], nobody.fileno(), *fds[STATUS + 1 :]]))
        kill(driver)
        await asyncio.to_thread(select.select, [spawned[-1].pidfd], [], [])
        return spawned[-1]

    monkeypatch.setattr(driver, "spawn", deadly)
    lost: list[str] = []
    container = await driver.create(spec(""))
    container.lost = lambda: lost.append("lost")
    await container.claim("guest")
    assert len(spawned) == 2
    assert await result(container, OK) == {"ok": 1}
    assert lost == []


async def test_a_container_that_is_ready_when_it_dies_with_its_zygote_tells_of_it_after_its_claim(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not made again: what it has said is that it runs."""
    spawned: list[Fork] = []
    spawn = driver.spawn

    async def deadly(order: dict[str, Any], tenant: str, fds: list[int]) -> Fork:
        ear, mouth = os.pipe()
        try:
            spawned.append(await spawn(order, tenant, [*fds[:STATUS], mouth, *fds[STATUS + 1 :]]))
            os.write(fds[STATUS], await asyncio.to_thread(os.read, ear, 4096))
        finally:
            os.close(ear)
            os.close(mouth)
        kill(driver)
        await asyncio.to_thread(select.select, [spawned[-1].pidfd], [], [])
        return spawned[-1]

    monkeypatch.setattr(driver, "spawn", deadly)
    container = await driver.create(spec(""))
    lost = asyncio.Event()
    container.lost = lost.set
    await container.claim("guest")
    assert len(spawned) == 1
    await asyncio.wait_for(lost.wait(), 15)


async def test_a_claimed_container_still_tells_of_its_death(driver: ProcessContainers) -> None:
    container = await driver.create(spec(""))
    lost = asyncio.Event()
    container.lost = lost.set
    await container.claim("guest")
    kill(driver)
    await asyncio.wait_for(lost.wait(), 15)


async def test_a_zygote_that_dies_as_its_driver_closes_is_waited_for(driver: ProcessContainers) -> None:
    zygote = driver._zygote
    assert zygote is not None
    zygote._kill()
    zygote._lose("it has ended")
    await driver.close()
    assert not os.path.exists(f"/proc/{zygote.pid}")
    assert zygote._errors.closed


async def test_many_containers_are_made_while_zygotes_are_killed(driver: ProcessContainers) -> None:
    """Two at a time, as many kills as tries that a container has, less one."""
    made: list[Container] = []

    async def make(number: int) -> None:
        made.append(await driver.create(spec(f"t{number}", 32)))

    for wait in (0.0, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02):
        making = [asyncio.create_task(make(number)) for number in range(4)]
        for _ in range(2):
            await asyncio.sleep(wait)
            kill(driver)
        await asyncio.gather(*making)
        while made:
            await made.pop().destroy()
    assert await result(await driver.create(spec()), OK) == {"ok": 1}


async def test_a_zygote_that_dies_at_once_each_time_is_told(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(driver)
    await eventually(lambda: driver._zygote is None)
    starts: list[int] = []

    def broken(*_: object, **__: object) -> list[str]:
        starts.append(1)
        return ["/bin/sh", "-c", "echo bwrap: no room >&2; exit 1"]

    monkeypatch.setattr(launch, "isolated", broken)
    with pytest.raises(StartFailed, match="bwrap: no room"):
        await driver.create(spec())
    assert len(starts) == 3
    monkeypatch.undo()
    assert await result(await driver.create(spec()), OK) == {"ok": 1}


async def test_the_next_zygote_has_loaded_what_the_first_had(folder: Path) -> None:
    driver = ProcessContainers(folder, preload=Preload(modules=("colorsys",)))
    await driver.start()
    code = "import sys\nloaded = 'colorsys' in sys.modules\ndef main(args):\n    return {'loaded': loaded}\n"
    try:
        assert await result(await driver.create(spec()), code) == {"loaded": True}
        kill(driver)
        await eventually(lambda: driver._zygote is None)
        assert await result(await driver.create(spec()), code) == {"loaded": True}
    finally:
        await driver.close()


async def test_a_module_under_which_the_zygote_ends_is_left_out_of_the_next(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Zygote.request

    async def deadly(self: Zygote, message: dict[str, object], fds: list[int]) -> object:
        if message.get("module") == "sndhdr":
            self._kill()
        return await request(self, message, fds)

    monkeypatch.setattr(Zygote, "request", deadly)
    driver = ProcessContainers(folder, preload=Preload(modules=("sndhdr", "colorsys")))
    try:
        await driver.start()
        code = "import sys\nloaded = 'colorsys' in sys.modules\ndef main(args):\n    return {'loaded': loaded}\n"
        assert await result(await driver.create(spec()), code) == {"loaded": True}
    finally:
        await driver.close()
    assert caplog.text.count("preload: sndhdr is not loaded ahead: ") == 1
