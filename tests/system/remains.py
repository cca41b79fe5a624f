"""What a platform has made on its host, and what of it is left when it is gone."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tests.system.serving import Platform
from upcall.app.folders import run_folder

FOREIGN = re.compile(r"/(kubelet|containerd|io\.containerd\.[^/]+|docker|overlay2)/")
"""Mounts of containers that an engine or a node on this machine has: they come and go meanwhile."""
NODE = re.compile(r"(?:^|dev )upk\d+\b")
"""The link of a node that other tests have, and its routes."""


def wait_until(what: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def processes_of(mark: str) -> list[int]:
    """Processes whose first thread calls itself so, on this host."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == mark:
                found.append(int(path.parent.name))
    return found


class Process(msgspec.Struct, frozen=True, order=True):
    """One process, not to be mistaken for a later one of the same number."""

    pid: int
    began: str

    @property
    def parts(self) -> list[str]:
        """Of its `stat`, from the state on; nothing when it has ended."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return []

    @property
    def alive(self) -> bool:
        parts = self.parts
        return bool(parts) and parts[19] == self.began and parts[0] != "Z"


def process(pid: int) -> Process:
    return Process(pid, (Process(pid, "").parts or [""] * 20)[19])


def family(pid: int) -> set[Process]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        number = int(path.name)
        parts = Process(number, "").parts
        if parts:
            parents.setdefault(int(parts[1]), []).append(number)
    found, waiting = set(), [pid]
    while waiting:
        one = waiting.pop()
        found.add(process(one))
        waiting += parents.get(one, [])
    return found


def networks(members: set[Process]) -> set[str]:
    """Of these processes, but for the host's own."""
    found = set()
    for member in members:
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{member.pid}/ns/net"))
    return found - {os.readlink("/proc/self/ns/net")}


def groups(run: Path) -> list[str]:
    """Cgroups of the platform with this run folder, wherever it may make them."""
    tag = hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:12]
    return [
        os.path.join(path, name)
        for path, folders, _ in os.walk("/sys/fs/cgroup")  # others come and go meanwhile
        if os.path.basename(path) == "upcall"
        for name in folders
        if name.startswith(f"{tag}-")
    ]


def mounts() -> set[str]:
    """Where something is mounted, as this process sees it."""
    found = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {where for where in found if not FOREIGN.search(where)}


def own(lines: Iterable[str]) -> set[str]:
    """Links or routes, but for those of a node of other tests."""
    return {line for line in lines if not NODE.search(line)}


def others(where: str, folder: Path) -> bool:
    """Whether it lies in the folder of a test that runs beside the one with this folder."""
    base = next((parent for parent in folder.parents if parent.name.startswith("popen-gw")), folder).parent
    return Path(where).is_relative_to(base) and not Path(where).is_relative_to(folder)


class Remains:
    """Looks at a running platform; `left` says later what of that, and of what it made since, is still there."""

    def __init__(self, platform: Platform) -> None:
        self._run = run_folder(platform.data)
        self._folder = platform.data.parent
        self._mounts = mounts()
        self.family = family(platform.process.pid)
        self._networks = networks(self.family)

    def look_again(self, platform: Platform) -> None:
        self.family |= family(platform.process.pid)
        self._networks |= networks(self.family)

    def left(self) -> list[str]:
        alive = [f"process {one.pid}" for one in self.family if one.alive]
        everybody = {process(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        found = [*alive, *(self._networks & networks(everybody)), *self._mounted()]
        return found + groups(self._run) + [str(path) for path in self._run.glob("*") if path.name != "lock"]

    def _mounted(self) -> list[str]:
        return [where for where in mounts() - self._mounts if not others(where, self._folder)]

    def check(self) -> None:
        """Fails when something is left for long."""
        deadline = time.monotonic() + 20
        while left := self.left():
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
