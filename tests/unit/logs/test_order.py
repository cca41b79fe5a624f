"""Lines of two streams in the order that the runtime tells (upcall.runtimes.python.order), or as they were read."""

import io
import os
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.logs.order import MARK as ORDER
from upcall.logs.stream import LogStream
from upcall.logs.streams import Stream
from upcall.model import texts
from upcall.runtimes.python.order import MARK, Order

MB = 1 << 20


def told(out: bytes, err: bytes, limit: int = MB) -> list[str]:
    """The lines, stdout read first, times left out."""
    stream = LogStream(MB)
    stream.feed("stdout", out)
    stream.feed("stderr", err)
    lines = stream.take(limit).lines
    assert sorted(line[:31] for line in lines) == [line[:31] for line in lines]
    return [line[31:] for line in lines]


def test_the_platform_reads_what_the_runtime_writes() -> None:
    assert MARK == ORDER


def test_lines_are_put_in_the_order_that_was_told() -> None:
    assert told(b"a\nc\n", b"b\n\0order 1 1 1\n") == ["stdout: a", "stderr: b", "stdout: c"]
    assert told(b"c\n", b"a\nb\nd\n\0order 0 2 1 1\n") == ["stderr: a", "stderr: b", "stdout: c", "stderr: d"]


def test_what_is_told_in_parts_is_put_together() -> None:
    found = told(b"a\nb\ne\n", b"c\nd\n\0order 2\n\0order 0 2 1\n")
    assert found == ["stdout: a", "stdout: b", "stderr: c", "stderr: d", "stdout: e"]


@pytest.mark.parametrize("turns", [b"1 1", b"1 2", b"3 1", b"", b"x", b"1 -1 1", b"1 1 1 9999999999999", b"1  1 1"])
def test_numbers_of_other_lines_change_nothing(turns: bytes) -> None:
    assert told(b"a\nc\n", b"b\n\0order " + turns + b"\n") == ["stdout: a", "stdout: c", "stderr: b"]


def test_a_piece_of_a_long_line_stays_with_its_rest_and_an_unended_line_is_the_last() -> None:
    long, unended = b"x" * 40_000, b"not ended"
    found = told(long + b"\nz", b"b\n" + unended + b"\0order 0 1 1\n")
    assert [len(line) - 8 for line in found] == [1, 16384, 16384, 7232, 1, 9]
    assert (found[0], found[4], found[5]) == ("stderr: b", "stdout: z", "stderr: not ended")


def test_the_limit_cuts_what_was_put_in_order() -> None:
    found = told(b"a\n" + b"x" * 500 + b"\n", b"b\n\0order 1 1 1\n", limit=250)
    assert found == ["stdout: a", "stderr: b", f"stderr: {texts.logs_truncated(250)}"]


def test_who_tells_without_end_takes_no_memory() -> None:
    stream, many = LogStream(MB), b"\0order 123456789 123456789\n" * 70
    tracemalloc.start()
    try:
        for _ in range(4000):
            stream.feed("stderr", many)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    stream.feed("stderr", b"b\n")
    assert kept < 4 * MB  # 20 MB of what was told
    assert [line[31:] for line in stream.take(MB).lines] == ["stderr: b"]


def test_what_was_told_is_of_one_activation_alone() -> None:
    stream = LogStream(MB)
    stream.feed("stderr", b"b\n\0order 1 1\n")
    assert len(stream.take(MB).lines) == 1
    parts: list[tuple[Stream, bytes]] = [("stderr", b"d\n"), ("stdout", b"c\n")]
    for name, data in parts:
        stream.feed(name, data)
    assert [line[31:] for line in stream.take(MB).lines] == ["stderr: d", "stdout: c"]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=2000))
def test_any_history_of_lines_comes_out_as_it_was(history: list[tuple[int, int]]) -> None:
    reader, writer = os.pipe()
    expected: list[str] = []
    order, pipes = Order(), [bytearray(), bytearray()]
    order._pipes = (-1, writer)
    try:
        for stream, lines in history:
            order.note(stream, b"\n" * lines)
            for _ in range(lines):
                text = f"{len(expected)}"
                expected.append(f"{('stdout', 'stderr')[stream]}: {text}")
                pipes[stream] += f"{text}\n".encode()
        order.end(last=True)
    finally:
        os.close(writer)
    with open(reader, "rb") as file:
        pipes[1] += file.read()
    assert told(bytes(pipes[0]), bytes(pipes[1])) == sorted(expected, key=lambda line: int(line[8:]))


def test_a_history_beyond_all_measure_is_not_told_and_the_next_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data))
    order = Order()
    order._pipes = (-1, 2)
    for _ in range(20_000):
        order.note(0, b"\n")
        order.note(1, b"\n")
    assert len(order._turns) < 20_000
    order.end(last=True)
    assert written == []
    order.note(1, b"\n")
    order.note(0, b"\n")
    order.end(last=True)
    assert written == [b"\0order 0 1 1\n"]


def test_one_stream_alone_needs_no_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "write")
    order = Order()
    for stream in (0, 1):
        order.note(stream, b"1\n2\n3\n")
        order.end(last=True)
    assert order._turns == [0]


def test_the_streams_are_text_as_the_interpreters_are(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: getattr(sys, f"__{name}__") for name in ("stdout", "stderr")}
    for name, stream in before.items():
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, f"__{name}__", stream)
    Order().follow()
    for name in before:
        made = getattr(sys, name)
        assert made is getattr(sys, f"__{name}__")
        assert isinstance(made, io.TextIOWrapper)
        assert (made.name, made.mode, made.encoding, made.line_buffering) == (f"<{name}>", "w", "utf-8", True)
    assert (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
