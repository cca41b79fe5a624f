"""The whole path on this machine, in one run: start, cold and warm calls through `upcall serve`, beside the floor.

The floor is the same load client straight to the same Python runtime over its unix socket. Sides alternate; trust the
ratios and the CPU per activation (time on a processor from /proc, divided by answers), not the wall figures of
different runs. Usage: `.venv/bin/python -m bench.serve [--quick]`.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from base64 import b64encode
from pathlib import Path

import msgspec

from bench.load import Load, post, run
from tests.system.serving import Platform, running
from upcall.containers.process import ProcessContainers
from upcall.ports import ContainerSpec

CODE = "def main(args):\n    return {'n': args.get('n')}\n"
PRINTING = "def main(args):\n    print('one line')\n    return {'n': args.get('n')}\n"
BODY = b'{"n":1}'


def cpu(pid: int) -> float:
    """Seconds on a processor of one process, all its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int) -> float:
    """MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def invoke(platform: Platform, action: str) -> bytes:
    path = f"/api/v1/namespaces/_/actions/{action}?blocking=true&result=true"
    return post(path, BODY, "Authorization: Basic " + b64encode(platform.auth.encode()).decode())


async def floor(containers: ProcessContainers, connections: int, count: int) -> Load:
    """Straight to `connections` runtimes of our own."""
    made = []
    init = {"value": {"name": "n", "main": "main", "code": CODE, "binary": False, "env": {}}}
    for number in range(connections):
        spec = ContainerSpec(kind="python:3", memory=128, name=f"bench_{number}", tenant="bench")
        container = await containers.create(spec)
        await run([container.address.path], post("/init", msgspec.json.encode(init)), 1)
        made.append(container)
    request = post("/run", b'{"value":' + BODY + b"}")
    try:
        return await run([container.address.path for container in made], request, count)
    finally:
        for container in made:
            await container.destroy()


async def through(platform: Platform, action: str, connections: int, count: int) -> tuple[Load, float]:
    """Through the platform; with its CPU in µs per activation."""
    target = ("127.0.0.1", platform.port)
    await run([target] * connections, invoke(platform, action), connections * 20)
    before = cpu(platform.process.pid)
    load = await run([target] * connections, invoke(platform, action), count)
    await asyncio.sleep(0.1)
    return load, (cpu(platform.process.pid) - before) / load.answered * 1e6


async def warm(platform: Platform, containers: ProcessContainers, rounds: int, count: int) -> None:
    print(f"{'warm':24}{'floor':>12}{'upcall':>12}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>8}{'bad':>5}")
    for action in ("quiet", "printing"):
        for connections in (1, 10, 50):
            rows = []
            for _ in range(rounds):
                direct = await floor(containers, min(connections, 10), count)
                load, spent = await through(platform, action, connections, count)
                rows.append((load.rate / direct.rate, direct, load, spent))
            ratio, direct, load, _ = sorted(rows, key=lambda row: row[0])[len(rows) // 2]
            spent = statistics.median(row[3] for row in rows)
            print(
                f"{action + ' c=' + str(connections):24}{direct.rate:10.0f}/s{load.rate:10.0f}/s{ratio:8.2f}"
                f"{load.percentile(0.5) * 1e3:9.2f}{load.percentile(0.99) * 1e3:9.2f}{spent:8.0f}{load.bad:5}"
            )


async def cold(platform: Platform, count: int) -> None:
    """New actions one after another: the first call of each."""
    times = []
    for number in range(count):
        platform.create(f"cold{number}", CODE.replace("n'", f"n{number}'"))
        began = time.perf_counter()
        load = await run([("127.0.0.1", platform.port)], invoke(platform, f"cold{number}"), 1)
        times.append(time.perf_counter() - began)
        assert load.bad == 0
    quantiles = statistics.quantiles(times, n=100)
    print(f"cold, {count} new actions: p50 {quantiles[49] * 1e3:.1f} ms, p99 {quantiles[98] * 1e3:.1f} ms")


async def measure(quick: bool) -> None:
    rounds, count = (1, 2000) if quick else (3, 10000)
    limits = {"LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000000", "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000"}
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        starts = []
        for _ in range(3):
            with running(Path(folder) / "starts") as platform:
                starts.append(platform.seconds_to_ready)
        print(f"load average {os.getloadavg()[0]:.1f}; exec to ready {min(starts):.2f} to {max(starts):.2f} s")
        with running(Path(folder) / "data", "--memory", "16 GB", environment=limits) as platform:
            print(f"RSS idle {resident(platform.process.pid):.0f} MiB")
            platform.create("quiet", CODE)
            platform.create("printing", PRINTING)
            containers = ProcessContainers(Path(folder) / "floor")
            await containers.start()
            try:
                await cold(platform, 30 if quick else 200)
                await warm(platform, containers, rounds, count)
            finally:
                await containers.close()
            print(f"RSS after the load {resident(platform.process.pid):.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    asyncio.run(measure(parser.parse_args().quick))
