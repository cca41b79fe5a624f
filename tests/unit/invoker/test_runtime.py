"""The container client against servers that misbehave in every way (spec: container.md §2.5; docs/DESIGN.md D14)."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvloop

from upcall.containers.fake import Reply, encoded
from upcall.core.outcome import Ending, Outcome
from upcall.deadlines import Deadlines
from upcall.invoker.call import Allowance
from upcall.invoker.runtime import Runtime
from upcall.ports import Address

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ALLOWANCE = Allowance(10.0, 1000, 100)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Bench:
    """A client, and the server that it talks to."""

    def __init__(self, folder: str) -> None:
        self.path = f"{folder}/s"
        self.deadlines = Deadlines(0.01)
        self.runtime = Runtime(Address(path=self.path), self.deadlines)
        self.connections = 0
        self.requests: list[bytes] = []
        self.server: asyncio.Server | None = None

    async def serve(self, serve: Serve) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            try:
                await serve(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        self.server = await asyncio.start_unix_server(accepted, self.path)

    async def answer(self, *replies: bytes, close: bool = False) -> None:
        """Answer each request of a connection with the next of the replies, the last for ever."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            left = list(replies)
            while True:
                self.requests.append(await self.request(reader))
                writer.write(left.pop(0) if len(left) > 1 else left[0])
                await writer.drain()
                if close:
                    return

        await self.serve(serve)

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))

    async def post(self, path: bytes = b"/run", body: bytes = b"{}", allowance: Allowance = ALLOWANCE) -> Outcome:
        return await self.begin(path, body, allowance)

    def begin(
        self, path: bytes = b"/run", body: bytes = b"{}", allowance: Allowance = ALLOWANCE
    ) -> asyncio.Future[Outcome]:
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.runtime.post(path, body, allowance, done.set_result, retry=path == b"/init")
        return done


@asynccontextmanager
async def a_bench() -> AsyncIterator[Bench]:
    with TemporaryDirectory(dir="/tmp") as folder:
        bench = Bench(folder)
        yield bench
        bench.runtime.close()
        bench.deadlines.close()
        if bench.server is not None:
            bench.server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with a_bench() as bench:
        yield bench


async def test_one_connection_serves_one_request_after_the_other(bench: Bench) -> None:
    await bench.answer(OK)
    for _ in range(3):
        outcome = await bench.post(body=b'{"value":{}}')
        assert (outcome.ending, outcome.status, outcome.body, outcome.length) == (Ending.ANSWERED, 200, b"{}", 2)
    assert bench.connections == 1
    assert bench.requests[0] == (
        b"POST /run HTTP/1.1\r\nHost: runtime\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        b'Content-Length: 12\r\n\r\n{"value":{}}'
    )


async def test_parallel_requests_take_a_connection_each(bench: Bench) -> None:
    await bench.answer(OK)
    await asyncio.gather(*(bench.post() for _ in range(4)))
    assert bench.connections == 4
    await asyncio.gather(*(bench.post() for _ in range(4)))
    assert bench.connections == 4


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("size", "truncated"), [(0, False), (1, False), (999, False), (1000, False), (1001, True), (300_000, True)]
)
async def test_answers_are_counted_and_cut_past_the_limit(
    bench: Bench, chunked: bool, size: int, truncated: bool
) -> None:
    await bench.answer(encoded(Reply(body=b"x" * size, chunked=chunked)))
    for _ in range(2):
        outcome = await bench.post()
        assert (outcome.ending, outcome.length, outcome.truncated) == (Ending.ANSWERED, size, truncated)
        assert outcome.body == b"x" * (100 if truncated else size)
    assert bench.connections == 1


async def test_an_answer_in_single_bytes(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    await bench.serve(serve)
    assert (await bench.post()).body == b"{}"


async def test_a_provisional_answer_is_passed_over(bench: Bench) -> None:
    await bench.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert (await bench.post()).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_no_whole_answer_is_no_answer(bench: Bench, answer: bytes) -> None:
    await bench.answer(answer, close=True)
    assert (await bench.post()).ending is Ending.CLOSED
    assert len(bench.deadlines) == 0


async def test_a_server_that_closes_after_each_answer(bench: Bench) -> None:
    await bench.answer(OK, close=True)
    for _ in range(3):
        assert (await bench.post()).status == 200
        while bench.runtime.free:
            await asyncio.sleep(0)
    assert bench.connections == 3


async def test_connection_close_is_heeded(bench: Bench) -> None:
    await bench.answer(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    for _ in range(2):
        assert (await bench.post()).status == 200
    assert bench.connections == 2


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", OK, b"HTTP/1.1 500 X\r\nContent-Le"])
async def test_bytes_behind_an_answer_end_the_connection_and_not_the_request(bench: Bench, garbage: bytes) -> None:
    await bench.answer(OK + garbage)
    for _ in range(2):
        outcome = await bench.post()
        assert (outcome.status, outcome.body) == (200, b"{}")
    assert bench.connections == 2


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(bench: Bench) -> None:
    speak, spoken = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        writer.write(OK)
        await speak.wait()
        writer.write(OK)
        spoken.set()
        await reader.read()

    await bench.serve(serve)
    await bench.post()
    speak.set()
    await spoken.wait()
    while bench.runtime.free:
        await asyncio.sleep(0)
    assert (await bench.post()).status == 200
    assert bench.connections == 2


async def test_run_on_nobody_is_refused_at_once(bench: Bench) -> None:
    assert (await bench.post()).ending is Ending.REFUSED
    Path(bench.path).touch()
    assert (await bench.post()).ending is Ending.REFUSED


async def test_a_refused_tcp_port(bench: Bench) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    bench.runtime = Runtime(Address(host=host, port=port), bench.deadlines)
    assert (await bench.post()).ending is Ending.REFUSED


async def test_tcp_answers_too(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        writer.write(OK)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    bench.runtime = Runtime(Address(host=host, port=port), bench.deadlines)
    assert (await bench.post()).status == 200
    bench.runtime.close()
    server.close()


async def test_init_waits_for_a_server_that_starts(bench: Bench) -> None:
    asked = bench.begin(b"/init")
    while not bench.runtime.retries:
        await asyncio.sleep(0.001)
    await bench.answer(OK)
    assert (await asked).status == 200


async def test_init_gives_up_when_its_time_is_over(bench: Bench) -> None:
    outcome = await bench.post(b"/init", allowance=Allowance(0.12, 10, 10))
    assert outcome.ending is Ending.TIMED_OUT
    assert bench.runtime.retries >= 2
    assert outcome.elapsed >= 0.119


async def test_nobody_waits_for_a_dead_container_to_come_up(bench: Bench) -> None:
    asked = bench.begin(b"/init")
    while not bench.runtime.retries:
        await asyncio.sleep(0.001)
    bench.runtime.give_up()
    assert (await asked).ending is Ending.REFUSED
    assert (await bench.post(b"/init")).ending is Ending.REFUSED


async def test_silence_times_out_and_ends_the_connection(bench: Bench) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        if bench.connections > 1:
            writer.write(OK)
        try:
            await reader.read()
        finally:
            ended.set()

    await bench.serve(serve)
    outcome = await bench.post(allowance=Allowance(0.05, 10, 10))
    assert outcome.ending is Ending.TIMED_OUT
    assert 0.05 <= outcome.elapsed < 1
    await ended.wait()
    assert (await bench.post()).status == 200
    assert bench.connections == 2


async def test_a_connection_to_a_foreign_image_is_not_used_after_a_second(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.answer(OK)
    bench.runtime = Runtime(Address(path=bench.path), bench.deadlines, foreign=True)
    for expected, idle in ((1, 0.0), (1, 0.0), (2, 1.5)):
        for connection in bench.runtime.free:
            connection.idle -= idle
        assert (await bench.post()).status == 200
        assert bench.connections == expected


@pytest.mark.parametrize("close_first", [True, False])
async def test_who_closes_in_the_turn_of_the_request_has_not_got_it(bench: Bench, close_first: bool) -> None:
    """The loop learns of both at once, in the one order or in the other."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(bench.path)
        listening.listen()
        first = bench.begin()
        await asyncio.sleep(0.01)
        server = listening.accept()[0]
    server.recv(1000)
    server.send(OK)
    assert (await first).status == 200
    Path(bench.path).unlink()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop, asked = asyncio.get_running_loop(), list[asyncio.Future[Outcome]]()

        def ask() -> None:
            loop.remove_reader(ours)
            asked.append(bench.begin())

        loop.add_reader(ours, ask)
        await asyncio.sleep(0)
        if close_first:
            server.close()
        theirs.send(b"x")
        server.close()
        while not asked:
            await asyncio.sleep(0)
        assert (await asked[0]).ending is Ending.REFUSED


async def test_close_ends_what_is_in_flight(bench: Bench) -> None:
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        seen.set()
        await reader.read()

    await bench.serve(serve)
    asked = bench.begin()
    await seen.wait()
    bench.runtime.close()
    assert (await asked).ending is Ending.CLOSED
    assert len(bench.deadlines) == 0


async def test_a_request_may_follow_from_the_answer_of_another(bench: Bench) -> None:
    await bench.answer(OK)
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    bench.runtime.post(
        b"/init", b"{}", ALLOWANCE, lambda _: bench.runtime.post(b"/run", b"{}", ALLOWANCE, done.set_result)
    )
    await done
    assert [request.split()[1] for request in bench.requests] == [b"/init", b"/run"]
    assert bench.connections == 1


async def test_big_requests_go_out_whole(bench: Bench) -> None:
    await bench.answer(OK)
    body = os.urandom(1 << 20).hex().encode()
    assert (await bench.post(body=body)).status == 200
    assert bench.requests[0].endswith(body)


@pytest.mark.parametrize(
    "test",
    [
        test_one_connection_serves_one_request_after_the_other,
        test_parallel_requests_take_a_connection_each,
        test_an_answer_in_single_bytes,
        test_a_server_that_closes_after_each_answer,
        test_bytes_that_nobody_asked_for_end_an_idle_connection,
        test_run_on_nobody_is_refused_at_once,
        test_a_refused_tcp_port,
        test_tcp_answers_too,
        test_init_waits_for_a_server_that_starts,
        test_init_gives_up_when_its_time_is_over,
        test_silence_times_out_and_ends_the_connection,
        partial(test_who_closes_in_the_turn_of_the_request_has_not_got_it, close_first=True),
        partial(test_who_closes_in_the_turn_of_the_request_has_not_got_it, close_first=False),
        test_close_ends_what_is_in_flight,
        test_a_request_may_follow_from_the_answer_of_another,
        test_big_requests_go_out_whole,
    ],
)
def test_the_same_on_uvloop(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with a_bench() as bench:
            await test(bench)

    uvloop.run(run())
