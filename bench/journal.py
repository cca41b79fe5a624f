"""What it costs that accepted activations and answered records outlive the process, through `upcall serve`.

Three platforms at the same time, asked by turns: without journal and log (`bench.unkept`), with them, and with
`--durability full`. CPU is that of the platform's process until all has ended, per activation.
Usage: `.venv/bin/python -m bench.journal [--quick]`.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench.client import Load, load
from bench.processes import cpu
from bench.warm import PYTHON, invoke
from tests.system.serving import Platform

LIMITS = {"LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000000", "LIMITS_ACTIONS_INVOKES_CONCURRENT": "100000"}


class Unkept(Platform):
    program = (sys.executable, "-m", "bench.unkept")


async def one(platform: Platform, blocking: bool, connections: int, count: int) -> tuple[Load, float]:
    """The load, and the platform's CPU in us per activation."""
    before = cpu(platform.process.pid)
    request = invoke(platform, "quiet", query=f"blocking={'true' if blocking else 'false'}")
    done = await load([("127.0.0.1", platform.port)], [request], connections, count=count)
    while running(platform):
        await asyncio.sleep(0.05)
    return done, (cpu(platform.process.pid) - before) / done.answered * 1e6


def running(platform: Platform) -> bool:
    """Whether activations of the platform have not ended."""
    connection = platform.connect()
    connection.request("GET", "/activation/count")
    count = int(connection.getresponse().read())
    connection.close()
    return count > 0


async def measure(rounds: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        sides = {
            "without": Unkept(Path(folder) / "a", environment=LIMITS),
            "normal": Platform(Path(folder) / "b", environment=LIMITS),
            "full": Platform(Path(folder) / "c", "--durability", "full", environment=LIMITS),
        }
        print(f"load average {os.getloadavg()[0]:.1f}")
        try:
            for platform in sides.values():
                platform.create("quiet", PYTHON)
                await one(platform, True, 10, 200)
            for blocking in (False, True):
                for connections in (1, 10, 50):
                    await compare(sides, blocking, connections, rounds, count if connections > 1 else count // 4)
        finally:
            for platform in sides.values():
                platform.stop()


async def compare(sides: dict[str, Platform], blocking: bool, connections: int, rounds: int, count: int) -> None:
    found: dict[str, list[tuple[Load, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, platform in sides.items():
            found[name].append(await one(platform, blocking, connections, count))
    what = f"{'blocking' if blocking else 'non-blocking'} c={connections}"
    for name, loads in found.items():
        p50, p99 = (statistics.median(each.percentile(share) for each, _ in loads) * 1e3 for share in (0.5, 0.99))
        rate = statistics.median(each.rate for each, _ in loads)
        spent = statistics.median(spent for _, spent in loads)
        print(f"{what:20}{name:9}{rate:8.0f}/s  p50 {p50:6.3f} ms  p99 {p99:6.2f} ms  CPU {spent:5.0f} us")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    asyncio.run(measure(1 if quick else 5, 1000 if quick else 4000))
