"""Lines that end an activation: where they may stand, whose they are, what they cost (spec: logs.md §1, §2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.logs.sentinels import SENTINEL, TEXT, prefix
from upcall.logs.stream import LogStream
from upcall.logs.streams import STREAMS
from upcall.model import texts

MB = 1 << 20
MISSING = f"stderr: {texts.LOGS_MISSING}"
LINE = SENTINEL + b"\n"


def a_stream(bound: int = MB) -> LogStream:
    return LogStream(bound, sentinel=True)


def taken(stream: LogStream, complete: bool = True, limit: int = MB) -> list[str]:
    return [line[31:] for line in stream.take(limit, complete).lines]


def ends(stream: LogStream) -> None:
    for name in STREAMS:
        stream.feed(name, LINE)


def test_two_of_one_stream_do_not_end_the_other() -> None:
    stream = a_stream()
    stream.feed("stdout", LINE + LINE)
    assert not stream.ended
    stream.feed("stderr", LINE)
    assert stream.ended


@pytest.mark.parametrize("line", [f"{TEXT}\r", f"{TEXT} and more", f"{TEXT}{TEXT}"])
def test_a_line_that_contains_it_counts_and_is_not_shown(line: str) -> None:
    stream = a_stream()
    for name in STREAMS:
        stream.feed(name, line.encode() + b"\n")
    assert stream.ended
    assert taken(stream) == []


def test_what_stands_before_it_on_its_line_is_a_line() -> None:
    stream = a_stream()
    stream.feed("stdout", b"no newline" + LINE)
    stream.feed("stderr", LINE)
    assert taken(stream) == ["stdout: no newline"]


def test_what_came_by_the_time_it_is_taken_is_this_activations() -> None:
    stream = a_stream()
    ends(stream)
    stream.feed("stdout", b"after\n")
    assert taken(stream) == ["stdout: after"]
    ends(stream)
    assert taken(stream) == []


def test_a_late_sentinel_and_what_comes_before_it_are_not_the_next_ones() -> None:
    stream = a_stream()
    stream.feed("stdout", b"first\n")
    stream.feed("stderr", LINE)
    assert taken(stream) == ["stdout: first", MISSING]
    stream.feed("stdout", b"late\n" + LINE + b"second\n")
    stream.feed("stderr", b"error\n" + LINE)
    assert not stream.ended
    stream.feed("stdout", LINE)
    assert stream.ended
    assert taken(stream) == ["stdout: second", "stderr: error"]
    ends(stream)
    assert stream.ended


def test_one_that_never_comes_is_owed_by_one_activation_alone() -> None:
    stream = a_stream()
    stream.feed("stdout", LINE)
    assert taken(stream) == [MISSING]
    stream.feed("stderr", b"second\n")
    ends(stream)
    assert not stream.ended, "it may be the one before's"
    assert taken(stream) == ["stderr: second"]
    ends(stream)
    assert stream.ended


def test_where_none_is_due_none_is_owed() -> None:
    stream = a_stream()
    assert taken(stream, complete=False) == []
    ends(stream)
    assert stream.ended


def test_the_earlier_ones_lines_do_not_count_towards_the_limit() -> None:
    stream = a_stream()
    taken(stream)
    stream.feed("stdout", b"x" * 500 + b"\n" + LINE + b"mine\n" + LINE)
    stream.feed("stderr", LINE + LINE)
    assert taken(stream, limit=200) == ["stdout: mine"]


def test_it_is_found_behind_what_was_dropped_however_it_is_cut() -> None:
    stream = a_stream(100)
    stream.feed("stdout", b"x\n" * 100)
    assert stream.full
    for byte in b"x\n" + LINE:
        stream.feed("stdout", bytes([byte]))
    stream.feed("stderr", b"y" * 5000 + LINE)
    assert stream.ended
    assert taken(stream, limit=100)[-1] == f"stderr: {texts.logs_truncated(100)}"


@pytest.mark.parametrize("before", range(16384 - len(SENTINEL) - 1, 16384 + 3))
def test_it_is_found_where_a_long_line_is_cut(before: int) -> None:
    stream = a_stream()
    for name in STREAMS:
        stream.feed(name, b"x" * before + SENTINEL[:20])
        stream.feed(name, SENTINEL[20:] + b"x" * 20_000 + b"\n")
    assert stream.ended
    lines = taken(stream)
    assert sum(line.count("x") for line in lines) == 2 * before
    assert not any("XXX" in line for line in lines)


@given(st.binary(max_size=60), st.integers(0, len(SENTINEL) - 1))
def test_the_longest_beginning_of_one_is_known(data: bytes, size: int) -> None:
    found = prefix(data + SENTINEL[:size])
    assert found >= size
    assert (data + SENTINEL[:size]).endswith(SENTINEL[:found])


@given(st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(1, 50)), min_size=1, max_size=40))
def test_it_does_not_matter_how_output_is_cut(cuts: list[tuple[str, int]]) -> None:
    whole = dict.fromkeys(STREAMS, b"one\ntwo " + LINE + b"three\nfour\n")
    left, cut, at_once = dict(whole), a_stream(), a_stream()
    for name in STREAMS:
        for stream, size in cuts:
            if stream == name and left[name]:
                cut.feed(name, left[name][:size])
                left[name] = left[name][size:]
        cut.feed(name, left[name])
        at_once.feed(name, whole[name])
    assert taken(cut) == taken(at_once)
