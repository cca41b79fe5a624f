"""Heads of answers that come again, and what then follows them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.invoker.test_runtime import Bench, a_bench
from upcall.containers.fake import Reply, encoded
from upcall.core.outcome import Ending
from upcall.invoker import heads
from upcall.invoker.runtime import Runtime

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    heads.known.clear()
    async with a_bench() as bench:
        yield bench


async def test_a_head_that_comes_again_needs_no_parser(bench: Bench) -> None:
    await bench.answer(HEAD + b"{}", HEAD + b"[]")
    assert (await bench.post()).body == b"{}"
    assert heads.known == {HEAD: 2}
    (connection,) = bench.runtime.free
    connection._parser = None  # type: ignore[assignment]
    outcome = await bench.post()
    assert (outcome.ending, outcome.status, outcome.body, outcome.length) == (Ending.ANSWERED, 200, b"[]", 2)
    assert bench.connections == 1


async def test_a_body_that_comes_later_or_in_pieces_is_waited_for(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        writer.write(HEAD + b"{}")
        for pieces in ([HEAD, b"[]"], [HEAD[:9], HEAD[9:] + b"1", b"2"]):
            await bench.request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)

    await bench.serve(serve)
    assert [(await bench.post()).body for _ in range(3)] == [b"{}", b"[]", b"12"]


async def test_what_follows_a_known_answer_ends_the_connection(bench: Bench) -> None:
    await bench.answer(HEAD + b"{}", HEAD + b"[]" + HEAD + b"{}")
    assert [(await bench.post()).body for _ in range(3)] == [b"{}", b"[]", b"{}"]
    assert bench.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        encoded(Reply(body=b"x" * 8, chunked=True)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: %b\r\n\r\n{}" % (b"y" * 500),
        HEAD + b"{}" + HEAD + b"{}",
    ],
    ids=["chunked", "closes", "an error", "more than one head", "long", "more than one answer"],
)
async def test_what_says_more_than_a_length_is_left_to_the_parser(bench: Bench, reply: bytes) -> None:
    await bench.answer(reply)
    for _ in range(2):
        assert (await bench.post()).ending is Ending.ANSWERED
    assert heads.known == {}


async def test_they_are_bounded_and_of_all_runtimes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_MOST", 2)
    for number in range(5):
        heads.learn(b"HTTP/1.1 200 OK\r\nX: %d\r\n\r\n" % number, 0)
        assert len(heads.known) <= 2
    heads.known.clear()
    await bench.answer(HEAD + b"{}")
    await bench.post()
    other = Runtime(bench.runtime._address, bench.deadlines)
    bench.runtime.close()
    bench.runtime = other
    assert (await bench.post()).body == b"{}"
    assert heads.known == {HEAD: 2}
