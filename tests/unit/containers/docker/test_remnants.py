"""What is left in the control group of a container that the engine has forgotten."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.containers.docker.test_freezer import ID, Host
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.remnants import KEPT, clear

FORGOTTEN = "fedcba9876543210" * 4


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "3600"]) as made:
        yield made
        made.kill()


@pytest.fixture(params=["/docker/{}", "/system.slice/docker-{}.scope"])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of the forgotten container, where the freezer of `known` looks for it."""
    host = Host(tmp_path)
    place = host.tree("tree", "cgroup2", "", request.param.format(ID), "memory.events", "cgroup.freeze")
    forgotten = place.with_name(place.name.replace(ID, FORGOTTEN))
    forgotten.mkdir()
    (forgotten / "cgroup.freeze").write_text("1")
    for name in ("memory.events", "cgroup.procs"):
        (forgotten / name).touch()
    return forgotten


def known(tmp_path: Path) -> Freezer:
    """One that has seen another container."""
    freezer = Freezer(tmp_path / "proc")
    grip = freezer.find(7, ID)
    assert grip is not None
    grip.close()
    return freezer


def test_a_forgotten_process_is_thawed_and_killed(
    tmp_path: Path, group: Path, process: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    (group / "cgroup.procs").write_text(f"{process.pid}\n")
    with caplog.at_level(logging.WARNING):
        clear(known(tmp_path), {FORGOTTEN: time.monotonic()})
    assert process.wait(20) == -signal.SIGKILL
    assert (group / "cgroup.freeze").read_text() == "0"
    assert FORGOTTEN[:12] in caplog.text


def test_of_who_is_not_suspected_nothing_is_touched(
    tmp_path: Path, group: Path, process: subprocess.Popen[bytes]
) -> None:
    (group / "cgroup.procs").write_text(f"{process.pid}\n")
    clear(known(tmp_path), {"0" * 64: time.monotonic()})
    clear(Freezer(tmp_path / "proc"), {FORGOTTEN: time.monotonic()})
    assert process.poll() is None
    assert (group / "cgroup.freeze").read_text() == "1"


def test_a_suspicion_ends(tmp_path: Path, group: Path) -> None:
    now = time.monotonic()
    suspects = {FORGOTTEN: now - KEPT - 1, "0" * 64: now - KEPT - 1, "1" * 64: now}
    opened = len(os.listdir("/proc/self/fd"))
    clear(known(tmp_path), suspects)
    assert list(suspects) == ["1" * 64]
    assert len(os.listdir("/proc/self/fd")) == opened
