"""The host that a platform with Docker's containers sees: an engine, a disk and a clock of its own.

The trial is in the engine's network. What an engine that dies leaves of its own (interfaces, control groups, routes) is
none of the platform's; its containers, their processes, their files on the host and the rules of nftables are.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.system import engine_guard, networks
from tests.system.chaos.docker_actions import DOCKERFILE, IMAGE, NOTES, SERVER
from tests.system.chaos.lives import line
from tests.system.chaos.stage import Stage, own_disk, own_mounts
from tests.system.engine import Engine, engine_of_its_own
from tests.system.remains import mounts
from tests.system.serving import Platform
from upcall.app.folders import docker_folder, run_folder
from upcall.places import operator_file

LABEL = "upcall.instance"
AGREEING = 45.0
"""Seconds until the platform has found what it does not know of; it looks round twice a minute."""
MEMORY = 2048


class Notes:
    """What the actions have noted, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def seen(self) -> Counter[str]:
        return Counter(name.rpartition("-")[0] for name in os.listdir(self._folder))


class DockerStage(Stage):
    """`survives`: whether containers outlive their engine (`live-restore`)."""

    def __init__(self, folder: Path, durability: str, engine: Engine, *, survives: bool) -> None:
        self.engine = engine
        self.survives = survives
        self._notes = folder / "ledger"
        self._notes.mkdir(mode=0o777)
        self._notes.chmod(0o777)
        super().__init__(folder, durability, Notes(self._notes))

    @property
    def options(self) -> tuple[str, ...]:
        """Memory for a few containers, so that some have to go for others."""
        there = ("--driver", "docker", "--docker-host", self.engine.url)
        pool = ("--memory", f"{MEMORY} MB", "--prewarm", "python:3=2", "--action-network", "private")
        return (*there, *pool, "--docker-extra-args", f"volume={self._notes}:{NOTES}")

    @property
    def counter(self) -> list[str | int] | None:
        """Actions know where."""
        return None

    def look(self) -> dict[str, set[str]]:
        rules = networks.output("nft", "list", "tables").splitlines()
        folders = (run_folder(self.data), docker_folder(self.data))
        walked = [each for folder in folders for each in os.walk(folder)]
        groups = [group for tree in engine_guard.trees() for group in (tree / self.engine.group).glob("?" * 64)]
        return {
            "processes": set(self.processes()),
            "mounts": {place for place in mounts() if not Path(place).is_relative_to(self.engine.folder)},
            "temporary files": {name for name in os.listdir(self._temporary) if name != "upcall"},
            "run folder": {f"{at}/{name}" for at, below, files in walked for name in (*below, *files)},
            "shared memory": set(os.listdir("/dev/shm")),
            "rules of nft": {line for line in rules if "upcall" in line},
            "containers": {f"{each['Names'][0]} {each['Status']}" for each in self.containers()},
            "their processes": {each for group in groups for each in processes(group)},
        }

    def containers(self) -> list[dict[str, Any]]:
        """Of the platform."""
        return self.engine.containers(LABEL)

    def processes(self) -> Iterator[str]:
        """What the platform has started is known by its environment."""
        mark = f"TMPDIR={self._temporary}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (place / "environ").read_bytes().split(b"\0"):
                    yield f"{place.name} {line(int(place.name))[:160]}"

    def inconsistent(self, platform: Platform) -> list[str]:
        """Whatever is on the engine has an owner, and is counted."""
        deadline = time.monotonic() + AGREEING
        while found := self._differences(platform):
            if time.monotonic() > deadline:
                return found
            time.sleep(0.1)
        return []

    def _differences(self, platform: Platform) -> list[str]:
        slots, there = asked(platform, "/pool/containers"), {each["Id"]: each for each in self.containers()}
        pool = asked(platform, "/pool")["memory"]
        known = {slot["id"] for slot in slots}
        found = [f"nobody has the container {there[id]['Names']} {there[id]['Status']}" for id in there.keys() - known]
        found += [f"there is no container of {slot}" for slot in slots if slot["id"] not in there]
        promised = sum(slot["memory"]["promised"] for slot in slots)
        if (pool["promised"], pool["removing"]) != (promised, 0):
            found.append(f"containers of {promised >> 20} MB are counted as {pool}")
        return found


def asked(platform: Platform, path: str) -> Any:
    """What the operator is told."""
    credentials = operator_file(platform.data).read_text().strip()
    connection = platform.connect()
    try:
        headers = {"Authorization": "Basic " + b64encode(credentials.encode()).decode()}
        connection.request("GET", path, headers=headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def processes(group: Path) -> Iterator[str]:
    """With the container they are in."""
    with contextlib.suppress(OSError):  # it goes just now
        for pid in (group / "cgroup.procs").read_text().split():
            yield f"{group.name[:12]}: {line(int(pid)) or pid}"


@contextlib.contextmanager
def staged_docker(folder: Path | None, megabytes: int, durability: str, *, survives: bool) -> Iterator[DockerStage]:
    """For a process of its own, for its namespaces are changed. The engine begins with it and ends with it."""
    made = Path(folder or tempfile.mkdtemp(prefix="chaos"))
    with contextlib.ExitStack() as stack:
        if folder is None:
            stack.callback(shutil.rmtree, made, ignore_errors=True)
        (made / "data").mkdir(parents=True)
        own_mounts()  # before the engine, which sees them so
        own_disk(stack, made / "data", megabytes)
        engine = stack.enter_context(engine_of_its_own(*(["--live-restore"] if survives else [])))
        engine.build(_context(), IMAGE)
        stack.enter_context(engine.inside())
        stage = DockerStage(made, durability, engine, survives=survives)
        stack.callback(_end, stage)
        yield stage


def _context() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in (("Dockerfile", DOCKERFILE), ("server.py", SERVER)):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


def _end(stage: DockerStage) -> None:
    """Platforms that are left. What the engine has said is kept with what they have."""
    (stage.folder / "engine.log").write_text(stage.engine.log())
    pids = [each.partition(" ")[0] for each in stage.processes()]
    if pids:
        subprocess.run(["kill", "-KILL", *pids], check=False)
