"""The platform's lives on one stage, one after the other, and what each leaves when it ends."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec

from tests.system.chaos.ledger import Ledger
from tests.system.chaos.stage import Stage
from tests.system.serving import Platform

UNTIL_NEXT_LIFE = frozenset({"run folder", "routes", "rules of nft", "forwarding"})
"""A killed platform leaves a note about them, and its next life takes them away (docs/adr/0009-way-out.md)."""
PATIENCE = 30.0


class Sample(msgspec.Struct):
    """A look at the platform's process: `at` is in the ledger's time, `memory` its resident bytes."""

    at: float
    memory: int
    descriptors: int
    threads: int


class Lives:
    """`platform` is the last one; while there is none it is the one that was."""

    def __init__(self, stage: Stage, ledger: Ledger) -> None:
        self._stage = stage
        self._ledger = ledger
        self.outputs: list[Path] = []
        self.samples: list[Sample] = []
        """Of the life that lasts."""
        self.platform: Platform
        self.start()

    def start(self) -> None:
        self.samples = []
        self.platform = self._stage.start()
        self.outputs.append(self.platform.output)

    def kill(self) -> None:
        self.platform.process.kill()
        self.platform.process.wait()

    def stop(self, patience: float) -> None:
        """As its operator does; it has to end well."""
        process = self.platform.process
        process.terminate()
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            self._ledger.complaints.append(f"SIGTERM at {self._ledger.now():.2f}: it still runs {patience:.0f} s later")
            process.kill()
            process.wait()
            return
        if code:
            self._ledger.complaints.append(f"SIGTERM at {self._ledger.now():.2f}: exit code {code}")

    def cleared(self, besides: frozenset[str]) -> None:
        """A dead platform leaves nothing for long, `besides` what its next life takes away."""
        deadline = time.monotonic() + PATIENCE
        while left := {what: names for what, names in self._stage.left().items() if what not in besides}:
            if time.monotonic() > deadline:
                self._ledger.complaints.append(f"left behind, seen at {self._ledger.now():.2f}: {left}")
                return
            time.sleep(0.05)

    def watch(self) -> None:
        """Take a sample, unless it is dead."""
        folder = Path(f"/proc/{self.platform.process.pid}")
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = int((folder / "statm").read_text().split()[1])
            descriptors, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
            self.samples.append(Sample(self._ledger.now(), pages * os.sysconf("SC_PAGE_SIZE"), descriptors, threads))

    # --- processes of the one that lives

    def guardian(self) -> int:
        """0 where there is none at the moment."""
        return next((pid for pid in children(self.platform.process.pid) if "guardian.py" in line(pid)), 0)

    def zygote(self) -> int:
        """The process in the outer sandbox that forks the others."""
        monitors = [pid for pid in children(self.platform.process.pid) if comm(pid) == "bwrap"]
        return next((pid for monitor in monitors for pid in children(monitor)), 0)

    def runtimes(self) -> list[int]:
        """The processes with users' code, one for each container."""
        zygote = self.zygote()
        return [pid for init in (children(zygote) if zygote else []) for pid in children(init)]


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def signalled(pid: int, number: signal.Signals) -> bool:
    """Whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        if pid:
            os.kill(pid, number)
            return True
    return False
