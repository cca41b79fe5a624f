"""Cold start of an action in the process driver: create, /init of a small action, destroy; PSS; pause and resume.

Run as root or as an ordinary user:  python -m bench.cold [ROUNDS [KIND]]
KIND is python:3, or the nodejs:… of this host.
Wall times depend on the machine: compare only within one run.
"""

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from upcall.containers.process import ProcessContainers
from upcall.ports import Container, ContainerSpec

JAVASCRIPT = """
const util = require('util');
function main({ name = 'stranger' }) { return { greeting: 'Hello ' + name, at: new Date().toISOString() }; }
"""
PYTHON = """
import json, datetime
def main(args):
    return {"greeting": "Hello " + args.get("name", "stranger"), "at": datetime.datetime.now().isoformat()}
"""

KIND = sys.argv[2] if len(sys.argv) > 2 else "python:3"


async def post(container: Container, path: str, body: object) -> None:
    reader, writer = await asyncio.open_unix_connection(container.address.path)
    data = json.dumps(body).encode()
    writer.write(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data)
    answer = await reader.readuntil(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode())
    writer.close()


async def timed(times: list[float], what: Awaitable[object]) -> None:
    begin = time.perf_counter()
    await what
    times.append((time.perf_counter() - begin) * 1000)


def show(name: str, times: list[float]) -> None:
    ordered = sorted(times)
    p50, p90 = ordered[len(ordered) // 2], ordered[len(ordered) * 9 // 10]
    print(f"{name:<28} p50 {p50:7.2f} ms   p90 {p90:7.2f} ms   min {ordered[0]:7.2f} ms   n {len(ordered)}")


def pss(parent: int) -> float:
    """MiB of a process and what it has forked, less the process itself."""
    total, waiting = 0, [parent]
    while waiting:
        pid = waiting.pop()
        waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        if pid != parent:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


def spec(tenant: str) -> ContainerSpec:
    return ContainerSpec(kind=KIND, memory=256, name="bench", tenant=tenant)


async def cold(driver: ProcessContainers, tenant: str) -> Container:
    container = await driver.create(spec(tenant))
    await load(container)
    return container


async def load(container: Container) -> None:
    code = JAVASCRIPT if KIND.startswith("nodejs") else PYTHON
    await post(container, "/init", {"value": {"name": "bench", "main": "main", "code": code}})


async def claim(container: Container, tenant: str) -> None:
    await container.claim(tenant)
    await load(container)


async def measure(driver: ProcessContainers, rounds: int) -> None:
    whole: list[float] = []
    claimed: list[float] = []
    first: list[float] = []
    pauses: list[float] = []
    resumes: list[float] = []
    ends: list[float] = []
    held = await cold(driver, "held")
    for number in range(rounds):
        begin = time.perf_counter()
        container = await cold(driver, "held")
        whole.append((time.perf_counter() - begin) * 1000)
        await timed(pauses, container.pause())
        await timed(resumes, container.resume())
        await timed(ends, container.destroy())
        waiting = await driver.create(spec(""))
        await timed(claimed, claim(waiting, "held"))
        await waiting.destroy()
        begin = time.perf_counter()
        container = await cold(driver, f"tenant{number}")
        first.append((time.perf_counter() - begin) * 1000)
        await container.destroy()
    show("create + /init", whole)
    show("the same, a new tenant", first)
    show("claim + /init, prewarmed", claimed)
    show("pause", pauses)
    show("resume", resumes)
    show("destroy", ends)
    await held.destroy()


async def weigh(driver: ProcessContainers, zygote: int) -> None:
    empty = pss(zygote)
    many = [await cold(driver, "held") for _ in range(20)]
    print(f"{'idle container, PSS':<28} {(pss(zygote) - empty) / len(many):.2f} MiB (of {len(many)})")
    for container in many:
        await container.destroy()


async def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    folder = Path(tempfile.mkdtemp(prefix="up"))
    driver = ProcessContainers(folder)
    begin = time.perf_counter()
    await driver.start()
    print(f"uid {os.geteuid()}, load {os.getloadavg()[0]:.1f}, start {(time.perf_counter() - begin) * 1000:.0f} ms")
    try:
        await measure(driver, rounds)
        await weigh(driver, driver.zygote_pid())
    finally:
        await driver.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main())
