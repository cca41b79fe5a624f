"""How much of a container's output one turn of the loop takes on: counted, not timed."""

import asyncio
import contextlib
import os
import resource
from collections.abc import Awaitable, Callable, Iterator

import pytest

from upcall.containers.sandbox.output import Output
from upcall.logs import watch
from upcall.logs.pipes import TURNS
from upcall.logs.stream import LogStream
from upcall.logs.streams import STAMPED, Stream

LIMIT = 10 << 20
PIPE = 64 << 10
PER_READER = 3072
"""Lines that a pipe may give at a time."""


class Counting(LogStream):
    """Counts lines and reads since somebody has looked."""

    lines = 0
    reads = 0

    def feed(self, stream: Stream, data: bytes) -> None:
        self.lines += data.count(b"\n")
        self.reads += 1
        super().feed(stream, data)

    def looked(self) -> int:
        lines, self.lines = self.lines, 0
        return lines


class Turns:
    """The lines of each turn of the loop, while the block runs."""

    def __init__(self, stream: Counting) -> None:
        self._stream = stream
        self.lines: list[int] = []

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        self._turn()
        yield
        self._handle.cancel()
        self.lines.append(self._stream.looked())

    def _turn(self) -> None:
        self.lines.append(self._stream.looked())
        self._handle = asyncio.get_running_loop().call_soon(self._turn)


def filled(stream: LogStream, out: bytes, err: bytes = b"") -> tuple[Output, list[int]]:
    """An output that has these bytes in its pipes already; and what the container writes to."""
    output = Output(asyncio.get_running_loop(), stream)
    ends = [os.dup(fd) for fd in output.write_ends]
    for fd, data in zip(ends, (out, err), strict=True):
        assert os.write(fd, data) == len(data)
    return output, ends


FLOODS = (b"\n" * PIPE, b"x\n" * (PIPE // 2), (b"x" * 2047 + b"\n" * 2049) * (PIPE // 4096))


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_pass_over_the_pipes_takes_few_lines_of_a_flood(flood: bytes) -> None:
    stream = Counting(LIMIT)
    output, ends = filled(stream, flood, flood)
    found: list[int] = []
    for _ in range(TURNS):
        empty = output.drain()
        found.append(stream.looked())
        if empty:
            break
    assert empty
    assert max(found) <= 2 * PER_READER
    assert sum(found) == 2 * flood.count(b"\n") == len(stream.take(LIMIT).lines)
    await gone(output, ends)


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_that_is_read_as_it_comes_is_spread_over_turns(flood: bytes) -> None:
    stream = Counting(LIMIT)
    output, ends = filled(stream, flood, flood)
    turns = Turns(stream)
    with turns.counted():
        output.started()
        while sum(turns.lines) < 2 * flood.count(b"\n"):
            await asyncio.sleep(0)
    assert max(turns.lines) <= 2 * PER_READER
    await gone(output, ends)


@pytest.mark.parametrize("flood", FLOODS)
async def test_what_a_killed_container_leaves_is_read_over_turns_and_complete(flood: bytes) -> None:
    stream = Counting(LIMIT)
    output, ends = filled(stream, flood, b"last words\n")
    turns = Turns(stream)
    output.started()
    with turns.counted():
        await gone(output, ends)
    assert max(turns.lines) <= 2 * PER_READER
    lines = [line.partition(": ")[2] for line in stream.take(LIMIT).lines]
    lines.remove("last words")
    assert lines == flood.decode().removesuffix("\n").split("\n")


async def test_many_floods_share_what_a_turn_may_cost() -> None:
    many, flood = 16, b"\n" * (16 << 10)
    stream = Counting(4 * LIMIT)
    floods = [filled(stream, flood) for _ in range(many)]
    found, behind = [], True
    while behind:
        behind = False in [output.drain() for output, _ in floods]
        found.append(stream.looked())
    assert max(found[1:]) <= 16 << 10  # twice as many where each takes what it would take alone
    assert sum(found) == many * len(flood)
    for output, ends in floods:
        await gone(output, ends)


async def test_a_writer_that_never_ends_is_not_followed_for_ever() -> None:
    stream = Counting(LIMIT)
    output, ends = filled(stream, b"")
    os.set_blocking(ends[0], False)
    passes = 0

    def more() -> None:
        nonlocal passes
        passes += 1
        with contextlib.suppress(BlockingIOError):  # it writes faster than anybody reads
            os.write(ends[0], b"\n" * 4096)
        again.append(asyncio.get_running_loop().call_soon(more))

    again = [asyncio.get_running_loop().call_soon(more)]
    await asyncio.sleep(0)
    await output.close()
    again[-1].cancel()
    assert passes <= TURNS + 1
    await gone(output, ends)


async def test_output_in_long_lines_is_read_at_once() -> None:
    stream = Counting(LIMIT)
    output, ends = filled(stream, (b"x" * 1023 + b"\n") * 12)
    assert output.drain()
    assert len(stream.take(LIMIT).lines) == 12
    await gone(output, ends)


async def test_a_line_or_none_costs_one_read_or_none() -> None:
    stream = Counting(LIMIT)
    output, ends = filled(stream, b"hello\n")
    assert output.drain()
    assert stream.reads == 1
    assert output.drain()
    assert stream.reads == 1
    await gone(output, ends)


async def gone(output: Output, ends: list[int]) -> None:
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)
    await output.close()


@pytest.mark.parametrize("room", [1, 2, 3])
async def test_where_no_more_files_may_be_open_those_of_half_an_output_are_closed(room: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = os.listdir("/proc/self/fd")
    highest = max(map(int, before))
    fill = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fill) + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                fill.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(room):
            os.close(fill.pop())
        with pytest.raises(OSError, match="Too many open files"):
            Output(asyncio.get_running_loop(), LogStream(LIMIT))
    finally:
        for fd in fill:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir("/proc/self/fd") == before


@contextlib.contextmanager
def rested(output: Output, ends: list[int]) -> Iterator[Callable[[int, bytes], Awaitable[None]]]:
    """Writes to one stream, and waits until that can be read or the loop rests."""
    for fd in output.write_ends:
        os.close(fd)
    output.write_ends = []
    output.started()

    async def write(stream: int, data: bytes) -> None:
        os.write(ends[stream], data)
        for _ in range(5):
            await asyncio.sleep(0.001)

    try:
        yield write
    finally:
        for fd in ends:
            os.close(fd)


TURNS_OF_BOTH = b"0\n", b"1\n", b"2\n"
AS_WRITTEN = ["stdout: 0", "stderr: 1", "stdout: 2"]


async def printed(write: Callable[[int, bytes], Awaitable[None]], output: Output, stream: LogStream) -> list[str]:
    for number, data in enumerate(TURNS_OF_BOTH):
        await write(number % 2, data)
    assert output.drain()
    return [line[STAMPED:] for line in stream.take(LIMIT).lines]


async def test_streams_whose_order_nobody_tells_are_read_as_they_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "REST", 3600.0)
    stream = LogStream(LIMIT)
    output = Output(asyncio.get_running_loop(), stream, told=False)
    ends = [os.dup(fd) for fd in output.write_ends]
    with rested(output, ends) as write:
        for _ in range(3):
            assert await printed(write, output, stream) == AS_WRITTEN
        await output.close()


async def test_so_are_those_whose_order_is_told_wrongly_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subprocesses write beside a runtime that counts what it writes itself."""
    monkeypatch.setattr(watch, "REST", 3600.0)
    stream = LogStream(LIMIT)
    output, ends = filled(stream, b"before\n")
    with rested(output, ends) as write:
        await write(1, b"\0order 1 0\n")
        output.drain()
        assert [line[STAMPED:] for line in stream.take(LIMIT).lines] == ["stdout: before"]
        assert not stream.guessed, "it was told"
        assert await printed(write, output, stream) != AS_WRITTEN, "the loop rests"
        assert stream.guessed
        output.attend()
        for _ in range(3):
            assert await printed(write, output, stream) == AS_WRITTEN
        await output.close()
