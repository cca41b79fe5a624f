"""Log lines from pieces of output (spec: logs.md §1-§4)."""

import json

import pytest

from upcall.logs.sentinels import TEXT as SENTINEL
from upcall.logs.stream import LogStream
from upcall.logs.streams import Stream, entry, stamp
from upcall.model import texts

NOW = 1_767_323_045_123_456_789
AT = "2026-01-02T03:04:05.123456789Z"
MB = 1 << 20


def a_stream(bound: int = MB, sentinel: bool = False) -> LogStream:
    return LogStream(bound, sentinel, clock=lambda: NOW)


def docker_size(text: str, stream: str = "stdout") -> int:
    record = {"log": text + "\n", "stream": stream, "time": AT}
    return len(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()) + 1


def test_a_time_has_nine_digits_and_an_entry_is_padded_to_thirty_characters() -> None:
    assert stamp(NOW) == AT
    assert stamp(NOW // 1_000_000_000 * 1_000_000_000 + 5) == "2026-01-02T03:04:05.000000005Z"
    assert entry(NOW, "stderr", "x") == f"{AT} stderr: x"


def test_lines_keep_the_order_in_which_they_were_read_over_both_streams() -> None:
    stream = a_stream()
    parts: list[tuple[Stream, bytes]] = [("stdout", b"one\n"), ("stderr", b"two\n"), ("stdout", b"three\n")]
    for name, data in parts:
        stream.feed(name, data)
    assert stream.take(MB).lines == [f"{AT} stdout: one", f"{AT} stderr: two", f"{AT} stdout: three"]


def test_a_line_split_over_reads_and_inside_a_character_is_one_entry() -> None:
    stream = a_stream()
    snow = "snow ☃ man\n".encode()
    for byte in snow:
        stream.feed("stdout", bytes([byte]))
    assert stream.take(MB).lines == [f"{AT} stdout: snow ☃ man"]


def test_an_incomplete_last_line_is_an_entry_when_taken_and_not_joined_to_what_follows() -> None:
    stream = a_stream()
    stream.feed("stdout", b"no newline")
    assert stream.take(MB).lines == [f"{AT} stdout: no newline"]
    stream.feed("stdout", b"next\n")
    assert stream.take(MB).lines == [f"{AT} stdout: next"]


def test_a_carriage_return_before_the_newline_goes_and_an_empty_line_stays() -> None:
    stream = a_stream()
    stream.feed("stdout", b"dos\r\n\n")
    assert stream.take(MB).lines == [f"{AT} stdout: dos", f"{AT} stdout: "]


def test_what_was_taken_does_not_come_again() -> None:
    stream = a_stream()
    stream.feed("stdout", b"one\n")
    stream.take(MB)
    assert stream.take(MB).lines == []


def test_a_line_over_16_kib_becomes_entries_cut_between_characters() -> None:
    stream = a_stream()
    text = "x" + "é" * 20_000
    stream.feed("stdout", text.encode() + b"\n")
    pieces = [line.partition(": ")[2] for line in stream.take(MB).lines]
    assert "".join(pieces) == text
    assert [len(piece.encode()) for piece in pieces] == [16383, 16384, 7234]


def test_a_sum_equal_to_the_limit_is_fine_and_one_byte_less_cuts_the_line_that_crosses() -> None:
    size = docker_size("hello") + docker_size('a "quote"')
    for limit, kept in ((size, 2), (size - 1, 1)):
        stream = a_stream()
        stream.feed("stdout", b'hello\na "quote"\n')
        taken = stream.take(limit)
        expected = [f"{AT} stdout: hello", f'{AT} stdout: a "quote"'][:kept]
        if kept == 1:
            text = f"Logs were truncated because the total bytes size exceeds the limit of {limit} bytes."
            expected.append(f"{AT} stderr: {text}")
        assert taken.lines == expected
        assert not taken.failed


def test_after_a_truncated_activation_the_next_one_starts_anew() -> None:
    stream = a_stream(bound=200)
    stream.feed("stdout", b"x\n" * 1000)
    assert stream.full
    assert "truncated" in stream.take(200).lines[-1]
    stream.feed("stdout", b"y\n")
    assert stream.take(200).lines == [f"{AT} stdout: y"]


def test_what_is_kept_of_a_flood_is_bounded_whatever_its_form() -> None:
    for flood in (b"\n" * 8192, b"x" * 8192):
        stream = a_stream(bound=MB)
        for _ in range(12_800):
            stream.feed("stdout", flood)
        lines = stream.take(MB).lines
        assert sum(map(len, lines)) < 2 * MB
        assert "truncated" in lines[-1]


def test_limit_zero_gives_nothing_and_forgets_it() -> None:
    stream = a_stream()
    stream.feed("stdout", b"x\ny")
    assert stream.take(0).lines == []
    assert stream.take(MB).lines == []


def test_both_sentinels_end_an_activation_and_are_not_lines() -> None:
    stream = a_stream(sentinel=True)
    stream.feed("stdout", f"hello\n{SENTINEL[:10]}".encode())
    stream.feed("stdout", f"{SENTINEL[10:]}\n".encode())
    assert not stream.ended
    stream.feed("stderr", f"{SENTINEL}\n".encode())
    assert stream.ended
    assert stream.take(MB).lines == [f"{AT} stdout: hello"]
    assert not stream.ended


@pytest.mark.parametrize(("complete", "failed"), [(True, True), (False, False)])
def test_a_missing_sentinel_is_a_collection_error_only_where_it_is_due(complete: bool, failed: bool) -> None:
    stream = a_stream(sentinel=True)
    stream.feed("stdout", f"hello\n{SENTINEL}\n".encode())
    taken = stream.take(MB, complete)
    assert taken.failed is failed
    assert taken.lines == [f"{AT} stdout: hello", *([f"{AT} stderr: {texts.LOGS_MISSING}"] if failed else [])]


def test_sentinels_are_found_behind_a_flood_that_was_cut() -> None:
    stream = a_stream(bound=100, sentinel=True)
    stream.feed("stdout", b"x\n" * 1000 + f"{SENTINEL}\n".encode())
    stream.feed("stderr", f"{SENTINEL}\n".encode())
    assert stream.ended
    assert not stream.take(100).failed


def test_an_action_that_prints_the_sentinel_to_a_runtime_without_them_sees_it_in_its_log() -> None:
    stream = a_stream()
    stream.feed("stdout", f"{SENTINEL}\n".encode())
    assert stream.take(MB).lines == [f"{AT} stdout: {SENTINEL}"]
