"""`python -m tests.system.chaos.stepped serve …` is `upcall serve` with a clock that the file named by CLOCK steps.

CLOCK_REALTIME has no namespace, and libfaketime 0.9.10 breaks Python's `time.sleep` (EINVAL from clock_nanosleep). All
that the platform asks for the time of day is Python's `time.time` and `time.time_ns`; what they give is stepped here,
before a module of the platform can take hold of them. The file holds a whole number of seconds, 8 bytes.
"""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

CLOCK = "UPCALL_CHAOS_CLOCK"


def step_to(file: Path, seconds: int) -> None:
    """Where there is no file it is made."""
    file.touch()
    with file.open("r+b") as stepped:
        stepped.write(seconds.to_bytes(8, "little", signed=True))


def _step(path: str) -> None:
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    now, now_ns = time.time, time.time_ns

    def offset() -> int:
        return int.from_bytes(shared[:8], "little", signed=True)

    stepped: Callable[[], float] = lambda: now() + offset()  # noqa: E731
    time.time = stepped
    time.time_ns = lambda: now_ns() + offset() * 1_000_000_000


if __name__ == "__main__":
    _step(os.environ.pop(CLOCK))
    from upcall.cli.main import main

    main()
