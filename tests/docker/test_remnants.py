"""A process that the engine has forgotten, as one whose containerd died in a start does."""

import asyncio
import contextlib
import signal
import subprocess
from pathlib import Path

import pytest

from tests.docker.living import life
from tests.docker.platform import eventually
from tests.system import engine_guard
from tests.system.engine import Engine

pytestmark = pytest.mark.usefixtures("inside")


def groups_of(engine: Engine, id: str) -> list[Path]:
    """By version 1 in the two trees that count, by version 2 in the one that there is."""
    trees = [tree for tree in engine_guard.trees() if tree.name in ("memory", "freezer", "cgroup")]
    return [tree / engine.group / id for tree in trees]


async def test_what_a_start_that_was_cut_off_has_left_is_found_and_killed(engine: Engine) -> None:
    """By hand, for the engine does it one time in ten: the group of a container that is not started any more."""
    async with life(engine, "remnants") as made:
        await made.make()  # so it is known where containers' control groups are
        id = await made.put("remnants_cut_off", start=False)
        groups = groups_of(engine, id)
        with subprocess.Popen(["sleep", "3600"]) as forgotten:
            try:
                for each in groups:
                    each.mkdir()
                    (each / "cgroup.procs").write_text(str(forgotten.pid))
                assert await made.removals.remove(id, cut_off=True)
                assert forgotten.poll() is None, "the engine's removal does not end it"
                assert await asyncio.to_thread(forgotten.wait, 30) == -signal.SIGKILL
            finally:
                forgotten.kill()
                forgotten.wait()
                eventually(lambda: removed(groups), lambda: "a control group is busy")


def removed(groups: list[Path]) -> bool:
    for each in groups:
        with contextlib.suppress(OSError):
            each.rmdir()
    return not any(each.exists() for each in groups)
