"""A disk that is full: what runs is finished, new work is turned away with the cause, and it mends itself."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.operating import upcall
from tests.system.serving import Platform, running
from tests.system.trials import record

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own size is root's to mount")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """On a disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", str(folder)], check=True)
    yield folder / "data"
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that within 30 s"
        time.sleep(0.05)


def refused(platform: Platform) -> bool:
    answer = platform.invoke("hello")
    if answer.status == 200:
        return False
    assert answer.status == 503
    assert "its store takes no writes: database or disk is full" in answer.body["error"]
    assert answer.headers["retry-after"] == "5"
    return True


def test_intake_stops_with_the_cause_and_goes_on_when_there_is_room(data: Path) -> None:
    with running(data) as platform:
        platform.create("hello", "def main(args): return args")
        assert platform.invoke("hello").status == 200
        until(lambda: len(platform.call("GET", "activations").body) == 1)
        ballast = fill(data.parent)
        until(lambda: refused(platform))
        for _ in range(20):
            assert refused(platform), "it stays so"
        assert platform.call("GET", "actions").status == 200
        before = platform.call("GET", "activations?limit=200")
        assert (before.status, len(before.body) >= 1) == (200, True)
        wrong = platform.create("other", "def main(args): return args")
        assert wrong.status == 503
        assert "disk is full" in wrong.body["error"]
        code, out, _ = upcall("user", "create", "alice", data=data)
        assert code == 1
        assert out.startswith("Failed to create subject (")
        assert "disk is full" in out
        ballast.unlink()
        until(lambda: platform.invoke("hello").status == 200)
        until(lambda: platform.create("other", "def main(args): return args").status == 200)
        assert platform.stop() == 0
        log = platform.output.read_text()
        assert log.count("the store refuses writes") == 1
        assert "the store takes writes again" in log
        assert "Traceback" not in log


def test_a_stop_on_a_full_disk_ends_in_time_and_loses_nothing(data: Path) -> None:
    """Records are small: what ends before the first refusal has room in the log ahead, however long that takes."""
    with running(data) as platform:
        platform.create("hello", "def main(args): return args")
        assert platform.invoke("hello").status == 200
        ballast = fill(data.parent)
        told: list[str] = []
        while (answer := platform.invoke("hello", query="blocking=true" if len(told) % 2 else "")).status < 300:
            told.append(answer.body["activationId"])
        began = time.monotonic()
        assert platform.stop() == 0
        assert time.monotonic() - began < 20
        assert (
            "lie beside the database, the next start puts them there: database or disk" in platform.output.read_text()
        )
    ballast.unlink()
    with running(data) as platform:
        for id in told:
            assert record(platform, id)["response"]["success"]


def test_no_record_of_an_answered_call_is_lost(data: Path) -> None:
    with running(data) as platform:
        platform.create("hello", "def main(args): return {'big': 'x' * 20_000}")
        ballast = fill(data.parent)
        answered = []
        while (answer := platform.invoke("hello")).status == 200:
            answered.append(answer.body["activationId"])
        assert answer.status == 503
        ballast.unlink()
        until(lambda: platform.invoke("hello").status == 200)
        for id in answered:
            assert platform.call("GET", f"activations/{id}").status == 200
        platform.process.kill()
    with running(data) as platform:
        for id in answered:
            assert platform.call("GET", f"activations/{id}").status == 200
