"""Holds the namespaces of one engine for tests, and removes all of it when its standard input ends: with the test run,
however that ends.

All that the engine starts is in one control group, so nothing has to be known of it to end it.

    unshare --net --mount --propagation private python -m tests.system.engine_guard FOLDER DATA
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from upcall.runtimes.python import linux

TREES = Path("/sys/fs/cgroup")


def trees() -> list[Path]:
    """Roots of the control group hierarchies: each controller's in version 1, one in version 2."""
    if (TREES / "cgroup.procs").exists():
        return [TREES]
    return [path for path in TREES.iterdir() if (path / "cgroup.procs").exists()]


def home() -> Path:
    """The hierarchy that the engine's own processes are counted in."""
    return TREES / "pids" if TREES / "pids" in trees() else TREES


def groups(tree: Path, name: str) -> list[Path]:
    """Innermost first."""
    return [Path(folder) for folder, _, _ in os.walk(tree / name, topdown=False)]


def end(name: str) -> None:
    """Kill what is in the group, thawed, until nothing is left, and remove the group."""
    deadline = time.monotonic() + 20
    while any((tree / name).exists() for tree in trees()) and time.monotonic() < deadline:
        for tree in trees():
            for group in groups(tree, name):
                _thaw(group)
                _kill(group)
                with contextlib.suppress(OSError):
                    group.rmdir()
        time.sleep(0.02)


def _thaw(group: Path) -> None:
    for file, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        with contextlib.suppress(OSError):
            if (group / file).exists():
                (group / file).write_text(word)


def _kill(group: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def unmount(*folders: Path) -> None:
    """All that is mounted below them."""
    places = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [place for place in reversed(places) if any(Path(place).is_relative_to(folder) for folder in folders)]
    if ours:
        subprocess.run(["umount", "--lazy", *ours], check=False, capture_output=True)


def guard(folder: Path, data: Path) -> None:
    linux.loopback_up()
    (home() / data.name / "engine").mkdir(parents=True)
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (data / "lock").write_text(f"{folder}\n")
        print("ready", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.buffer.read()
        remove(folder, data)


def remove(folder: Path, data: Path) -> None:
    """All of one engine."""
    end(data.name)
    unmount(folder, data)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


def sweep(lock: Path) -> None:
    """Remove an engine whose guard was killed."""
    with lock.open() as held, contextlib.suppress(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder := lock.read_text().strip():  # else it is just beginning
            remove(Path(folder), lock.parent)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    guard(Path(sys.argv[1]), Path(sys.argv[2]))
