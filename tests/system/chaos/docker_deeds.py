"""The faults of a Docker engine and of those who meddle with its containers."""

import contextlib
import http.client
import os
import signal
import time

from tests.system.chaos.deeds import Deeds
from tests.system.chaos.docker_stage import DockerStage
from tests.system.chaos.ledger import Fault, Ledger
from tests.system.chaos.lives import UNTIL_NEXT_LIFE, Lives, signalled
from tests.system.engine_api import Refused

DEADLY = (
    "platform-killed",
    "drained",
    "unwritable",
    "killed-on-full-disk",
    "killed-without-engine",
    "killed-as-engine-hangs",
)
HARMFUL = (
    "engine-killed",
    "engine-ended",
    "engine-stopped",
    "containerd-killed",
    "containers-killed",
    "containers-shot",
    "containers-removed",
    "containers-paused",
    "containers-stopped",
    "platform-stopped",
    "disk-full",
    "writes-refused",
    "clock-stepped",
    "second-platform",
)
NO_ENGINE = r"(?s).*upcall: The Docker engine at .*"
REPLACED = 30.0
"""Seconds within which a killed containerd is there again."""


class DockerDeeds(Deeds):
    """Those of every platform that are no sandbox's, and these."""

    leaves = UNTIL_NEXT_LIFE | {"containers", "their processes"}

    def __init__(self, stage: DockerStage, lives: Lives, ledger: Ledger) -> None:
        super().__init__(stage, lives, ledger)
        self._stage: DockerStage = stage
        self._engine = stage.engine
        self._all |= {
            "killed-without-engine": self._killed_without_engine,
            "killed-as-engine-hangs": self._killed_as_engine_hangs,
            "engine-killed": self._engine_killed,
            "engine-ended": self._engine_ended,
            "engine-stopped": self._engine_stopped,
            "containerd-killed": self._containerd_killed,
            "containers-killed": self._containers_killed,
            "containers-shot": self._containers_shot,
            "containers-removed": self._containers_removed,
            "containers-paused": self._containers_paused,
            "containers-stopped": self._containers_stopped,
        }

    # --- the engine

    def _engine_killed(self, fault: Fault) -> None:
        self._engine.kill()
        time.sleep(4 * fault.amount)
        self._engine.start()

    def _engine_ended(self, fault: Fault) -> None:
        """As by a service manager that restarts it; half of them at once."""
        self._engine.stop()
        time.sleep(max(0.0, 8 * (fault.amount - 0.5)))
        self._engine.start()

    def _engine_stopped(self, fault: Fault) -> None:
        self._engine.freeze()
        time.sleep(3 + 12 * fault.amount)
        self._engine.thaw()

    def _containerd_killed(self, fault: Fault) -> None:
        """The engine starts another."""
        file = self._engine.folder / "run/containerd/containerd.pid"
        before = file.read_text()
        signalled(int(before), signal.SIGKILL)
        deadline = time.monotonic() + REPLACED
        while file.read_text() == before:
            if time.monotonic() > deadline:
                self._ledger.complaints.append(f"no other containerd {REPLACED:.0f} s after {before} was killed")
                return
            time.sleep(0.05)

    def _killed_without_engine(self, fault: Fault) -> None:
        """And it cannot start without one."""
        self._engine.stop()
        self._lives.kill()
        self._refused(NO_ENGINE)
        self._engine.start()
        self._lives.start()

    def _killed_as_engine_hangs(self, fault: Fault) -> None:
        self._engine.freeze()
        time.sleep(6 * fault.amount)
        self._lives.kill()
        self._engine.thaw()
        self._lives.start()

    # --- its containers

    def _some(self, fault: Fault) -> list[str]:
        """Ids; from one up to all that run."""
        running = [each["Id"] for each in self._stage.containers() if each["State"] == "running"]
        chosen = running[: 1 + int(len(running) * fault.amount)]
        fault.note = f"{len(chosen)} of {len(running)}"
        return chosen

    def _to_some(self, fault: Fault, method: str, what: str, **query: str) -> list[str]:
        """Those to which it was done."""
        done = []
        for id in self._some(fault):
            with contextlib.suppress(Refused, OSError, http.client.HTTPException):  # it has gone
                self._engine.call(method, f"/containers/{id}/{what}".rstrip("/"), **query)
                done.append(id)
        return done

    def _containers_killed(self, fault: Fault) -> None:
        self._to_some(fault, "POST", "kill")

    def _containers_removed(self, fault: Fault) -> None:
        self._to_some(fault, "DELETE", "", force="1")

    def _containers_stopped(self, fault: Fault) -> None:
        self._to_some(fault, "POST", "stop", t="1")

    def _containers_shot(self, fault: Fault) -> None:
        """By a hand that knows nothing of engines: the first process of each."""
        for id in self._some(fault):
            with contextlib.suppress(Refused, ProcessLookupError):
                if pid := self._engine.inspect(id)["State"]["Pid"]:
                    os.kill(pid, signal.SIGKILL)

    def _containers_paused(self, fault: Fault) -> None:
        """For a while."""
        paused = self._to_some(fault, "POST", "pause")
        time.sleep(0.2 + 3 * fault.amount)
        for id in paused:
            with contextlib.suppress(Refused):
                self._engine.call("POST", f"/containers/{id}/unpause")
