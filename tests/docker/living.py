"""Containers of a real engine with as little of the driver as a container needs: no images, logs or networks."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.system.engine import Engine as Dockerd
from upcall.containers.docker.container import DockerContainer
from upcall.containers.docker.engine import Engine
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.labels import Labels, new_labels
from upcall.containers.docker.options import DockerOptions
from upcall.containers.docker.ownership import Ownership
from upcall.containers.docker.removals import Removals
from upcall.containers.sandbox.cgroups import Grip
from upcall.ports import ContainerSpec, Lines

IMAGE = "base/python:3"
BUSY = "while True: pass"
HUNGRY = "bytearray(200 << 20)"
QUIET = "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); time.sleep(3600)"

_numbers = count(1)


class Blind(Freezer):
    """Sees nothing of the containers' processes, as on another machine."""

    def reach(self, pid: int, id: str) -> tuple[int, Grip] | None:
        return None

    def find(self, pid: int, id: str) -> Grip | None:
        return None


class NoLogs:
    """Nothing is collected here."""

    closed = False

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        done(Lines([]))

    def over(self) -> None:
        pass

    def share(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class Life:
    """One process's containers; made by `life`."""

    def __init__(self, engine: Engine, labels: Labels, freezer: Freezer) -> None:
        self.engine = engine
        self.labels = labels
        self.freezer = freezer
        self.removals = Removals(engine)
        self.logs: dict[str, NoLogs] = {}
        self.owned = Ownership(engine, labels, freezer, self.removals)

    async def make(self, code: str = QUIET, memory: int = 64) -> DockerContainer:
        """A started one that runs this Python."""
        name = f"life_{os.getpid()}_{next(_numbers)}"
        self.owned.names.add(name)
        id = await self.put(name, code, memory)
        self.logs[id] = NoLogs()
        container = DockerContainer(self, self.spec(name), id, "127.0.0.1", self.logs[id])
        self.owned.add(container)
        pid = (await self.look(id))["Pid"]
        await container.watch(pid)
        await _begun(pid)
        return container

    async def put(
        self,
        name: str,
        code: str = QUIET,
        memory: int = 64,
        start: bool = True,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Behind the back of those who look after what is ours."""
        host = {"Memory": memory << 20, "MemorySwap": memory << 20, "NetworkMode": "none"}
        given = dict(self.labels.given() if labels is None else labels)
        body: dict[str, Any] = {
            "Image": IMAGE,
            "Cmd": ["python3", "-S", "-c", code],
            "Labels": given,
            "HostConfig": host,
        }
        known = name in self.owned.names
        self.owned.names.add(name)  # a look round does not come between the two
        try:
            container = await self.engine.docker.containers.create(body, name=name)
            if start:
                await container.start()
        finally:
            if not known:
                self.owned.names.discard(name)
        return str(container.id)

    async def look(self, id: str) -> dict[str, Any]:
        """`State`, as the engine has it."""
        return dict((await self.engine.docker.containers.container(id).show())["State"])

    def forget(self, container: DockerContainer) -> None:
        self.owned.drop(container)

    @staticmethod
    def spec(name: str) -> ContainerSpec:
        return ContainerSpec(kind="python:3", image=IMAGE, memory=64, name=name)


@asynccontextmanager
async def life(
    dockerd: Dockerd,
    instance: str,
    invoker: int = 0,
    freezer: Freezer | None = None,
    watched: bool = True,
    host: str = "",
) -> AsyncIterator[Life]:
    """What it has made is gone afterwards; unless `watched`, what it has put is left to the test. `host` where the
    engine is not asked itself."""
    engine = Engine(DockerOptions(host=host or dockerd.url))
    await engine.start()
    made = Life(engine, new_labels(instance, invoker), Freezer() if freezer is None else freezer)
    try:
        if watched:
            await made.owned.start()
        yield made
        await asyncio.gather(*(each.destroy() for each in list(made.owned.containers.values())))
    finally:
        await made.owned.close()
        await engine.close()


async def _begun(pid: int) -> None:
    """Return when it is Python, no longer runc: by runc alone no engine pauses what is just being replaced."""
    with contextlib.suppress(OSError):  # it has ended
        while not Path(f"/proc/{pid}/comm").read_text().startswith("python"):
            await asyncio.sleep(0.001)
