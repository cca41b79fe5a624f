"""Logs under a flood, from an engine that sees nothing of this host, and over an engine's restart."""

import asyncio
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.docker.printing import ENDS, MB, Boxes, boxes
from tests.system.engine import Engine, engine_of_its_own, required
from upcall.containers.docker import word
from upcall.model import texts


@pytest.fixture
def restoring(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Leaves its containers running when it ends."""
    required(request)
    with engine_of_its_own("--live-restore") as made, made.inside():
        yield made


@pytest.fixture(params=["fifo", "stream"])
async def made(inside: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Boxes]:
    async with boxes(inside, tmp_path, request.param) as found:
        yield found


FLOODS = {"lines": "b'x' * 1023 + b'\\n'", "newlines": "b'\\n' * 1024", "no newline": "b'x' * 1024"}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_takes_little_memory_and_costs_neither_the_container_nor_its_next_log(
    made: Boxes, flood: str
) -> None:
    box = await made.make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pieces = {"fifo": 1024, "stream": 2 if flood == "newlines" else 64}[made.way]  # an engine logs 10^5 lines a second
    await box.run(f"piece = ({FLOODS[flood]}) * 256\nfor _ in range({pieces}): os.write(1, piece)\n{ENDS}")
    taken = await box.take(MB)
    assert not taken.failed
    assert taken.lines[-1][31:] == f"stderr: {texts.logs_truncated(MB)}"
    await box.run(f"print('next', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: next"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


NOISE = """
printed = 0
def flood():
    global printed
    while True:
        os.write(1, b'noise\\n' * 1000)
        printed += 1
"""
PRINTS = "before = printed\nwhile printed < before + 2: time.sleep(0.001)"
"""Ends when the flood has had a turn of its own."""


async def test_a_flood_without_end_stops_neither_the_loop_nor_the_container(made: Boxes) -> None:
    box = await made.make()
    await box.run(f"{NOISE}\nthreading.Thread(target=flood, daemon=True).start()")
    for _ in range(3):
        await box.run(f"{PRINTS}\n{ENDS}")
        taken = await box.take(MB)
        assert not taken.failed
        last = taken.lines[-1][31:]
        assert last == f"stderr: {texts.logs_truncated(MB)}" or "stdout: noise".startswith(last)
        assert {line[39:] for line in taken.lines[1:-1]} == {"noise"}


async def test_a_paused_container_keeps_what_it_has_said(made: Boxes) -> None:
    box = await made.make()
    await box.run("print('before', flush=True)")
    made.dockerd.call("POST", f"/containers/{box.id}/pause")
    assert await box.texts(complete=False) == ["stdout: before"]
    made.dockerd.call("POST", f"/containers/{box.id}/unpause")
    await box.run(f"print('after', flush=True); {ENDS}")
    assert await box.texts() == ["stdout: after"]


def hide(engine: Engine, folder: Path, *then: str) -> None:
    """The engine finds another folder there."""
    folder.mkdir(exist_ok=True)
    script = " && ".join([f"mount -t tmpfs none {folder}", *then])
    subprocess.run(["nsenter", f"--mount=/proc/{engine.pid}/ns/mnt", "sh", "-c", script], check=True)


def show(engine: Engine, folder: Path) -> None:
    subprocess.run(["nsenter", f"--mount=/proc/{engine.pid}/ns/mnt", "umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("other", [False, True])
async def test_an_engine_that_does_not_see_our_files_is_found_out_once(
    inside: Engine, tmp_path: Path, other: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`other`: it sees FIFOs there, but none of ours."""
    monkeypatch.setattr(word, "_PATIENCE", 1.0)
    folder = tmp_path / "logs"
    hide(inside, folder, *([f"mkdir {folder}/0", f"mkfifo {folder}/0/stdout {folder}/0/stderr"] if other else []))
    try:
        async with boxes(inside, tmp_path) as made:
            for _ in range(2):
                box = await made.make()
                await box.run(f"print('seen', flush=True); {ENDS}")
                assert await box.texts() == ["stdout: seen"]
            assert (made.tries, made.outputs.mode) == (3, "stream")
    finally:
        show(inside, folder)
    told = [record.message for record in caplog.records if "cannot use files of this host" in record.message]
    assert len(told) == 1


AWAY = """
def late():
    for number in range(2000):
        os.write(1 + number % 2, b'%d %s\\n' % (number, b'x' * 100))
        time.sleep(0.001)
"""


@pytest.mark.parametrize("way", ["fifo", "stream"])
async def test_lines_of_the_time_when_the_engine_was_away_come_once(
    restoring: Engine, tmp_path: Path, way: str
) -> None:
    async with boxes(restoring, tmp_path, way, bound=100 * MB) as made:
        box = await made.make()
        await box.run(
            f"{AWAY}\nos.write(1, b'first, and no end ')\nlater = threading.Thread(target=late); later.start()"
        )
        await asyncio.sleep(0.3)
        await asyncio.to_thread(restoring.stop)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(restoring.start)
        await box.run(f"later.join(); {ENDS}")
        lines = await box.texts(100 * MB)
        first, *rest = [f"{number} {'x' * 100}" for number in range(2000)]
        found = [line.partition(": ")[2] for line in lines]
        assert sorted(found) == sorted([f"first, and no end {first}", *rest])
        await box.run(f"print('next', flush=True); {ENDS}")
        assert await box.texts() == ["stdout: next"]


async def test_a_stream_of_a_paused_container_is_opened_when_it_runs_again(restoring: Engine, tmp_path: Path) -> None:
    async with boxes(restoring, tmp_path, "stream") as made:
        box = await made.make()
        await box.run(f"print('before', flush=True); {ENDS}")
        assert await box.texts() == ["stdout: before"]
        restoring.call("POST", f"/containers/{box.id}/pause")
        await asyncio.to_thread(restoring.stop)
        await asyncio.to_thread(restoring.start)
        await asyncio.sleep(1.5)
        restoring.call("POST", f"/containers/{box.id}/unpause")
        await box.run(f"print('after', flush=True); {ENDS}")
        assert await box.texts() == ["stdout: after"]
