"""The tests' own engine: whatever ends them, nothing of it stays on this machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system import engine_guard, engine_images
from tests.system.engine import required

TESTS = """
import time
from tests.system.engine import engine_of_its_own
with engine_of_its_own() as engine:
    made = engine.call("POST", "/containers/create", {"Image": "odd/server:1"})
    engine.call("POST", f"/containers/{made['Id']}/start")
    engine.call("POST", f"/containers/{made['Id']}/pause")
    print(engine.folder, engine.data, engine.guard, flush=True)
    time.sleep(1000)
"""
PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without its guard"])
def test_killed_tests_leave_nothing(request: pytest.FixtureRequest, guarded: bool) -> None:
    """Where the guard is killed with them, the next run sweeps."""
    required(request)
    with subprocess.Popen([sys.executable, "-c", TESTS], stdout=subprocess.PIPE, cwd=PROJECT) as tests:
        assert tests.stdout is not None
        folder, data, guard = tests.stdout.readline().decode().split()
        assert group(data)
        if not guarded:
            os.kill(int(guard), signal.SIGKILL)
        tests.kill()
    deadline = time.monotonic() + 60
    while group(data) or Path(folder).exists() or Path(data).exists():
        assert time.monotonic() < deadline, (group(data), folder, data)
        if not guarded:
            engine_images.prepare()
        time.sleep(0.05)


def group(data: str) -> list[Path]:
    """The control groups of an engine, which hold all of its processes."""
    return [tree / Path(data).name for tree in engine_guard.trees() if (tree / Path(data).name).exists()]
