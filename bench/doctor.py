"""How long `upcall doctor` takes: on this machine, on a manifest, on a cluster of 100 nodes and 1,000 pods.

The cluster is an API of this process that answers lists from memory. Its floor: the same lists, asked for by a bare
client at once, in a process that does nothing else.

    .venv/bin/python -m bench.doctor
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

UPCALL = Path(sys.executable).with_name("upcall")
GOLDEN = Path(__file__).parents[1] / "tests" / "unit" / "manifests" / "golden" / "any.yml"
NODES, PODS, ROUNDS = 100, 1000, 5
FLOOR = """
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        async def get(path):
            async with session.get(sys.argv[1] + path) as answer:
                await answer.read()
        await asyncio.gather(*map(get, sys.argv[2:]))
asyncio.run(main())
"""


def node(number: int) -> dict[str, Any]:
    info = {"containerRuntimeVersion": "containerd://2.0", "osImage": "Debian GNU/Linux 12", "architecture": "amd64"}
    info |= {"kernelVersion": "6.1", "operatingSystem": "linux", "kubeletVersion": "v1.31.0", "kubeProxyVersion": ""}
    info |= {"bootID": "", "machineID": "", "systemUUID": ""}
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    ready = [{"type": "Ready", "status": "True"}]
    about = {"name": f"node-{number}", "labels": {"openwhisk-role": "invoker"}}
    return {"metadata": about, "status": {"nodeInfo": info, "conditions": ready, "allocatable": room, "capacity": room}}


def pod(number: int) -> dict[str, Any]:
    container = {"name": "main", "image": "own/service:1", "env": [{"name": f"V{n}", "value": "x"} for n in range(20)]}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    about = {"name": f"service-{number}", "labels": {"app": "service"}}
    return {
        "metadata": about,
        "spec": {"containers": [container], "nodeName": f"node-{number % 100}"},
        "status": status,
    }


def application(asked: set[str]) -> web.Application:
    held = {"nodes": [node(each) for each in range(NODES)], "pods": [pod(each) for each in range(PODS)]}
    bodies = {
        name: json.dumps({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}).encode()
        for name, items in {**held, "": []}.items()
    }

    async def answer(request: web.Request) -> web.Response:
        if request.method != "GET":
            return web.json_response({"kind": "Status", "message": "no", "code": 403}, status=403)
        asked.add(request.path_qs)
        body = bodies.get(request.path.rpartition("/")[2], bodies[""])
        return web.Response(body=body, content_type="application/json")

    made = web.Application()
    made.router.add_route("*", "/{path:.*}", answer)
    return made


async def timed(*argv: str, **variables: str) -> float:
    """Seconds of the middle round, from exec to exit."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *argv, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await process.wait()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def kubeconfig(folder: str, port: int) -> str:
    def entry(kind: str, **values: str) -> list[dict[str, object]]:
        return [{"name": "bench", kind: values}]

    told = {
        "clusters": entry("cluster", server=f"http://127.0.0.1:{port}"),
        "users": entry("user"),
        "contexts": entry("context", cluster="bench", user="bench", namespace="openwhisk"),
        "current-context": "bench",
    }
    path = Path(folder) / "kubeconfig"
    path.write_text(yaml.safe_dump(told))
    return str(path)


async def main() -> None:
    asked: set[str] = set()
    runner = web.AppRunner(application(asked), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    doctor = (str(UPCALL), "doctor")
    with tempfile.TemporaryDirectory() as folder:
        rows = {
            "upcall --version (floor of all)": await timed(str(UPCALL), "--version"),
            "upcall doctor --machine": await timed(*doctor, "--machine"),
            "upcall doctor -f any.yml": await timed(*doctor, "-f", str(GOLDEN)),
            "upcall doctor, the cluster": await timed(*doctor, KUBECONFIG=kubeconfig(folder, port)),
            "its lists, by a bare client": await timed(
                sys.executable, "-c", FLOOR, f"http://127.0.0.1:{port}", *sorted(asked)
            ),
        }
    await runner.cleanup()
    for name, seconds in rows.items():
        print(f"{name:34} {seconds * 1000:7.0f} ms")
    print(f"{NODES} nodes, {PODS} pods, {len(asked)} lists; the middle of {ROUNDS} rounds")


if __name__ == "__main__":
    asyncio.run(main())
