"""The process driver in its own pod, with the rights of `upcall manifests`, against the same on this host, in turns:
a cold start (create and /init of a small action, for a tenant that is known) and a warm /run with one printed line."""

import json
import os
import subprocess
import sys
from uuid import uuid4

from bench.row import Row
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.test_inside import Pod
from upcall.manifests.wanted import Wanted

PART = "inside"
TURNS = 3
TIMES = """
import asyncio, json, sys, tempfile, time
from pathlib import Path
from upcall.containers.process import ProcessContainers
from upcall.ports import ContainerSpec

CODE = "def main(args):\\n    print('x')\\n    return args\\n"

async def post(reader, writer, path, value):
    data = json.dumps({"value": value}).encode()
    writer.write(f"POST {path} HTTP/1.1\\r\\nContent-Length: {len(data)}\\r\\n\\r\\n".encode() + data)
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
    assert head.split()[1] == b"200", head
    await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\\r")[0]))

async def main(colds, warms):
    cold, warm = [], []
    with tempfile.TemporaryDirectory(prefix="up") as folder:
        driver = ProcessContainers(Path(folder) / "own" / "run")
        await driver.start()
        for number in range(colds):
            began = time.perf_counter()
            container = await driver.create(ContainerSpec(kind="python:3", memory=128, name="a", tenant="t"))
            reader, writer = await asyncio.open_unix_connection(container.address.path)
            await post(reader, writer, "/init", {"name": "a", "main": "main", "code": CODE, "binary": False})
            cold.append((time.perf_counter() - began) * 1e3)
            for _ in range(warms if number == colds - 1 else 0):
                began = time.perf_counter()
                await post(reader, writer, "/run", {})
                container.collect(1 << 20, True, lambda lines: None)
                warm.append((time.perf_counter() - began) * 1e3)
            writer.close()
            await container.destroy()
        await driver.close()
    print(json.dumps([cold, warm]))

asyncio.run(main(*map(int, sys.argv[1:])))
"""


def rows(cluster: Cluster, quick: bool) -> list[Row]:
    counts = ["10", "200"] if quick else ["60", "3000"]
    place = f"bench-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", place)
    pod_cold, pod_warm, host_cold, host_warm = [list[float]() for _ in range(4)]
    try:
        pod = Pod(cluster, place, Wanted(driver="process"))
        pod.has_said("is ready at")
        for _ in range(TURNS):
            within = pod.run("env", "PYTHONPATH=/opt/upcall", "python3", "-c", TIMES, *counts)
            for kept, new in zip((pod_cold, pod_warm), json.loads(within.splitlines()[-1]), strict=True):
                kept.extend(new)
            for kept, new in zip((host_cold, host_warm), _on_host(counts), strict=True):
                kept.extend(new)
    finally:
        cluster.remove_namespace(place)
    return [
        Row(PART, "cold start: in the pod", "ms", pod_cold),
        Row(PART, "cold start: on the host", "ms", host_cold),
        Row(PART, "warm run: in the pod", "ms", pod_warm),
        Row(PART, "warm run: on the host", "ms", host_warm),
    ]


def _on_host(counts: list[str]) -> list[list[float]]:
    command = [sys.executable, "-c", TIMES, *counts]
    environment = {**os.environ, "PYTHONPATH": os.fspath(CHECKOUT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, env=environment)
    made: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return made
