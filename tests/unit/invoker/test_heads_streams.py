"""Streams of answers, well-formed or not and cut anywhere, end the same with known heads as without them."""

import asyncio
import random
from typing import Any

import pytest

from upcall.core.outcome import Outcome
from upcall.deadlines import Deadlines
from upcall.invoker import heads
from upcall.invoker.call import Allowance
from upcall.invoker.runtime import Runtime, _Connection
from upcall.ports import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
ANSWERS = [
    *[OK] * 12,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n{}12345",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
    b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 6\n\n{\r\n\r\n}",
    b"\r\n\r\n" + OK,
    b"\r\n",
    b"garbage\r\n\r\n",
]
Stream = list[tuple[list[bytes], bool]]
"""What comes, in pieces, and whether a request goes before."""


class Transport:
    """Of nobody."""

    closed = False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.closed = True


def a_stream(chance: random.Random) -> Stream:
    return [(_pieces(chance), chance.random() < 0.93) for _ in range(chance.randint(1, 12))]


def _pieces(chance: random.Random) -> list[bytes]:
    data = chance.choice(ANSWERS)
    if chance.random() < 0.15:
        data += chance.choice(ANSWERS)
    if chance.random() < 0.1:
        data = data[: chance.randint(1, len(data))]
    step = chance.choice([len(data)] * 6 + [1, 20, len(data) - 2 or 1])
    return [data[start : start + step] for start in range(0, len(data), step)]


def ended(stream: Stream, deadlines: Deadlines, foreign: bool) -> list[Any]:
    """The outcomes, and the connection after each piece of the stream."""
    story: list[Any] = []
    runtime = Runtime(Address(path="/nowhere"), deadlines, foreign)
    allowance = Allowance(60.0, 5, 3)

    def done(outcome: Outcome) -> None:
        story.append((outcome.ending, outcome.status, outcome.body, outcome.length, outcome.truncated))

    connection, transport = _connected(runtime)
    for pieces, asked in stream:
        if transport.closed or (asked and connection not in runtime.free):
            runtime.close()
            connection, transport = _connected(runtime)
        if asked:
            runtime.post(b"/run", b"{}", allowance, done)
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
        story.append((connection.closing, transport.closed, connection in runtime.free))
    runtime.close()
    return story


def _connected(runtime: Runtime) -> tuple[_Connection, Transport]:
    connection, transport = _Connection(runtime), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.idle = asyncio.get_running_loop().time()
    runtime.free[:] = [connection]
    return connection, transport


@pytest.mark.parametrize("foreign", [False, True])
async def test_known_heads_change_no_outcome(monkeypatch: pytest.MonkeyPatch, foreign: bool) -> None:
    deadlines, chance = Deadlines(), random.Random(7)
    monkeypatch.setattr(heads, "known", known := {})  # type: ignore[var-annotated]
    streams = [a_stream(chance) for _ in range(1500)]
    monkeypatch.setattr("upcall.invoker.runtime.known", known)
    with_them = [ended(stream, deadlines, foreign) for stream in streams]
    assert known[OK[:-2]] == 2
    monkeypatch.setattr("upcall.invoker.runtime.known", {})
    assert [ended(stream, deadlines, foreign) for stream in streams] == with_them
    deadlines.close()
    await asyncio.sleep(0)
