"""A creation that is given up half-way leaves nothing behind, however far it has come."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tests.system.test_sandbox_life import OK, eventually
from tests.unit.containers.calls import result, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.container import ProcessContainer
from upcall.containers.sandbox.zygote import Zygote
from upcall.errors import StartFailed


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def left(driver: ProcessContainers) -> list[Path]:
    """Of containers, on this host."""
    groups = driver.host.cgroups.folders.values() if driver.host.cgroups else []
    found = [path for place in groups for path in place.folder.iterdir() if path.is_dir() and path.name.isdigit()]
    return found + [path for path in driver.host.life.iterdir() if path.suffix == ".sock"]


async def settled(driver: ProcessContainers) -> int:
    """The files that are open when it has made ready for the next container."""
    await (await driver.create(spec())).destroy()
    await eventually(lambda: not driver._networks.wanting)
    return open_files()


async def created(driver: ProcessContainers) -> None:
    await driver.create(spec())


@pytest.mark.parametrize("give_up", ["cancel", "close"])
async def test_what_is_being_made_goes_with_the_container(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch, give_up: str
) -> None:
    before, make = await settled(driver), ProcessContainer._make
    entered, go = threading.Event(), threading.Event()

    def slow(self: ProcessContainer) -> None:
        entered.set()
        go.wait(10)
        make(self)

    monkeypatch.setattr(ProcessContainer, "_make", slow)
    creating = asyncio.create_task(created(driver))
    await asyncio.to_thread(entered.wait, 10)
    if give_up == "cancel":
        creating.cancel()
    else:
        (container,) = driver._containers.values()
        removing = asyncio.create_task(container.destroy())
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError if give_up == "cancel" else StartFailed):
        await creating
    if give_up == "close":
        await removing
    assert (left(driver), open_files()) == ([], before)


async def test_a_reply_that_comes_with_the_cancellation_is_dropped(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, readable = await settled(driver), Zygote._readable
    asking = asyncio.create_task(driver.ask({"op": "net"}, []))

    def cancelling(self: Zygote) -> None:
        readable(self)
        asking.cancel()

    assert driver._zygote is not None
    asyncio.get_running_loop().add_reader(driver._zygote._socket, cancelling, driver._zygote)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert open_files() == before
    monkeypatch.undo()


async def test_a_zygote_that_nobody_waits_for_any_more_ends(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver._zygote is not None
    driver._zygote._kill()
    await eventually(lambda: driver._zygote is None)
    begun: list[Zygote] = []
    begin = ProcessContainers._begin

    def noted(self: ProcessContainers) -> Zygote:
        begun.append(begin(self))
        return begun[-1]

    monkeypatch.setattr(ProcessContainers, "_begin", noted)
    creating = asyncio.create_task(created(driver))
    await eventually(lambda: len(begun) == 1)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await eventually(lambda: begun[0]._process.poll() is not None)
    assert await result(await driver.create(spec()), OK) == {"ok": 1}
    assert len(begun) == 2
