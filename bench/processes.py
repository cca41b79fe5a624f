"""What processes take: time on a processor, memory, files, from /proc."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_PSS = re.compile(r"^Pss:\s+(\d+)", re.MULTILINE)


def cpu(pid: int) -> float:
    """Seconds on a processor of one process, all its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int, what: str = "VmRSS") -> float:
    """MiB; `VmHWM` is the most there ever was."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def proportional(pids: Iterable[int]) -> float:
    """MiB of PSS: what is shared counts by its share. Who has ended meanwhile counts nothing."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
            total += int(found[1]) if found else 0
    return total / 1024


def below(pid: int) -> list[int]:
    """Children, theirs, and so on."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for child in children(pid):
            found += [child, *below(child)]
    return found


def spent(pids: Iterable[int]) -> float:
    """Seconds on a processor of processes and all below them, those that have ended included (they count in ticks)."""
    return sum(cpu(one) + _ended(one) for pid in pids for one in (pid, *below(pid)))


def children(pid: int) -> list[int]:
    tasks = os.listdir(f"/proc/{pid}/task")
    return [int(child) for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]


def _ended(pid: int) -> float:
    """Of children that were waited for, theirs included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def files(pid: int) -> int:
    """Open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))
