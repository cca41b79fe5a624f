"""Actions in Docker containers, measured in one run beside what Docker itself takes; sides alternate.

An engine of its own runs in namespaces of its own (as the tests' does). The floor of warm calls is the same load client
straight to the same containers of the same platform; of cold ones it is `docker run`, `docker inspect` and /init by
hand, tried again each millisecond. Prints a table and leaves all rounds in `bench/results/docker.json`.
As root: `.venv/bin/python -m bench.docker [--quick]`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import docker_driver
from bench.client import Address, Load, load
from bench.docker_hand import Hand
from bench.load import post, run
from bench.processes import cpu
from bench.warm import invoke
from tests.system import engine_images
from tests.system.engine import Engine, engine_of_its_own
from tests.system.engine_guard import home
from tests.system.engine_process import missing
from tests.system.serving import Platform, running

RESULTS = Path(__file__).parent / "results" / "docker.json"
PYTHON, NODE = "python:3", "nodejs:20"
CODE = {
    PYTHON: "def main(args):\n    return {'n': args.get('n')}\n",
    NODE: "function main(args) { return { n: args.n } }\n",
}
PRINTING = "function main(args) { console.log('one line'); return { n: args.n } }\n"
SHAPES = {"one container": 10, "ten containers": 1}
"""And the action's concurrency."""
CONNECTIONS = 10
LIMITS = {
    "LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000000",
    "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000",
    "UPCALL_LIMITS_CONCURRENCY_MAX": "10",
    "UPCALL_POOL_PAUSE_GRACE": "10 minutes",
}
CONTEXT = {"namespace": "guest", "action_name": "/guest/quiet", "action_version": "0.0.1", "api_key": "a:b"}
Rows = dict[str, Any]


@contextlib.contextmanager
def serving(engine: Engine, folder: Path, prewarm: str) -> Iterator[Platform]:
    options = ("--driver", "docker", "--docker-host", engine.url, "--memory", "16 GB", "--prewarm", prewarm)
    with running(folder / f"data-{len(list(folder.iterdir()))}", *options, environment=LIMITS) as made:
        yield made


def create(made: Platform, name: str, kind: str, code: str, concurrency: int = 1) -> None:
    limits = {"memory": 128, "concurrency": concurrency}
    answer = made.call("PUT", f"actions/{name}", {"exec": {"kind": kind, "code": code}, "limits": limits})
    assert answer.status == 200, answer


def engine_cpu(engine: Engine) -> float:
    """Seconds of dockerd, containerd and all shims."""
    processes = (home() / engine.group / "engine" / "cgroup.procs").read_text().split()
    return sum(cpu(int(pid)) for pid in processes)


def addresses(engine: Engine, action: str) -> list[Address]:
    """Of the containers that an action has."""
    found = [each for each in engine.containers("upcall.invoker") if each["Names"][0].endswith(f"_{action}")]
    return [(each["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], 8080) for each in found]


async def straight(engine: Engine, action: str, count: int) -> Load:
    """To the action's containers, over as many connections as through the platform."""
    request = post("/run", json.dumps({"value": {"n": 1}, **CONTEXT}).encode())
    return await load(addresses(engine, action), [request], CONNECTIONS, count=count)


async def warm(engine: Engine, made: Platform, rounds: int, count: int) -> Rows:
    """By shape and action: rates, CPU in µs per activation of the platform and of the engine."""
    target: list[Address] = [("127.0.0.1", made.port)]
    found: Rows = {}
    for shape, concurrency in SHAPES.items():
        for name, code in (("quiet", CODE[NODE]), ("printing", PRINTING)):
            action = f"{name}{concurrency}"
            create(made, action, NODE, code, concurrency)
            await load(target, [invoke(made, action)], CONNECTIONS, count=CONNECTIONS * 50)
            rows = []
            for _ in range(rounds):
                direct = await straight(engine, action, count)
                before = engine_cpu(engine), cpu(made.process.pid)
                through = await load(target, [invoke(made, action)], CONNECTIONS, count=count)
                await asyncio.sleep(0.2)
                spent = [(engine_cpu(engine) - before[0]) / count, (cpu(made.process.pid) - before[1]) / count]
                rows.append(
                    {"direct": direct.rate, "upcall": through.rate, "p50": through.percentile(0.5) * 1e3}
                    | {"engine_cpu": spent[0] * 1e6, "upcall_cpu": spent[1] * 1e6}
                )
            found[f"{shape}, {name}"] = {"containers": len(addresses(engine, action)), "rounds": rows}
    return found


async def called(made: Platform, name: str, kind: str) -> float:
    """Seconds of the first call of a new action."""
    create(made, name, kind, CODE[kind])
    began = time.perf_counter()
    answer = await run([("127.0.0.1", made.port)], invoke(made, name), 1)
    assert answer.bad == 0
    return time.perf_counter() - began


async def cold(engine: Engine, made: Platform, count: int) -> Rows:
    """By kind: ms of a first call, and of the same by hand."""
    hand = Hand(engine)
    found: Rows = {kind: {"hand": [], "upcall": []} for kind in CODE}
    for number in range(count):
        for kind, rows in found.items():
            rows["hand"].append(hand.cold(kind, CODE[kind]) * 1e3)
            rows["upcall"].append(await called(made, f"cold{kind[0]}{number}", kind) * 1e3)
    return found


async def prewarmed(engine: Engine, folder: Path, count: int) -> Rows:
    """By kind: ms of a first call where a container waits for it."""
    found: Rows = {kind: [] for kind in CODE}
    with serving(engine, folder, ",".join(f"{kind}=1/128m" for kind in CODE)) as made:
        for number in range(count):
            for kind, rows in found.items():
                while len([each for each in engine.containers("upcall.invoker") if "prewarm" in each["Names"][0]]) < 2:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)  # it has been made; its runtime is still starting
                rows.append(await called(made, f"prewarmed{kind[0]}{number}", kind) * 1e3)
    return found


def show(found: Rows) -> None:
    print(
        f"\n{'warm Node.js, c = 10':28}{'direct':>12}{'upcall':>12}{'ratio':>8}{'p50 ms':>9}{'CPU µs':>8}{'engine':>8}"
    )
    for name, row in found["warm"].items():
        middle = {key: statistics.median(each[key] for each in row["rounds"]) for key in row["rounds"][0]}
        ratio = statistics.median(each["upcall"] / each["direct"] for each in row["rounds"])
        print(
            f"{name:28}{middle['direct']:10.0f}/s{middle['upcall']:10.0f}/s{ratio:8.2f}{middle['p50']:9.2f}"
            f"{middle['upcall_cpu']:8.0f}{middle['engine_cpu']:8.1f}"
        )
    print(f"\n{'cold, p50 ms':28}{'by hand':>12}{'upcall':>12}{'ratio':>8}{'prewarmed':>12}")
    for kind, row in found["cold"].items():
        hand, own = statistics.median(row["hand"]), statistics.median(row["upcall"])
        print(f"{kind:28}{hand:12.0f}{own:12.0f}{own / hand:8.2f}{statistics.median(found['prewarmed'][kind]):12.1f}")
    docker_driver.show(found["driver"])


async def measure(engine: Engine, folder: Path, quick: bool) -> Rows:
    rounds, count, colds = (1, 2000, 5) if quick else (4, 10000, 20)
    found: Rows = {"python": platform.python_version(), "load": os.getloadavg()[0]}
    found["engine"] = engine.call("GET", "/version")["Version"]
    with serving(engine, folder, "none") as made:
        found["warm"] = await warm(engine, made, rounds, count)
        found["cold"] = await cold(engine, made, colds)
    found["prewarmed"] = await prewarmed(engine, folder, colds)
    found["driver"] = await docker_driver.measure(engine, folder, rounds, colds)
    return found


def main(quick: bool) -> None:
    if reason := missing():
        sys.exit(reason)
    engine_images.prepare()
    with engine_of_its_own() as engine, tempfile.TemporaryDirectory(prefix="upb") as folder, engine.inside():
        print(f"Docker, load average {os.getloadavg()[0]:.1f}", flush=True)
        found = asyncio.run(measure(engine, Path(folder), quick))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))
    show(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    main(parser.parse_args().quick)
