"""The labels that our containers carry: who made them, so that whoever looks later knows what may go.

| label             | says                                                                                           |
|-------------------|------------------------------------------------------------------------------------------------|
| `upcall.instance` | which platform, across its restarts; one that moves to another machine with its disk, too      |
| `upcall.invoker`  | the number of its Invoker                                                                      |
| `upcall.boot`     | which process of it; those that began later sort behind                                        |
| `upcall.process`  | where that process is found: machine, pid namespace, pid and when it began                     |

Whoever has the same instance and number as we is an earlier life of ours, or a later one (a pod that is replaced): an
earlier one's containers go, a later one's are none of our business. Nothing secret is in a label.
"""

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

INSTANCE, INVOKER, BOOT, PROCESS = "upcall.instance", "upcall.invoker", "upcall.boot", "upcall.process"

Owner = Literal["runs", "stopped", "unknown"]

_PROC = Path("/proc")
_BEGAN = 19
"""Index of the start time in `/proc/<pid>/stat`, behind the name."""


class Labels(msgspec.Struct, frozen=True):
    """Of one process."""

    instance: str
    invoker: int
    boot: str
    process: str

    def given(self) -> dict[str, str]:
        """What a container of ours gets."""
        return {INSTANCE: self.instance, INVOKER: str(self.invoker), BOOT: self.boot, PROCESS: self.process}

    def filter(self) -> list[str]:
        """For the engine: what any life of ours has made."""
        return [f"{INSTANCE}={self.instance}", f"{INVOKER}={self.invoker}"]

    def are_ours(self, labels: Mapping[str, str]) -> bool:
        """Whether this process has made it."""
        return self.are_kin(labels) and labels.get(BOOT) == self.boot

    def are_kin(self, labels: Mapping[str, str]) -> bool:
        """Whether any life of ours has made it."""
        return labels.get(INSTANCE) == self.instance and labels.get(INVOKER) == str(self.invoker)

    def are_later(self, labels: Mapping[str, str]) -> bool:
        """Whether a life that began after ours has made it."""
        return self.are_kin(labels) and labels.get(BOOT, "") > self.boot


def new_labels(instance: str, invoker: int) -> Labels:
    """Those of this process."""
    return Labels(instance, invoker, f"{time.time_ns():016x}-{secrets.token_hex(4)}", place_of(os.getpid()))


def place_of(pid: int) -> str:
    """Where a process is found, and told from a later one with its pid."""
    return f"{_machine()}/{pid}/{_began(pid)}"


def owner(labels: Mapping[str, str]) -> Owner:
    """Whether the process that has made it runs, as far as can be told from here."""
    machine, pid, began = _parted(labels.get(PROCESS, ""))
    if not machine or machine != _machine() or not pid.isdecimal():
        return "unknown"
    return "runs" if began and _began(int(pid)) == began else "stopped"


def process_of(labels: Mapping[str, str]) -> str:
    """The pid of who has made it, where it runs; for people."""
    return _parted(labels.get(PROCESS, ""))[1]


def platform_of(labels: Mapping[str, str]) -> str:
    """Instance and Invoker in one word, which is what a platform's rules of nftables go by."""
    return f"{labels.get(INSTANCE, '')}/{labels.get(INVOKER, '')}"


def _parted(place: str) -> tuple[str, str, str]:
    """Machine, pid, beginning."""
    rest, _, began = place.rpartition("/")
    machine, _, pid = rest.rpartition("/")
    return machine, pid, began


def _machine() -> str:
    """The kernel that runs, and the pid namespace; empty where /proc does not say."""
    try:
        kernel = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{kernel}/{os.stat(_PROC / 'self/ns/pid').st_ino}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """Ticks since the machine's start; empty where there is no such process."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[_BEGAN]
    except OSError:
        return ""
