"""Cold starts through `upcall serve` with sandboxes: from the request of an action that never ran to its answer.

    scripts/bench --only cold [--quick]

One after another and 20 at a time; Python, Node.js from a process that waits and from nothing; with imports of its own;
a burst of many at once, into free memory and into memory where idle containers have to go first; pause and resume.
Containers stay until the part ends. Actions share the tenant, so they share its network, and are of 128 MB.
"""

import asyncio
import base64
import io
import sys
import zipfile
from collections.abc import Iterable, Sequence
from importlib import metadata

from bench.processes import cpu
from bench.row import Row
from bench.served import call, call_all, make, metric, node_kind, reached, served
from tests.system.operating import upcall
from tests.system.serving import Platform
from upcall import metrics as names

PYTHON = "def main(args):\n    return {'n': args.get('n')}\n"
IMPORTS = "import asyncio\nimport json\n" + PYTHON
HEAVY = "import pydantic\n" + PYTHON
NODE = "function main(args) { return { n: args.n }; }"
LIBRARY = ("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection")
KIND = "python:3"
PLENTY = ("--memory", "200 GB")
COUNT, SUM = f"{names.CONTAINER_TIMES}_count", f"{names.CONTAINER_TIMES}_sum"
CREATE, PAUSE, WAITED = 'operation="create"', 'operation="pause"', 'containerState="prewarmed"'


async def rows(quick: bool) -> list[Row]:
    """Of the whole part, and what targets there are."""
    node = node_kind()
    found = []
    with served(*PLENTY, "--prewarm", "none") as platform:
        found += await one_by_one(platform, 30 if quick else 200)
        found += await abreast(platform, 40 if quick else 200)
        found += await imports(platform, 10 if quick else 40)
        found += await tenants(platform, 4 if quick else 20)
    with served(*PLENTY, "--prewarm", "none") as platform:
        found += await burst(platform, 100 if quick else 500, "burst of Python")
    with served("--memory", "2 GB" if quick else "8 GB", "--prewarm", "none") as platform:
        found += await burst(platform, 100 if quick else 500, "burst, memory full")
    with served(*PLENTY, "--prewarm", "none", UPCALL_POOL_PAUSE_GRACE="20 ms") as platform:
        found += await paused(platform, 30 if quick else 200)
        found += await bare(platform, node, 10 if quick else 50) if node else []
    if node:
        with served(*PLENTY, "--prewarm", f"{node}=1/128m") as platform:
            found += await prewarmed(platform, node, 10 if quick else 50)
    return found


def latencies(name: str, times: Sequence[float], p50: float | None = None, p99: float | None = None) -> list[Row]:
    """Two rows of ms."""
    most = sorted(times)[max(0, -(-len(times) * 99 // 100) - 1)]
    note = f"{len(times)} actions"
    return [
        Row("cold", f"{name}, p50", "ms", [*times], p50, note=note),
        Row("cold", f"{name}, p99", "ms", [most], p99, note=note),
    ]


def numbered(name: str, count: int) -> Iterable[str]:
    return (f"{name}{number}" for number in range(count))


async def one_by_one(platform: Platform, count: int) -> list[Row]:
    actions = make(platform, numbered("one", count), KIND, PYTHON)
    await call(platform, actions.pop())
    before = cpu(platform.process.pid)
    times = await call_all(platform, actions, 1)
    spent = (cpu(platform.process.pid) - before) / len(times) * 1e3
    return [
        *latencies("Python, one after another", times, 10.0, 40.0),
        Row("cold", "Python, one after another, CPU of the platform", "ms", [spent]),
    ]


async def abreast(platform: Platform, count: int) -> list[Row]:
    actions = make(platform, numbered("abreast", count), KIND, PYTHON)
    return latencies("Python, 20 at a time", await call_all(platform, actions, 20))


async def tenants(platform: Platform, count: int) -> list[Row]:
    """Each has a network of its own, which is made with its first container."""
    times = []
    for number in range(count):
        auth = upcall("user", "create", f"tenant{number}", data=platform.data).out.strip()
        (action,) = make(platform, ["first"], KIND, PYTHON, auth=auth)
        times.append(await call(platform, action, auth))
    return latencies("Python, a new tenant's first", times)


async def imports(platform: Platform, count: int) -> list[Row]:
    """Of what the platform has loaded already, and of what the action brings along."""
    light = make(platform, numbered("imports", count), KIND, IMPORTS)
    times = await call_all(platform, light, 1)
    heavy = make(platform, numbered("heavy", count), KIND, library(), binary=True)
    first, *others = await call_all(platform, heavy, 1)
    return [
        *latencies("Python, imports asyncio and json", times),
        Row("cold", "Python, brings pydantic along, the tenant's first", "ms", [first]),
        *latencies("Python, brings pydantic along, later ones", others),
    ]


def library() -> str:
    """An action in a zip with a virtual environment."""
    data = io.BytesIO()
    site = f"virtualenv/lib/python3.{sys.version_info.minor}/site-packages"
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", HEAVY)
        archive.writestr("virtualenv/bin/activate_this.py", "")
        for name in LIBRARY:
            for file in metadata.files(name) or ():
                if file.suffix in (".py", ".so"):
                    archive.write(file.locate(), f"{site}/{file}")
    return base64.b64encode(data.getvalue()).decode()


async def burst(platform: Platform, count: int, name: str) -> list[Row]:
    """All at once, and an action that is warm called all the while."""
    actions = make(platform, numbered("burst", count), KIND, PYTHON)
    (warm,) = make(platform, ["warm"], KIND, PYTHON)
    await call(platform, warm)
    done = asyncio.Event()
    beside: list[float] = []

    async def look() -> None:
        while not done.is_set():
            beside.append(await call(platform, warm))
            await asyncio.sleep(0.01)

    loop = asyncio.get_running_loop()
    looking = loop.create_task(look())
    before, began = cpu(platform.process.pid), loop.time()
    times = await call_all(platform, actions, count)
    took = loop.time() - began
    spent = (cpu(platform.process.pid) - before) / count * 1e3
    done.set()
    await looking
    await _recorded(platform, 1 + len(beside) + count)
    return [
        Row("cold", f"{name}: rate", "/s", [count / took], 150.0, "more", f"{count} actions at once, all recorded"),
        Row("cold", f"{name}: answer", "ms", times),
        Row("cold", f"{name}: a warm action meanwhile", "ms", beside),
        Row("cold", f"{name}: CPU of the platform", "ms", [spent]),
    ]


async def _recorded(platform: Platform, number: int) -> None:
    """Raises RuntimeError unless so many records are there."""
    there = platform.call("GET", "activations?count=true").body["activations"]
    if there != number:
        raise RuntimeError(f"{number} activations, {there} records")


async def paused(platform: Platform, count: int) -> list[Row]:
    """One container that sleeps after each call; what a pause took is told by the platform's own clock."""
    (action,) = make(platform, ["sleepy"], KIND, PYTHON)
    await call(platform, action)
    before, pauses, times = 0.0, [], []
    for done in range(1, count + 1):
        await reached(platform, COUNT, PAUSE, done)
        took = metric(platform, SUM, PAUSE)
        pauses.append((took - before) * 1e3)
        before = took
        times.append(await call(platform, action))
    return [
        Row("cold", "pause", "ms", pauses, 0.3),
        Row("cold", "resume + request", "ms", times, 1.5, note="over a new connection"),
    ]


async def bare(platform: Platform, kind: str, count: int) -> list[Row]:
    actions = make(platform, numbered("bare", count), kind, NODE)
    return latencies("Node.js from nothing", await call_all(platform, actions, 1))


async def prewarmed(platform: Platform, kind: str, count: int) -> list[Row]:
    """Each when the process that waits is ready, which is so some 100 ms after the one before was taken."""
    times = []
    for number, action in enumerate(make(platform, numbered("node", count), kind, NODE), 1):
        await reached(platform, COUNT, CREATE, number)
        times.append(await call(platform, action))
    if (waited := metric(platform, f"{names.STARTS}_total", WAITED)) < count:
        raise RuntimeError(f"{count - waited:.0f} of {count} found no process that waits")
    return latencies("Node.js from a process that waits", times, 15.0)
