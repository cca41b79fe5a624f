"""Calls that are timed one by one from inside this process, over TCP or unix sockets; under load `bench.client` asks,
whose start would be most of what one call takes."""

import asyncio
import time

import msgspec


class Load(msgspec.Struct):
    """What one round came to; times in seconds."""

    answered: int
    seconds: float
    latencies: list[float]
    bad: int

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class _Connection(asyncio.Protocol):
    """Sends `request` again as soon as the answer (with Content-Length) is whole, until `left` is used up."""

    def __init__(self, request: bytes, load: Load, left: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._load, self._left, self._done = request, load, left, done
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if self._left[0] <= 0:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = b""
        self._load.answered += 1
        self._load.bad += not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202"))
        self._load.latencies.append(time.perf_counter() - self._began)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed a connection under load"))


async def run(targets: list[tuple[str, int] | str], request: bytes, count: int) -> Load:
    """`count` requests over one connection per target: (host, port), or the path of a unix socket."""
    load, left = Load(0, 0.0, [], 0), [count]
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    ends = []
    for target in targets:
        done: asyncio.Future[None] = loop.create_future()
        ends.append(done)
        factory = lambda done=done: _Connection(request, load, left, done)  # noqa: E731
        if isinstance(target, str):
            await loop.create_unix_connection(factory, target)
        else:
            await loop.create_connection(factory, *target)
    await asyncio.gather(*ends)
    load.seconds = time.perf_counter() - began
    return load


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request, head and body."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
