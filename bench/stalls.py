"""The longest time for which the platform's event loop stood still under load: 50 callers of an action that prints a
line, records stored, while the database moves its log into its file and 100 other actions have warm containers.

A loop is late for two reasons, which are told apart by what the scheduler says of its thread: it does or awaits
something that takes long, and other processes (runtimes, the load client) have the processors. The goal is for the
first; it is for a calm machine all the same, for other threads of the process wait for processors, too.

    python -m bench.stalls [--quick]
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.client import load
from bench.lateness import FILE, Late
from bench.row import Row
from bench.served import LIMITS, call_all, make, request
from tests.system.serving import Platform

CALLERS, WARM, LONGEST = 50, 100, 10.0
QUIET = "def main(args):\n    return {'n': args.get('n')}\n"
PRINTING = "def main(args):\n    print('one line')\n    return {'n': args.get('n')}\n"


class Probed(Platform):
    program = (sys.executable, "-m", "bench.lateness")


async def rounds(platform: Platform, seconds: float, times: int) -> list[tuple[float, float]]:
    """Begin and end of each."""
    (action,) = make(platform, ["printing"], "python:3", PRINTING)
    await call_all(platform, make(platform, [f"warm{number}" for number in range(WARM)], "python:3", QUIET), 10)
    targets = [("127.0.0.1", platform.port)]
    await load(targets, [request(platform, action)], CALLERS, seconds=1)
    spans = []
    for _ in range(times):
        began = time.monotonic()
        await load(targets, [request(platform, action)], CALLERS, seconds=seconds)
        spans.append((began, time.monotonic()))
    return spans


async def rows(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        file = Path(folder) / "lateness"
        platform = Probed(Path(folder) / "data", "--memory", "64 GB", environment=LIMITS | {FILE: str(file)})
        try:
            spans = await rounds(platform, 2 if quick else 8, 1 if quick else 3)
        finally:
            platform.stop()
        late = msgspec.json.decode(file.read_bytes(), type=list[Late])
    each = [[row for row in late if began < row.at < ended] for began, ended in spans]
    own = [max((row.own for row in found), default=0.0) * 1e3 for found in each]
    all_ = [max((row.seconds for row in found), default=0.0) * 1e3 for found in each]
    return [
        Row("stalls", "the loop's longest stall, c = 50: its own", "ms", own, LONGEST),
        Row("stalls", "the loop's longest stall, c = 50: waiting for a processor included", "ms", all_),
    ]


if __name__ == "__main__":
    for row in asyncio.run(rows("--quick" in sys.argv)):
        print(f"{row.name:70}{row.median:7.2f} {row.unit} of {row.least:.2f} to {row.most:.2f}")
