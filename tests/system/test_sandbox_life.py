"""What is left when a part of the platform dies: zygote, guardian, the platform itself (docs/adr/0002-sandbox.md)."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.containers.calls import collected, init, result, spec
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox import cgroups, launch, zygote
from upcall.errors import Misconfigured, StartFailed

REPOSITORY = Path(__file__).parents[2]
OK = "def main(args):\n    return {'ok': 1}\n"


async def eventually(what: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


async def test_a_killed_zygote_is_replaced_and_its_containers_are_lost(driver: ProcessContainers) -> None:
    paused, running = [await driver.create(spec()) for _ in range(2)]
    lost: list[str] = []
    for container in (paused, running):
        container.lost = lambda id=container.id: lost.append(id)
        await init(container, OK)
    await paused.pause()
    os.kill(int(child_of(driver.zygote_pid())), signal.SIGKILL)
    await eventually(lambda: len(lost) == 2)
    assert set(lost) == {paused.id, running.id}
    assert await result(await driver.create(spec()), OK) == {"ok": 1}
    await paused.destroy()


async def test_a_zygote_that_dies_while_a_network_is_made_ahead_is_told_without_a_trace(
    driver: ProcessContainers, caplog: pytest.LogCaptureFixture
) -> None:
    await eventually(lambda: not driver._tasks)
    driver._networks.reset()  # the spare one
    dying = int(child_of(driver.zygote_pid()))
    os.kill(dying, signal.SIGSTOP)
    driver.settled()
    await asyncio.sleep(0)
    os.kill(dying, signal.SIGKILL)
    await eventually(lambda: not driver._tasks)
    assert "nothing could be made ahead: The zygote does not answer: it has ended" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_zygote_that_hangs_is_replaced_and_makes_what_was_asked_of_it(
    driver: ProcessContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = int(child_of(driver.zygote_pid()))
    await eventually(lambda: not driver._tasks)
    monkeypatch.setattr(zygote, "_PATIENCE", 2)
    os.kill(hung, signal.SIGSTOP)
    assert await result(await driver.create(spec()), OK) == {"ok": 1}
    await eventually(lambda: not Path(f"/proc/{hung}").exists())


@pytest.mark.skipif(not cgroups.detect(), reason="no cgroup may be used here")
async def test_a_container_that_cannot_be_confined_never_runs_and_leaves_nothing(
    driver: ProcessContainers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: not driver._tasks)  # the spare network is made
    before = len(os.listdir("/proc/self/fd"))
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(cgroups.Group, "_open_joins", lambda group: group.joins.append(os.dup(full)))
    with pytest.raises(StartFailed, match=r"cannot confine the sandbox: .*No space left"):
        await driver.create(spec("other"))
    monkeypatch.undo()
    os.close(full)
    assert not list(driver.host.life.glob("*.sock"))
    assert not [path for path in groups(folder) if any(entry.is_dir() for entry in os.scandir(path))]
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_folder_that_cannot_be_used_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(Misconfigured, match="file"):
        await ProcessContainers(folder / "file").start()
    with pytest.raises(Misconfigured, match="longer than 80 bytes"):
        await ProcessContainers(folder / ("x" * 100)).start()


async def test_a_killed_guardian_is_replaced(driver: ProcessContainers) -> None:
    first = driver.host.guardian_pid()
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: driver.host.guardian_pid() != first)


def child_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]


async def test_a_second_platform_on_the_same_folder_is_refused(driver: ProcessContainers, folder: Path) -> None:
    with pytest.raises(Misconfigured, match="Another upcall runs on the folder"):
        await ProcessContainers(folder).start()


async def test_a_host_without_namespaces_is_told_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        launch, "isolated", lambda *_, **__: ["/bin/sh", "-c", "echo bwrap: setting up uid map >&2; exit 1"]
    )
    with pytest.raises(Misconfigured, match=r"bwrap: setting up uid map\..*--isolation none"):
        await ProcessContainers(folder).start()
    assert [path.name for path in folder.iterdir()] == ["lock"]


PLATFORM = """
import asyncio, sys, json
from pathlib import Path
from upcall.containers.process import ProcessContainers
from tests.unit.containers.calls import spec, init
async def main():
    driver = ProcessContainers(Path(sys.argv[1]), isolation=sys.argv[3])
    await driver.start()
    made = [await driver.create(spec(t)) for t in ("a", "b", "a")]
    for container in made:
        code = "import subprocess; subprocess.Popen(['sleep', %r]); main = dict" % sys.argv[2]
        status = await init(container, code)
        assert status[0] == 200, status
    await made[0].pause()
    print(json.dumps({"guardian": driver.host.guardian_pid()}), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


@contextlib.contextmanager
def a_platform(folder: Path, token: str, isolation: str = "full") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A platform with three containers, one of them paused, and the process of its guardian."""
    process = subprocess.Popen(
        [sys.executable, "-c", PLATFORM, str(folder), token, isolation],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["guardian"]
    finally:
        process.kill()
        process.communicate()


def processes(token: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (path / "cmdline").read_bytes():
                found.append(path.name)
        except OSError:
            continue
    return found


def groups(folder: Path) -> list[str]:
    tag = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/upcall/{tag}-*")]


def networks(pids: list[str]) -> set[str]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
    return found


def clean(folder: Path, token: str) -> bool:
    return not processes(token) and not groups(folder) and [path.name for path in folder.iterdir()] == ["lock"]


@pytest.mark.parametrize("isolation", ["full", "none"])
async def test_a_platform_killed_leaves_nothing_behind_paused_or_not(folder: Path, isolation: str) -> None:
    token = f"{time.time_ns()}"
    with a_platform(folder, token, isolation) as (platform, guardian):
        await eventually(lambda: len(processes(token)) >= 4)  # the platform itself, one sleep in each container
        made = networks(processes(token)) - {os.readlink("/proc/self/ns/net")}
        assert len(made) == (2 if isolation == "full" else 0)  # three containers, two tenants
        platform.kill()
    await eventually(lambda: clean(folder, token))
    await eventually(lambda: not Path(f"/proc/{guardian}").exists())
    await eventually(lambda: not made & networks(os.listdir("/proc")))


async def test_a_platform_killed_with_its_guardian_is_swept_by_its_next_life(folder: Path) -> None:
    token = f"{time.time_ns()}"
    with a_platform(folder, token) as (platform, guardian):
        os.kill(guardian, signal.SIGSTOP)  # or else the platform starts another before it is killed itself
        platform.kill()
        platform.wait()
        os.kill(guardian, signal.SIGKILL)
    assert not clean(folder, token)
    driver = ProcessContainers(folder)
    await driver.start()
    try:
        await eventually(lambda: not processes(token))
        assert len({name.rpartition("/")[2] for name in groups(folder)}) <= 1
        assert len(list(folder.iterdir())) == 2
        assert await result(await driver.create(spec()), OK) == {"ok": 1}
    finally:
        await driver.close()
    assert clean(folder, token)


async def test_close_leaves_nothing(folder: Path) -> None:
    driver = ProcessContainers(folder)
    await driver.start()
    made = [await driver.create(spec(tenant)) for tenant in ("a", "b", "")]
    await made[0].pause()
    before = len(os.listdir("/proc/self/fd"))
    await driver.close()
    assert clean(folder, str(folder))
    assert len(os.listdir("/proc/self/fd")) < before
    with pytest.raises(StartFailed):
        await made[2].claim("late")


async def test_no_descriptors_leak_from_containers(driver: ProcessContainers) -> None:
    for round_ in range(6):
        container = await driver.create(spec(f"t{round_}"))
        await init(container, OK)
        assert await collected(container) == []
        await container.destroy()
        await eventually(lambda: not driver._tasks)
        if round_ == 1:
            before = len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) == before
