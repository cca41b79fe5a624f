"""The container client against user code that writes to its own connection: whatever it says is an end, once, of its
own activation alone; the loop goes on, and the next request works."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.invoker.test_runtime import ALLOWANCE, OK, Bench, a_bench
from upcall.core.outcome import Ending, Outcome
from upcall.invoker.call import Allowance

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = Allowance(0.05, ALLOWANCE.limit, ALLOWANCE.truncation)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with a_bench() as made:
        yield made


async def said(bench: Bench, text: bytes, allowance: Allowance = ALLOWANCE) -> Outcome:
    """What one request comes to when `text` is the answer, and that the one after it is answered."""
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    replies = [text]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await bench.request(reader)
            writer.write(replies.pop() if replies else OK)
            await writer.drain()

    await bench.serve(serve)
    outcome = await bench.post(allowance=allowance)
    for _ in range(3):  # bytes that came too many may be taken for one answer more
        last = await bench.post(allowance=allowance)
    assert (last.ending, last.body) == (Ending.ANSWERED, b"{}")
    assert troubles == []
    return outcome


@pytest.mark.parametrize(
    "text",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 5000,
        b"GET / HTTP/1.1\r\nHost: you\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD + b"No colon\r\n\r\n",
        HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}{}{}\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
    ],
)
async def test_what_is_no_answer_ends_the_request_at_once(bench: Bench, text: bytes) -> None:
    outcome = await said(bench, text)
    assert (outcome.ending, outcome.body) == (Ending.CLOSED, b"")


@pytest.mark.parametrize(
    ("text", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 999 \r\nContent-Length: 2\r\n\r\n{}", 999, b"{}"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"{}"),
        (CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n", 200, b"{}"),
        (HEAD + b"Content-Length: 2\r\n\r\n{}" + HEAD + b"Content-Length: 1\r\n\r\n1", 200, b"{}"),
        (HEAD + b"Content-Length: 2\r\n\r\n{}and more", 200, b"{}"),
    ],
)
async def test_an_odd_answer_is_one(bench: Bench, text: bytes, status: int, body: bytes) -> None:
    outcome = await said(bench, text)
    assert (outcome.ending, outcome.status, outcome.body) == (Ending.ANSWERED, status, body)


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + b"Content-Length: 5\r\n\r\n{}",
        CHUNKED + b"2\r\n{}\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_without_an_end_is_waited_for_until_the_deadline(bench: Bench, text: bytes) -> None:
    assert (await said(bench, text, SHORT)).ending is Ending.TIMED_OUT


PARTS = st.sampled_from(
    [
        OK, HEAD, CHUNKED, b"HTTP/1.1 ", b"HTTP/1.1 100 \r\n\r\n", b"HTTP/1.1 101 \r\nUpgrade: x\r\n\r\n", b"\r\n",
        b"\r\n\r\n", b"Content-Length: 7\r\n", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n", b"3\r\nabc\r\n", b"{}", b"x" * 1100, b"\0", b"\xff\xfe",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(PARTS, st.binary(max_size=20)), max_size=8), st.booleans())
def test_whatever_is_said_ends_the_request_once_and_harms_nobody(parts: list[bytes], close: bool) -> None:
    async def run() -> list[Outcome]:
        troubles: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with a_bench() as bench:
            ends: list[Outcome] = []
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(bench.path)
                server.listen()
                server.setblocking(False)
                bench.runtime.post(b"/run", b"{}", SHORT, ends.append)
                connection, _ = await asyncio.get_running_loop().sock_accept(server)
                with connection:
                    for part in parts:
                        try:
                            connection.send(part)
                        except OSError:
                            break
                        await asyncio.sleep(0)
                    if not close:
                        while not ends:
                            await asyncio.sleep(0.001)
                while not ends:
                    await asyncio.sleep(0.001)
            assert not bench.runtime._calls
            assert all(one.closing is False for one in bench.runtime.free)
        assert troubles == []
        return ends

    assert len(asyncio.run(run())) == 1
