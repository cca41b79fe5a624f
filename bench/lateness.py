"""`upcall` with a probe of its event loop: a timer for each millisecond, and how late it came.

    UPCALL_BENCH_LATENESS=FILE python -m bench.lateness serve …

The probe stands in for `upcall.lag`, which asks four times a second. At the end FILE has a row for each turn that came
more than 2 ms late: when, how late, and how much of that the thread had work and waited for a processor, in seconds.
"""

import asyncio
import atexit
import os
import threading
import time
from pathlib import Path

import msgspec

from upcall.cli.main import main
from upcall.lag import Lag

STEP, LATE = 0.001, 0.002
FILE = "UPCALL_BENCH_LATENESS"


class Late(msgspec.Struct, array_like=True):
    """A turn of the loop that came late. `at` is of the monotonic clock, which all processes share."""

    at: float
    seconds: float
    waited: float

    @property
    def own(self) -> float:
        """What the process itself is to blame for."""
        return max(0.0, self.seconds - self.waited)


rows: list[Late] = []


class Probe:
    def __init__(self) -> None:
        self._schedule = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        self._ask()

    def _ask(self) -> None:
        self._due = time.monotonic() + STEP
        self._waited = self._waiting()
        self.timer = asyncio.get_running_loop().call_later(STEP, self._turn)

    def _turn(self) -> None:
        now = time.monotonic()
        if now - self._due > LATE:
            rows.append(Late(now, now - self._due, self._waiting() - self._waited))
        self._ask()

    def _waiting(self) -> float:
        """Seconds that the thread has waited for a processor so far."""
        return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9


def ask(self: Lag) -> None:
    """In place of its own timer."""
    self._timer = Probe().timer


if __name__ == "__main__":
    Lag._ask = ask  # type: ignore[method-assign]
    atexit.register(lambda: Path(os.environ[FILE]).write_bytes(msgspec.json.encode(rows)))
    main()
