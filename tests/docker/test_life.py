"""A container's life on a real engine: paused and resumed, killed, out of memory, removed; with its process seen from
here, and without."""

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.docker.living import BUSY, HUNGRY, QUIET, Blind, Life, NoLogs, life
from tests.system.engine import Engine as Dockerd
from tests.unit.containers.calls import exhausted
from upcall.containers.docker.container import DockerContainer
from upcall.containers.docker.freezer import Freezer, places_of
from upcall.errors import Failed, StartFailed
from upcall.testing import until

pytestmark = pytest.mark.timeout(180)

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(params=["files", "engine"])
async def lived(request: pytest.FixtureRequest, engine: Dockerd) -> AsyncIterator[Life]:
    """By the cgroups' files, and by the engine alone."""
    seen = request.param == "files"
    async with life(engine, uuid.uuid4().hex, freezer=None if seen else Blind()) as made:
        yield made
    assert not engine.containers(*made.labels.filter())


@pytest.fixture
async def seen(engine: Dockerd) -> AsyncIterator[Life]:
    async with life(engine, uuid.uuid4().hex) as made:
        yield made


async def used(life: Life, container: DockerContainer) -> int:
    """Ticks of CPU that its process has had."""
    pid = (await life.look(container.id))["Pid"]
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


async def test_a_paused_container_stands_still_and_goes_on_afterwards(lived: Life) -> None:
    container = await lived.make(BUSY)
    for _ in range(2):
        await container.pause()
        before = await used(lived, container)
        await asyncio.sleep(0.3)
        assert await used(lived, container) == before
        await container.resume()
        async with asyncio.timeout(20):
            while await used(lived, container) <= before + 1:
                await asyncio.sleep(0.01)


async def test_the_engine_does_not_hear_of_a_pause_by_the_freezer_file(seen: Life) -> None:
    container = await seen.make()
    assert seen.freezer.works is True
    assert seen.freezer.how == "the freezer file"
    await container.pause()
    assert not (await seen.look(container.id))["Paused"]


async def test_an_engine_that_cannot_be_seen_into_is_asked_to_pause(engine: Dockerd) -> None:
    async with life(engine, uuid.uuid4().hex, freezer=Blind()) as made:
        container = await made.make()
        await container.pause()
        assert (await made.look(container.id))["Paused"]
        assert container.lost is None
        await container.resume()
        assert not (await made.look(container.id))["Paused"]


async def test_our_own_pauses_are_no_loss_however_soon_it_goes_on(
    lived: Life, caplog: pytest.LogCaptureFixture
) -> None:
    container, last = await lived.make(), await lived.make()
    for _ in range(5):
        await container.pause()
        await container.resume()
    await lived.engine.docker.containers.container(last.id).pause()  # events come in order
    said = "was paused by somebody else: it is not used any more"
    await until(lambda: said in caplog.text)
    assert [text for text in caplog.messages if said in text] == [f"container {last.name} {said}"]


async def test_a_pause_of_ours_that_an_engine_tells_twice_is_no_loss(engine: Dockerd) -> None:
    """One that is behind does, when it hears of the pause after the resumption; somebody else's still counts."""
    async with life(engine, uuid.uuid4().hex, freezer=Blind()) as made:
        container = await made.make()
        lost: list[int] = []
        container.lost = lambda: lost.append(1)
        await container.pause()
        await container.resume()
        await until(lambda: not container._announced)
        container.stopped()
        await asyncio.gather(*container._tasks)
        assert lost == []
        await container.pause()
        container.stopped()
        await asyncio.gather(*container._tasks)
        assert lost == []
        await container.resume()
        await made.engine.docker.containers.container(container.id).pause()
        await until(lambda: bool(lost))


async def test_a_paused_container_is_removed_by_several_at_once(lived: Life) -> None:
    container = await lived.make()
    await container.pause()
    await asyncio.gather(*(container.destroy() for _ in range(3)))
    await container.destroy()
    assert not await there(lived, container)


async def ended(container: DockerContainer) -> None:
    """Return when it is reported lost, which is once."""
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    await until(lambda: bool(lost), 60)
    await asyncio.sleep(0)
    assert lost == [1]


async def there(life: Life, container: DockerContainer) -> bool:
    found = await life.engine.docker.containers.list(all=True, filters=f'{{"id":["{container.id}"]}}')
    return bool(found)


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("way", ["kill", "remove"])
async def test_whoever_kills_it_it_is_lost_and_can_be_removed(lived: Life, way: str, paused: bool) -> None:
    container = await lived.make()
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    if paused:
        await container.pause()
    foreign = lived.engine.docker.containers.container(container.id)
    await (foreign.kill(signal="KILL") if way == "kill" else foreign.delete(force=True))
    await until(lambda: bool(lost))
    with pytest.raises(
        Exception, match=r"has ended|No such|No such container|not running|is not paused|No such device"
    ):
        await container.resume()
    await container.destroy()
    assert lost == [1]
    assert not await there(lived, container)


async def test_a_sleeping_container_hears_that_it_is_to_stop(seen: Life) -> None:
    """So that an engine that ends need not wait for it."""
    container = await seen.make("import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); signal.pause()")
    status = Path(f"/proc/{(await seen.look(container.id))['Pid']}/status")
    await until(lambda: int(status.read_text().partition("SigCgt:")[2].split()[0], 16) & 1 << 14 != 0, 60)
    await container.pause()
    await seen.engine.docker.containers.container(container.id).stop(t=60)
    assert (await seen.look(container.id))["ExitCode"] == 7


async def test_a_process_that_ends_by_itself_is_lost(lived: Life) -> None:
    container = await lived.make("import time; time.sleep(0.2)")
    await ended(container)
    assert not await exhausted(container)
    with pytest.raises(StartFailed, match="has ended before it was used"):
        await container.claim("guest")


async def test_one_that_has_ended_before_anybody_watched_is_lost_too(lived: Life) -> None:
    container = await lived.make("pass")
    async with asyncio.timeout(60):
        while (await lived.look(container.id))["Running"]:
            await asyncio.sleep(0.01)
    await ended(container)


async def test_one_whose_end_was_told_before_it_was_known_has_ended(engine: Dockerd) -> None:
    async with life(engine, uuid.uuid4().hex, freezer=Blind()) as made:
        name = f"early_{made.labels.instance}"
        made.owned.names.add(name)
        id = await made.put(name, "pass")
        await made.engine.docker.containers.container(id).wait()
        await ended(await made.make("pass"))  # events come in order
        container = DockerContainer(made, made.spec(name), id, "127.0.0.1", NoLogs())
        made.owned.add(container)
        with pytest.raises(StartFailed, match="has ended before"):
            await container.claim("guest")


async def test_a_pause_by_somebody_else_is_a_loss_and_it_can_be_removed(lived: Life) -> None:
    container = await lived.make()
    lost: list[int] = []
    container.lost = lambda: lost.append(1)
    await lived.engine.docker.containers.container(container.id).pause()
    await until(lambda: bool(lost))
    await container.destroy()
    assert not await there(lived, container)


async def test_what_died_for_want_of_memory_says_so(lived: Life) -> None:
    container = await lived.make("import time; time.sleep(0.3); " + HUNGRY)
    await ended(container)
    assert await exhausted(container)
    await container.destroy()
    assert await exhausted(container)


async def test_the_engine_is_asked_for_want_of_memory_where_nobody_has_told(engine: Dockerd) -> None:
    async with life(engine, uuid.uuid4().hex, freezer=Blind()) as made:
        await made.owned.close()  # hears no events
        assert await exhausted(await made.make(HUNGRY))


async def test_what_the_kernel_counted_is_known_when_the_cgroup_is_gone(engine: Dockerd, seen: Life) -> None:
    container = await seen.make()
    pid = (await seen.look(container.id))["Pid"]
    folder = places_of(pid, container.id)["memory"].folder
    engine.freeze()  # or it might remove the cgroup before it can be looked at
    try:
        os.kill(pid, signal.SIGKILL)
        await ended(container)
    finally:
        engine.thaw()
    await until(lambda: not folder.exists(), 60)
    told: list[bool] = []
    container.exhausted(told.append)
    assert told == [False]  # at once


async def test_a_process_in_it_that_dies_for_want_of_memory_is_told_of_though_it_goes_on(seen: Life) -> None:
    container = await seen.make(f"import os, time\nif os.fork() == 0: {HUNGRY}\nos.wait()\ntime.sleep(3600)")
    async with asyncio.timeout(60):
        while not await exhausted(container):
            await asyncio.sleep(0.01)
    assert (await seen.look(container.id))["Running"]


async def test_a_crash_is_not_the_memorys_fault(lived: Life) -> None:
    container = await lived.make("import os; os._exit(3)")
    await ended(container)
    assert not await exhausted(container)


async def test_the_memory_in_use_is_known_where_the_cgroup_is_seen(seen: Life) -> None:
    container = await seen.make("held = bytearray(30 << 20)\n" + QUIET)
    used = 0
    async with asyncio.timeout(30):
        while used < 30 << 20:
            used = container.memory_used() or 0
            await asyncio.sleep(0.01)
    assert used < 64 << 20
    await container.destroy()
    assert container.memory_used() is None


async def test_a_stem_cell_is_its_tenants_and_nobody_elses(lived: Life) -> None:
    container = await lived.make()
    await container.claim("guest")
    with pytest.raises(StartFailed):
        await container.claim("other")


async def test_what_does_not_freeze_is_thawed_and_told(seen: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    container = await seen.make(BUSY)
    monkeypatch.setattr("upcall.containers.sandbox.freezing.PATIENCE", 0.0)
    monkeypatch.setattr("upcall.containers.sandbox.cgroups.Grip.frozen", lambda grip: False)
    with pytest.raises(Failed, match="does not freeze"):
        await container.pause()
    before = await used(seen, container)
    async with asyncio.timeout(20):
        while await used(seen, container) <= before + 1:
            await asyncio.sleep(0.01)


async def test_its_logs_are_let_go_with_it(seen: Life) -> None:
    container = await seen.make()
    assert not seen.logs[container.id].closed
    await container.destroy()
    assert seen.logs[container.id].closed


def descriptors() -> int:
    """Of cgroups and processes; Python has others."""
    links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.lexists(entry.path)]
    return sum("pidfd" in link or link.startswith("/sys/fs/cgroup") for link in links)


async def test_containers_leave_no_descriptors(seen: Life) -> None:
    before = descriptors()
    made = [await seen.make() for _ in range(3)]
    assert descriptors() == before + 3 * 3  # the process, its freezer, its memory
    for container in made:
        await container.destroy()
    assert descriptors() == before


async def test_a_freezer_that_does_not_work_is_known_from_the_first_container_on(
    engine: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.containers.sandbox.freezing.PATIENCE", 0.0)
    monkeypatch.setattr("upcall.containers.sandbox.cgroups.Grip.frozen", lambda grip: False)
    async with life(engine, uuid.uuid4().hex, freezer=Freezer()) as made:
        container = await made.make()
        assert made.freezer.how == "the engine"
        await container.pause()
        assert (await made.look(container.id))["Paused"]


@contextlib.contextmanager
def as_user(engine: Dockerd) -> Iterator[None]:
    """One of the group docker: may use the engine's socket, and nothing else of root's."""
    os.chmod(engine.folder, 0o711)
    os.chmod(engine.path, 0o666)
    os.setresuid(54321, 54321, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.chmod(engine.folder, 0o700)


async def test_an_ordinary_user_pauses_by_the_engine_and_hears_of_deaths_and_memory_by_the_kernel(
    engine: Dockerd,
) -> None:
    with as_user(engine):
        async with life(engine, uuid.uuid4().hex) as made:
            container, hungry = await made.make(), await made.make("import time; time.sleep(0.3); " + HUNGRY)
            await made.owned.close()  # hears no events
            await ended(hungry)
            assert await exhausted(hungry)
            assert made.freezer.how == "the engine"
            await container.pause()
            assert (await made.look(container.id))["Paused"]
            assert container.memory_used()
            await container.destroy()
        assert not engine.containers(*made.labels.filter())
