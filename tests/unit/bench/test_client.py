import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator

import pytest

from bench.client import Load, load
from bench.load import post
from bench.processes import children, cpu, spent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = post("/x", b"{}")


class Server:
    """Answers with `answer` in the pieces given; keeps bodies, and how many connections there were."""

    def __init__(self, *answer: bytes, closes: bool = False, pause: float = 0.0) -> None:
        self.answer, self.closes, self.pause = answer, closes, pause
        self.bodies: list[bytes] = []
        self.connections = 0
        self.talks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self.talk(reader, writer))
        self.talks.add(talk)
        await talk

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                self.bodies.append(await reader.readexactly(length))
                for piece in self.answer:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(self.pause)
                if self.closes:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def tcp(server: Server) -> AsyncIterator[tuple[str, int]]:
    made = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    async with made:
        yield ("127.0.0.1", made.sockets[0].getsockname()[1])
        await asyncio.gather(*server.talks)


@contextlib.asynccontextmanager
async def unix(server: Server) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="up") as folder:
        made = await asyncio.start_unix_server(server.accept, f"{folder}/s")
        async with made:
            yield f"{folder}/s"
            await asyncio.gather(*server.talks)


async def test_so_many_requests_over_so_many_connections() -> None:
    server = Server(OK)
    async with tcp(server) as address:
        found = await load([address], [REQUEST], 7, count=100)
    assert (found.answered, found.bad, found.lost, found.body_bytes) == (100, 0, 0, 200)
    assert (len(server.bodies), server.connections) == (100, 7)
    assert 0 < found.percentile(0.5) <= found.percentile(0.99) <= found.percentile(1.0) <= found.seconds * 1.02
    assert found.cpu > 0


async def test_latencies_are_from_the_request_to_the_end_of_the_answer() -> None:
    async with tcp(Server(OK[:-1], OK[-1:], pause=0.005)) as address:
        found = await load([address], [REQUEST], 1, count=20)
    assert found.percentile(0) >= 0.0045
    assert sum(ns * count for ns, count in found.latencies) / 1e9 <= found.seconds * 1.02
    assert sum(count for _, count in found.latencies) == 20


async def test_connections_are_spread_over_addresses_of_both_kinds() -> None:
    one, other = Server(OK), Server(OK)
    async with tcp(one) as first, unix(other) as second:
        await load([first, second], [REQUEST], 5, count=50)
    assert (one.connections, other.connections) == (3, 2)
    assert one.bodies
    assert other.bodies


async def test_requests_come_in_the_order_given_again_and_again() -> None:
    server = Server(OK)
    requests = [post("/x", b"%d" % number) for number in range(3)]
    async with unix(server) as address:
        await load([address], requests, 1, count=5, order=[2, 0])
        await load([address], requests, 1, count=4)
    assert server.bodies == [b"2", b"0", b"2", b"0", b"2", b"0", b"1", b"2", b"0"]


async def test_time_bounds_a_load_too() -> None:
    server = Server(OK)
    async with unix(server) as address:
        found = await load([address], [REQUEST], 2, seconds=0.05)
    assert found.answered == len(server.bodies) > 0


@pytest.mark.parametrize("size", [3, 100_000, 1_000_000])
async def test_large_bodies_go_and_come(size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
    server = Server(head + b"y" * size)
    async with unix(server) as address:
        found = await load([address], [post("/x", b"x" * size)], 3, count=6)
    assert found.body_bytes == 6 * size
    assert [len(body) for body in server.bodies] == [size] * 6


async def test_chunks_in_pieces_of_any_kind() -> None:
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1A\r\n" + b"z" * 26 + b"\r\n0\r\n\r\n"
    for pieces in ([text], [text[n : n + 1] for n in range(len(text))], [text[:60], text[60:]]):
        server = Server(*pieces)
        async with tcp(server) as address:
            found = await load([address], [REQUEST], 2, count=6)
        assert (found.answered, found.body_bytes) == (6, 6 * 31)


async def test_an_answer_that_is_an_error_fails_the_load() -> None:
    async with tcp(Server(b"HTTP/1.1 429 No\r\nContent-Length: 4\r\n\r\nslow")) as address:
        with pytest.raises(RuntimeError, match=r"3 of 3 answers were bad(.|\n)*429 No"):
            await load([address], [REQUEST], 1, count=3)


async def test_a_server_that_closes_fails_the_load() -> None:
    async with tcp(Server(OK, closes=True)) as address:
        with pytest.raises(RuntimeError, match="2 lost"):
            await load([address], [REQUEST], 2, count=10)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"hello\r\n\r\n", OK + b"and more"])
async def test_what_is_no_answer_fails_the_load(answer: bytes) -> None:
    async with tcp(Server(answer)) as address:
        with pytest.raises(RuntimeError, match="load: "):
            await load([address], [REQUEST], 1, count=2)


async def test_nobody_there_fails_the_load() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="cannot connect: Connection refused"):
            await load([bound.getsockname()], [REQUEST], 1, count=1)


def test_percentiles_are_of_all_answers() -> None:
    found = Load(10, 0, 0, 0, 2.0, 0.0, [(1000, 5), (3000, 4), (9000, 1)])
    assert [found.percentile(share) for share in (0.1, 0.5, 0.6, 0.99)] == [1e-6, 1e-6, 3e-6, 9e-6]
    assert found.rate == 5


def test_children_that_have_ended_count() -> None:
    before, own = spent([os.getpid()]), cpu(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"])
    assert child.pid in children(os.getpid())
    child.wait()
    assert spent([os.getpid()]) - before - (cpu(os.getpid()) - own) >= 0.15
