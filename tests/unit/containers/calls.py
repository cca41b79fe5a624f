"""Calls to a runtime at its address, for tests."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from upcall import __version__
from upcall.ports import Address, Container, ContainerSpec, Lines

MB = 1 << 20
IMAGES = {family: f"upcall/{family}:{__version__}" for family in ("python", "nodejs")}
_LONGEST = 1 << 26
_count = itertools.count()


class Call:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        return await self.send(path, json.dumps(body).encode())

    async def send(self, path: str, data: bytes) -> tuple[int, Any]:
        self._writer.write(f"POST {path} HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), json.loads(await self._reader.readexactly(length))


@contextlib.asynccontextmanager
async def connected(container: Container) -> AsyncIterator[Call]:
    reader, writer = await _opened(container.address)
    try:
        yield Call(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _opened(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """What has a host refuses connections until its server listens (spec: container.md §2.5)."""
    if address.path:
        return await asyncio.open_unix_connection(address.path, limit=_LONGEST)
    async with asyncio.timeout(30):
        while True:
            try:
                return await asyncio.open_connection(address.host, address.port, limit=_LONGEST)
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)


async def init(container: Container, code: str, **value: Any) -> tuple[int, Any]:
    async with connected(container) as call:
        return await call.post(
            "/init", {"value": {"name": "a", "main": "main", "code": code, "binary": False, **value}}
        )


async def run(container: Container, value: Any = None, **context: str) -> tuple[int, Any]:
    async with connected(container) as call:
        return await call.post("/run", {"value": {} if value is None else value, **context})


async def result(container: Container, code: str, value: Any = None) -> Any:
    """Load `code`, run it once, give what it returned."""
    assert await init(container, code) == (200, {"ok": True})
    status, answer = await run(container, value)
    assert status == 200, answer
    return answer


async def collected(container: Container, limit: int = MB, complete: bool = True) -> list[str]:
    """The texts of the lines, without times: `stdout: hello`; `complete` where an activation has come to its end."""
    taken: asyncio.Future[Lines] = asyncio.get_running_loop().create_future()
    container.collect(limit, complete, taken.set_result)
    lines = await taken
    assert not lines.failed
    return [line[31:] for line in lines.lines]


async def exhausted(container: Container) -> bool:
    """Whether it wanted for memory."""
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    container.exhausted(told.set_result)
    return await told


def spec(tenant: str = "guest", memory: int = 128, kind: str = "python:3") -> ContainerSpec:
    """Of the image that we make for the kind, where the driver runs images."""
    return ContainerSpec(
        kind=kind,
        image=IMAGES.get(kind.partition(":")[0], f"upcall/{kind}"),
        memory=memory,
        name=f"test_{next(_count)}_{tenant}",
        tenant=tenant,
    )
