"""The Docker driver alone: pause and resume by the freezer's file and by the engine, and many creations at once."""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.docker_hand import IMAGES
from bench.load import post, run
from tests.docker.living import Blind
from tests.system.engine import Engine
from upcall.containers.docker.container import DockerContainer
from upcall.containers.docker.driver import DockerContainers
from upcall.containers.docker.labels import new_labels
from upcall.containers.docker.options import DockerOptions
from upcall.ports import ContainerSpec

KIND = "python:3"
AT_ONCE = (1, 5, 10, 20)
MADE = 20
Rows = dict[str, Any]
_numbers = itertools.count(1)


@contextlib.asynccontextmanager
async def driver(engine: Engine, folder: Path, blind: bool = False) -> AsyncIterator[DockerContainers]:
    """A started one; a blind one sees no freezer's files."""
    number = next(_numbers)
    options = DockerOptions(host=engine.url, parallel_runs=0)
    made = DockerContainers(folder / f"run{number}", options, new_labels(f"bench{number}", 0), kinds=list(IMAGES))
    if blind:
        made.freezer = Blind()
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def create(made: DockerContainers) -> DockerContainer:
    name = f"bench0_{next(_numbers)}_guest_bench"
    return await made.create(ContainerSpec(kind=KIND, image=IMAGES[KIND], memory=128, name=name, tenant="guest"))


async def timed(act: Callable[[], Coroutine[Any, Any, object]]) -> float:
    """ms"""
    began = time.perf_counter()
    await act()
    return (time.perf_counter() - began) * 1e3


async def pauses(made: DockerContainers, count: int) -> Rows:
    """ms of a pause, of a resumption, and of one with a request behind it."""
    container = await create(made)
    target: list[tuple[str, int] | str] = [(container.address.host, container.address.port)]
    request = post("/run", b"{}")
    while not await _answers(target, request):
        await asyncio.sleep(0.01)

    async def resumed() -> None:
        await container.resume()
        await run(target, request, 1)

    rows: Rows = {"pause": [], "resume": [], "resume_request": []}
    for _ in range(count):
        rows["pause"].append(await timed(container.pause))
        rows["resume"].append(await timed(container.resume))
        await container.pause()
        rows["resume_request"].append(await timed(resumed))
    await container.destroy()
    return rows


async def _answers(target: list[tuple[str, int] | str], request: bytes) -> bool:
    try:
        await run(target, request, 1)
    except OSError:
        return False
    return True


async def rates(made: DockerContainers, rounds: int) -> Rows:
    """Containers per second, by how many are made at once."""
    rows: Rows = {str(number): [] for number in AT_ONCE}
    for _ in range(rounds):
        for number in AT_ONCE:
            began = time.perf_counter()
            containers = await _made(made, asyncio.Semaphore(number))
            rows[str(number)].append(MADE / (time.perf_counter() - began))
            await asyncio.gather(*(container.destroy() for container in containers))
    return rows


async def _made(made: DockerContainers, turns: asyncio.Semaphore) -> list[DockerContainer]:
    async def one() -> DockerContainer:
        async with turns:
            return await create(made)

    return await asyncio.gather(*(one() for _ in range(MADE)))


async def measure(engine: Engine, folder: Path, rounds: int, count: int) -> Rows:
    found: Rows = {}
    async with driver(engine, folder) as by_file, driver(engine, folder, blind=True) as by_engine:
        await (await create(by_file)).destroy()  # learns what there is to learn
        found["pause"] = {"the file": await pauses(by_file, count), "the engine": await pauses(by_engine, count)}
        found["facts"] = {"the file": by_file.facts(), "the engine": by_engine.facts()}
        found["rate"] = await rates(by_file, rounds)
    return found


def show(found: Rows) -> None:
    print(f"\n{'by, p50 ms':28}{'pause':>12}{'resume':>12}{'and a request':>16}")
    for name, rows in found["pause"].items():
        middle = [statistics.median(rows[key]) for key in ("pause", "resume", "resume_request")]
        print(f"{name:28}{middle[0]:12.2f}{middle[1]:12.2f}{middle[2]:16.2f}")
    print(f"\n{'made at once':28}{'per second':>12}")
    for number, rows in found["rate"].items():
        print(f"{number:28}{statistics.median(rows):12.1f}")
