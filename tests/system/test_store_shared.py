"""Several processes on one SQLite file: killed at any moment they lose nothing that was told, and disturb nobody."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.system.serving import running
from upcall.model.store_url import SqliteUrl
from upcall.store.choice import opened

ROOT = Path(__file__).parents[2]
LIFE = 1_000_000
"""Numbers of one process."""


class Worker:
    """A process that writes until it is killed; `told` are the numbers that it has answered for."""

    def __init__(self, database: Path, name: str, base: int, durability: str) -> None:
        self.output, self.errors = (database.parent / f"{name}-{base}.{kind}" for kind in ("out", "err"))
        with self.output.open("wb") as out, self.errors.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.system.store_member", str(database), name, str(base), durability],
                stdout=out,
                stderr=err,
                cwd=ROOT,
            )

    @property
    def told(self) -> list[int]:
        lines = self.output.read_text().splitlines(keepends=True)
        return [int(line) for line in lines if line.endswith("\n") and line != "open\n"]

    def reach(self, count: int) -> None:
        """Wait until that many were told; the process has not ended by itself."""
        deadline = time.monotonic() + 60
        while len(self.told) < count:
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, f"{len(self.told)} of {count}: {self.errors.read_text()}"
            time.sleep(0.01)

    def kill(self) -> None:
        assert self.process.poll() is None, self.errors.read_text()
        self.process.kill()
        self.process.wait()


@contextmanager
def worker(database: Path, name: str, life: int, durability: str = "normal") -> Iterator[Worker]:
    made = Worker(database, name, life * LIFE, durability)
    try:
        made.reach(1)
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def rows(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [start for (start,) in connection.execute("SELECT start FROM activations")]


def upcall(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upcall", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("durability", ["normal", "full"])
async def test_every_record_that_was_told_is_there_once_whoever_is_killed(tmp_path: Path, durability: str) -> None:
    database = tmp_path / "upcall.db"
    pick = random.Random(7)
    names = ["invoker0", "invoker1", "controller0"]
    lives: list[Worker] = []
    with ExitStack() as stack:
        for life in range(15):
            name = names[life % 3]
            running = [each for each in lives[-3:] if each.process.poll() is None]
            if len(running) == 3:
                others = running[1:]
                before = [len(each.told) for each in others]
                running[0].reach(pick.randint(20, 300))
                running[0].kill()
                for each, count in zip(others, before, strict=True):
                    each.reach(count + 5)
            lives.append(stack.enter_context(worker(database, name, life, durability)))
        for each in lives[-3:]:
            each.reach(50)
            each.kill()
    async with opened(SqliteUrl(database), tmp_path / "controller9", "normal", "controller9"):
        pass  # the last ones never come back: whoever starts takes over what they left
    found = rows(database)
    told = {number for each in lives for number in each.told}
    assert len(told) > 300
    assert len(found) == len(set(found))
    assert told - set(found) == set()
    assert all(each.errors.read_text() == "" for each in lives)


def member(database: Path) -> str:
    """What it says that is refused."""
    command = [sys.executable, "-m", "tests.system.store_member", str(database), "invoker0", "0", "normal"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stderr


def test_members_and_a_platform_keep_each_other_out_and_commands_work_beside_both(tmp_path: Path) -> None:
    data = tmp_path / "data"
    database = data / "upcall.db"
    url = f"sqlite:///{database}"
    data.mkdir()
    with worker(database, "invoker0", 0) as one, worker(database, "controller0", 1):
        refused = upcall("serve", "--data", str(data), "--port", "0")
        assert refused.returncode == 1
        assert f"the data folder {data} is in use by process" in refused.stderr
        assert f"process {one.process.pid} (invoker0)" in refused.stderr
        made = upcall("user", "create", "ada.l", "--store", url)
        assert made.returncode == 0, made.stderr
        assert upcall("user", "get", "ada.l", UPCALL_STORE=url).stdout == made.stdout
        twice = member(database)
        assert f"invoker0 works with the folder {data} already: process {one.process.pid}; stop it" in twice
    with running(data) as platform:
        late = member(database)
        assert f"the folder {data} is in use by process {platform.process.pid} on port {platform.port}" in late
        assert upcall("user", "get", "ada.l", "--data", str(data)).stdout == made.stdout
        listed = platform.call("GET", "activations?limit=1")
        assert (listed.status, json.dumps(listed.body)[:1]) == (200, "[")
