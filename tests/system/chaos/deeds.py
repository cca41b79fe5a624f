"""The faults. Each begins, lasts, and puts things back; `amount` from 0 to 1 says how much of it.

None of them sleeps for want of a better way to wait: how long a fault lasts is what the sleep is for.
"""

import re
import resource
import signal
import time
from collections.abc import Callable

from tests.system.chaos.ledger import Fault, Ledger
from tests.system.chaos.lives import UNTIL_NEXT_LIFE, Lives, signalled
from tests.system.chaos.schedule import Step
from tests.system.chaos.stage import Stage

MINUTE, HOUR = 60, 3600
REPLACED = 20.0
"""Seconds within which there is another guardian."""
REFUSALS = {
    "unwritable": r"upcall: the data folder .* cannot be used: .*",
    "second-platform": r"upcall: the data folder .* is in use by .*{pid}.*",
}


class Deeds:
    """What can be done to a platform and its stage."""

    leaves = UNTIL_NEXT_LIFE
    """What a killed platform leaves to its next life."""

    def __init__(self, stage: Stage, lives: Lives, ledger: Ledger) -> None:
        self._stage = stage
        self._lives = lives
        self._ledger = ledger
        self._all: dict[str, Callable[[Fault], None]] = {
            "platform-killed": self._platform_killed,
            "killed-with-guardian": self._killed_with_guardian,
            "drained": self._drained,
            "unwritable": self._unwritable,
            "killed-on-full-disk": self._killed_on_full_disk,
            "zygote-killed": self._zygote_killed,
            "sandboxes-killed": self._sandboxes_killed,
            "guardian-killed": self._guardian_killed,
            "platform-stopped": self._platform_stopped,
            "zygote-stopped": self._zygote_stopped,
            "disk-full": self._disk_full,
            "writes-refused": self._writes_refused,
            "clock-stepped": self._clock_stepped,
            "second-platform": self._second_platform,
        }

    def do(self, step: Step) -> None:
        """Returns when it is over, and the platform is there again where it went."""
        with self._ledger.fault(step.deed, step.amount) as fault:
            self._all[step.deed](fault)

    # --- the platform

    def _platform_killed(self, fault: Fault) -> None:
        """Half of them start again at once, the others when nothing is left."""
        self._lives.kill()
        if fault.amount >= 0.5:
            self._lives.cleared(self.leaves)
            fault.note = f"nothing left at {self._ledger.now():.2f}"
        self._lives.start()

    def _killed_with_guardian(self, fault: Fault) -> None:
        guardian = self._lives.guardian()
        signalled(guardian, signal.SIGSTOP)  # else there is another before the platform is dead
        self._lives.kill()
        signalled(guardian, signal.SIGKILL)
        self._lives.start()

    def _drained(self, fault: Fault) -> None:
        self._lives.stop(60)
        self._lives.cleared(frozenset())
        self._lives.start()

    def _platform_stopped(self, fault: Fault) -> None:
        pid = self._lives.platform.process.pid
        signalled(pid, signal.SIGSTOP)
        time.sleep(0.5 + 3 * fault.amount)
        signalled(pid, signal.SIGCONT)

    def _second_platform(self, fault: Fault) -> None:
        said = REFUSALS["second-platform"].format(pid=self._lives.platform.process.pid)
        self._refused(said)

    def _refused(self, said: str) -> None:
        code, output = self._stage.start_refused()
        if code != 1 or not re.fullmatch(said, output.strip()):
            self._ledger.complaints.append(f"a start that had to be refused ended with {code} and said: {output}")

    # --- its helpers

    def _zygote_killed(self, fault: Fault) -> None:
        fault.note = "" if signalled(self._lives.zygote(), signal.SIGKILL) else "there was none"

    def _zygote_stopped(self, fault: Fault) -> None:
        zygote = self._lives.zygote()
        signalled(zygote, signal.SIGSTOP)
        time.sleep(0.2 + 2 * fault.amount)
        signalled(zygote, signal.SIGCONT)

    def _guardian_killed(self, fault: Fault) -> None:
        """Until there is another: a platform that is killed before leaves all to its next life."""
        killed = self._lives.guardian()
        signalled(killed, signal.SIGKILL)
        deadline = time.monotonic() + REPLACED
        while self._lives.guardian() in (0, killed):
            if time.monotonic() > deadline:
                self._ledger.complaints.append(f"no other guardian {REPLACED:.0f} s after {killed} was killed")
                return
            time.sleep(0.01)

    def _sandboxes_killed(self, fault: Fault) -> None:
        """From one up to all."""
        runtimes = self._lives.runtimes()
        chosen = runtimes[: 1 + int(len(runtimes) * fault.amount)]
        fault.note = f"{sum(signalled(pid, signal.SIGKILL) for pid in chosen)} of {len(runtimes)}"

    # --- the disk

    def _disk_full(self, fault: Fault) -> None:
        self._stage.fill()
        time.sleep(0.5 + 3 * fault.amount)
        self._stage.empty()

    def _killed_on_full_disk(self, fault: Fault) -> None:
        self._stage.fill()
        time.sleep(0.3 + 2 * fault.amount)
        self._lives.kill()
        self._stage.empty()
        self._lives.start()

    def _writes_refused(self, fault: Fault) -> None:
        """No file of the platform may grow, and none be written to from its start: EFBIG. Its log is one of them."""
        pid = self._lives.platform.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        time.sleep(0.3 + 2 * fault.amount)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    def _unwritable(self, fault: Fault) -> None:
        """A life ends, and finds its disk read-only when it starts again."""
        self._lives.kill()
        self._lives.cleared(self.leaves)
        self._stage.writable(False)
        self._refused(REFUSALS["unwritable"])
        self._stage.writable(True)
        self._lives.start()

    # --- the clock

    def _clock_stepped(self, fault: Fault) -> None:
        """For the rest of the trial or until the next step: to a minute up to an hour off, before or after."""
        seconds = int((fault.amount - 0.5) * 2 * HOUR)
        seconds += MINUTE if seconds >= 0 else -MINUTE
        self._stage.step_clock(seconds)
        fault.note = f"{seconds:+} s"
