"""What a platform is compared with: its runtimes asked directly, as it would ask them, and a responder in C."""

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.client import Address, load, program
from bench.load import post
from bench.processes import children
from bench.sides import Side
from upcall import ports
from upcall.containers import process
from upcall.containers.process import ProcessContainers
from upcall.containers.sandbox.container import ProcessContainer
from upcall.ports import ContainerSpec

_CONTEXT = {
    "namespace": "guest",
    "action_name": "/guest/quiet",
    "action_version": "0.0.1",
    "activation_id": "0" * 32,
    "transaction_id": "0" * 32,
    "api_key": "0:0",
    "deadline": "4102444800000",
}
"""What `/run` is told besides the arguments."""
_ABREAST = 4
"""Sandboxes made at a time."""


def run_request(body: bytes) -> bytes:
    """`/run` with arguments, as the platform asks."""
    return post("/run", msgspec.json.encode({"value": msgspec.Raw(body), **_CONTEXT}))


class OverTcp(ProcessContainer):
    """Listens at a port of this host, which the platform does not do; for comparison."""

    async def prepare(self) -> None:
        await super().prepare()
        assert self._listening is not None
        self._listening.close()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = ports.Address(host="127.0.0.1", port=self._listening.getsockname()[1])


class Driver:
    """The process driver without a platform; what it makes goes when it is closed."""

    def __init__(self, containers: ProcessContainers, pids: Sequence[int]) -> None:
        self._containers = containers
        self._pids = pids

    async def sandboxes(
        self, kind: str, code: str, count: int, *, concurrency: int = 1, tcp: bool = False
    ) -> list[Address]:
        """Where so many sandboxes listen, with an action in each: by default on unix sockets, as under the platform."""
        init = {"value": {"name": "n", "main": "main", "code": code, "binary": False, "env": {}}}
        request = post("/init", msgspec.json.encode(init))
        turns = asyncio.Semaphore(_ABREAST)
        spec = ContainerSpec(kind=kind, memory=128, name="bench", tenant="bench", concurrency=concurrency)

        async def one() -> Address:
            async with turns:
                made = await self._containers.create(spec)
                address = made.address.path or (made.address.host, made.address.port)
                await load([address], [request], 1, count=1)
                return address

        process.__dict__["ProcessContainer"] = OverTcp if tcp else ProcessContainer
        return await asyncio.gather(*(one() for _ in range(count)))

    def side(self, name: str, addresses: Sequence[Address], connections: int, body: bytes, count: int = 0) -> Side:
        kind = "unix" if isinstance(addresses[0], str) else "tcp"
        return Side(
            f"{name}, {kind}, c={connections}", addresses, [run_request(body)], connections, self._pids, count=count
        )


@contextlib.asynccontextmanager
async def driver() -> AsyncIterator[Driver]:
    """A started one."""
    with tempfile.TemporaryDirectory(prefix="up") as folder:
        before = set(children(os.getpid()))
        containers = ProcessContainers(Path(folder))
        await containers.start()
        try:
            yield Driver(containers, sorted(set(children(os.getpid())) - before))
        finally:
            await containers.close()


@contextlib.contextmanager
def responders() -> Iterator[dict[str, tuple[Address, int]]]:
    """By socket kind: where one listens, and its process."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="up"))
        path = f"{folder}/responder"
        local = stack.enter_context(_responder("unix", path))
        remote = stack.enter_context(_responder("tcp", "127.0.0.1", "0"))
        yield {"unix": (path, local[1]), "tcp": (("127.0.0.1", remote[0]), remote[1])}


@contextlib.contextmanager
def _responder(*words: str) -> Iterator[tuple[int, int]]:
    """Port and process."""
    process = subprocess.Popen([program("responder"), *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = process.stdout.readline().split()
        if said[:1] != ["ready"]:
            raise RuntimeError("the responder did not start")
        yield int(said[1]), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
