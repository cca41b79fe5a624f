"""What the host lets this process have."""

import logging
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from upcall.errors import Misconfigured
from upcall.model.sizes import MB, Bounds

log = logging.getLogger(__name__)

_NO_LIMIT = 1 << 60
_FILES, _FILES_EACH = 128, 6
"""Descriptors of the platform, and of each container."""
_TASKS, _TASKS_EACH = 64, 4
"""Processes and threads, the same."""


class Room(NamedTuple):
    """Containers of the smallest size that there is memory for, and files and processes that this process may have;
    -1: as many as it likes."""

    containers: int
    files: int
    files_wanted: int
    tasks: int
    tasks_wanted: int


def room(smallest: int) -> Room:
    """`smallest` in MB, of a container."""
    containers = default_pool_memory() // smallest
    tasks = [limit for limit in _group_limits("pids", "pids.max", "pids.max") if limit < _NO_LIMIT]
    own = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if os.geteuid() != 0 and own != resource.RLIM_INFINITY:
        tasks.append(own)
    return Room(
        containers,
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        _FILES + containers * _FILES_EACH,
        min(tasks, default=-1),
        _TASKS + containers * _TASKS_EACH,
    )


def usable_memory() -> int:
    """Bytes of RAM that this process may use: the host's, or the least limit of the control groups around it."""
    return min([_total(), *_group_limits()])


def default_pool_memory() -> int:
    """75 % of what may be used (docs/DESIGN.md)."""
    return max(usable_memory() * 3 // 4 // MB, 1)


def pool_memory(wanted: int | None, action: Bounds, *, held: bool = False, here: bool = True) -> int:
    """MB for actions: `wanted`, else the default; no more than there are files for where this process has containers
    `held` by some. Others are outside of the control groups around it, or not `here` at all. Raises Misconfigured
    where a usual action would not fit."""
    memory = wanted or default_pool_memory()
    if memory < action.std:
        whose = "" if wanted else "75 % of the RAM, "
        raise Misconfigured(
            f"--memory: {memory} MB ({whose}for all running actions together) is less than the {action.std} MB that "
            "one action usually takes (limits.memory-std): set more"
        )
    if memory < action.max:
        log.warning("--memory: actions of more than %d MB never run; %d MB are allowed", memory, action.max)
    if here and wanted and memory > (usable := (usable_memory() if held else _total()) // MB):
        log.warning("--memory: %d MB are more than the %d MB there are: actions may be killed", memory, usable)
    return within_files(memory, action) if held else memory


def remark_on_others(memory: int, others: Mapping[str, int]) -> None:
    """Invokers that run on this machine too, and what each may take, in MB: together they may promise too much."""
    if others and memory + sum(others.values()) > (usable := usable_memory() // MB):
        log.warning(
            "--memory: %d MB here and those of %s on this machine are more than the %d MB there are: actions may be "
            "killed; give each Invoker its part",
            memory,
            " and ".join(f"{name} ({size} MB)" for name, size in others.items()),
            usable,
        )


def within_files(memory: int, action: Bounds) -> int:
    """The same MB, or less: of what the smallest containers could be, each has files open that this process may have.
    Without this the last of them could not be started, and no caller be answered."""
    may = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = max((may - _FILES) // _FILES_EACH * action.min, action.std)
    if memory <= most:
        return memory
    log.warning(
        "--memory: %d MB are used of %d MB: containers take %d open files each, and this process may have %d; raise "
        "the limit (ulimit -n, LimitNOFILE= of systemd)",
        most,
        memory,
        _FILES_EACH,
        may,
    )
    return most


def _total() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return _NO_LIMIT


def _group_limits(
    controller: str = "memory", unified: str = "memory.max", older: str = "memory.limit_in_bytes"
) -> list[int]:
    """Of cgroup v1 and v2, from this process's group up to the root; unreadable ones count as none."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = Path("/sys/fs/cgroup"), unified
        elif controller in controllers.split(","):
            root, name = Path("/sys/fs/cgroup") / controller, older
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            limit = _read(folder / name)
            found.append(int(limit) if limit.isdigit() else _NO_LIMIT)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
