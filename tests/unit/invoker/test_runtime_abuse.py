"""The container client against servers that mean harm: the loop's time and the platform's memory are everybody's."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from tests.unit.invoker.test_runtime import ALLOWANCE, Bench, a_bench
from upcall.core.outcome import Ending
from upcall.invoker import call
from upcall.invoker.call import Allowance

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with a_bench() as made:
        yield made


async def flood(bench: Bench, head: bytes, piece: bytes) -> None:
    """A server that answers with `head` and then `piece` for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bench.request(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    await bench.serve(serve)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD, b"X-A: b\r\n" * 2000),
        (HEAD + b"X-A: ", b"b" * 16384),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
        (CHUNKED, b"1\r\na\r\n" * 2000),
        (CHUNKED + b"1;", b"x" * 16384),
    ],
    ids=["headers", "one header", "provisional answers", "tiny chunks", "an extension of a chunk"],
)
async def test_an_answer_of_nothing_but_overhead_is_given_up(bench: Bench, head: bytes, piece: bytes) -> None:
    await flood(bench, head, piece)
    outcome = await bench.post()
    assert outcome.ending is Ending.CLOSED
    assert outcome.elapsed < ALLOWANCE.timeout / 2


@pytest.mark.parametrize("head", [HEAD + b"Content-Length: 1000000000000\r\n\r\n", CHUNKED])
async def test_an_endless_body_is_cut_and_not_read_to_its_end(
    bench: Bench, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "_ENOUGH", 1 << 20)
    await flood(bench, head, b"2000\r\n" + b"a" * 0x2000 + b"\r\n")
    outcome = await bench.post()
    assert (outcome.ending, outcome.status, outcome.truncated) == (Ending.ANSWERED, 200, True)
    assert 1 << 20 < outcome.length < 2 << 20
    assert len(outcome.body) == ALLOWANCE.truncation


async def test_a_body_in_tiny_chunks_costs_no_more_memory_than_its_bytes(bench: Bench) -> None:
    size = 200_000
    await bench.answer(CHUNKED + b"2\r\nab\r\n" * (size // 2) + b"0\r\n\r\n")
    tracemalloc.start()
    try:
        outcome = await bench.post(allowance=Allowance(10.0, size, 100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.body == b"ab" * (size // 2)
    assert peak < 3_000_000  # the request, the server's buffers and three copies; kept as chunks it is 5,000,000 more


async def test_an_upgrade_that_nobody_asked_for_is_no_answer_and_no_fault_of_ours(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.answer(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    assert (await bench.post()).ending is Ending.CLOSED
    assert not caplog.records
