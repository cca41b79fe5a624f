"""A container that prints what it is told to, with its output as the driver has it, and without the driver."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.docker.contained import SENTINEL
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker.engine import Engine, EngineError
from upcall.containers.docker.entry import Program
from upcall.containers.docker.images import program
from upcall.containers.docker.options import DockerOptions
from upcall.containers.docker.output import Output, Outputs
from upcall.ports import ContainerSpec, Lines

MB = 1 << 20
IMAGE = "base/python:3"
SERVER = """
import os, socket, sys, threading, time
os.environ.pop('_', None)
listening = socket.create_server(('', 8080))
while True:
    connection, _ = listening.accept()
    with connection, connection.makefile() as asked:
        exec(asked.read())
        sys.stdout.flush()
        connection.sendall(b'done')
"""
"""Runs the code of each connection, and answers."""
ENDS = f"os.write(1, b'{SENTINEL}\\n'); os.write(2, b'{SENTINEL}\\n')"


class Box:
    """A started one."""

    def __init__(self, dockerd: Dockerd, outputs: Outputs, output: Output, id: str) -> None:
        self.dockerd = dockerd
        self.outputs = outputs
        self.output = output
        self.id = id

    async def run(self, code: str) -> None:
        """Returns at its answer."""
        reader, writer = await self._opened()
        writer.write(code.encode())
        writer.write_eof()
        assert await reader.read() == b"done"
        writer.close()

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = self.dockerd.inspect(self.id)["NetworkSettings"]["IPAddress"]
        async with asyncio.timeout(30):
            while True:
                try:
                    return await asyncio.open_connection(host, 8080)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)

    async def ended(self) -> int:
        """Its exit status, when it has ended by itself."""
        found = await asyncio.to_thread(self.dockerd.call, "POST", f"/containers/{self.id}/wait")
        return int(found["StatusCode"])

    async def take(self, limit: int = MB, complete: bool = True) -> Lines:
        taken: asyncio.Future[Lines] = asyncio.get_running_loop().create_future()
        self.output.collect(limit, complete, taken.set_result)
        return await taken

    async def texts(self, limit: int = MB, complete: bool = True) -> list[str]:
        """The lines without times."""
        return [line[31:] for line in (await self.take(limit, complete)).lines]

    async def close(self) -> None:
        """It is read on while it goes: an engine waits for whoever has its stream."""
        await asyncio.to_thread(self.dockerd.call, "DELETE", f"/containers/{self.id}", force="1", v="1")
        await self.output.close()


class Boxes:
    """Makes them as the driver does; `way` is `fifo`, or `stream` for an engine that does not see our files."""

    def __init__(self, dockerd: Dockerd, folder: Path, way: str = "fifo", bound: int = 10 * MB) -> None:
        self.dockerd = dockerd
        self.engine = Engine(DockerOptions(host=dockerd.url))
        self.outputs = Outputs(folder, self.engine, bound)
        self.way = way
        self.boxes: list[Box] = []
        self.tries = 0

    async def start(self) -> None:
        await self.engine.start()
        await self.outputs.start()
        if self.way == "stream":
            self.outputs.blind("a test")

    async def close(self) -> None:
        await asyncio.gather(*(box.close() for box in self.boxes))
        await self.engine.close()

    async def make(
        self,
        image: str = IMAGE,
        *,
        command: tuple[str, ...] | None = ("python3", "-c", SERVER),
        concurrency: int = 1,
        sentinels: bool = True,
        host: dict[str, Any] | None = None,
        **config: Any,
    ) -> Box:
        """`command` is what it runs in place of what the image says."""
        spec = ContainerSpec(kind="x", image=image, memory=256, name="x", concurrency=concurrency, sentinels=sentinels)
        found = program(self.dockerd.call("GET", f"/images/{image}/json"))
        if command is not None:
            found = Program(found.image, (), command, found.environment)
        while True:
            self.tries += 1
            output = self.outputs.open(spec, found)
            try:
                return await self._made(found, output, image, host or {}, config)
            except EngineError as error:
                refused = output.refused(error)
                await output.close()
                if not refused:
                    raise

    async def _made(
        self, found: Program, output: Output, image: str, host: dict[str, Any], config: dict[str, Any]
    ) -> Box:
        entry = output.entry
        told = {
            "Image": image,
            "Entrypoint": list(entry.entrypoint if entry.entrypoint is not None else found.entrypoint),
            "Cmd": list(entry.command if entry.command is not None else found.command),
            "HostConfig": {"Mounts": [dict(mount) for mount in entry.mounts], **host},
            **config,
        }
        async with self.engine.asked(60) as docker:
            made = await docker._query_json("containers/create", method="POST", data=json.loads(json.dumps(told)))
        id = str(made["Id"])
        try:
            await output.created(id)
            async with self.engine.asked(60) as docker:
                await docker.containers.container(id).start()
            await output.begun()
        except BaseException:
            self.dockerd.call("DELETE", f"/containers/{id}", force="1", v="1")
            raise
        box = Box(self.dockerd, self.outputs, output, id)
        self.boxes.append(box)
        return box


@contextlib.asynccontextmanager
async def boxes(dockerd: Dockerd, folder: Path, way: str = "fifo", bound: int = 10 * MB) -> AsyncIterator[Boxes]:
    """Nothing is left of them: no container, no FIFO, no descriptor."""
    made = Boxes(dockerd, folder / "logs", way, bound)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
    assert list((folder / "logs").iterdir()) == []
    assert not [path for path in open_files() if path.startswith(str(folder))]


def open_files() -> list[str]:
    """What this process has open."""
    with os.scandir("/proc/self/fd") as found:
        return [os.readlink(entry.path) for entry in found if os.path.lexists(entry.path)]
