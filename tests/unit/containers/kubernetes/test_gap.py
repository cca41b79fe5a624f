"""What was printed while nobody read is found in the log, neither lost nor twice."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.containers.kubernetes.gap import KEPT, Line, Seen, Stamped, moment

SECOND = 1_000_000_000


def log(texts: Sequence[str]) -> list[Line]:
    """One line a second."""
    return [Line(SECOND * at, text.encode()) for at, text in enumerate(texts, 1)]


def seen(texts: Sequence[str], at: int | None = None) -> Seen:
    found = Seen()
    for number, text in enumerate(texts, 1):
        found.add("stdout", f"{text}\n".encode(), SECOND * (number if at is None else at))
    return found


def new(texts: Sequence[str], read: int, whole: bool = True) -> list[str]:
    return [line.text.decode() for line in seen(texts[:read]).new(log(texts), whole)]


def test_of_what_nobody_has_read_all_is_new() -> None:
    assert new(["a", "b"], 0) == ["a", "b"]


@given(st.lists(st.sampled_from("abc"), max_size=20), st.data())
def test_of_a_whole_log_what_is_behind_what_was_read_is_new(texts: list[str], data: st.DataObject) -> None:
    read = data.draw(st.integers(0, len(texts)))
    found = seen(texts[:read], at=1).new(log(texts), whole=True)  # the node's clock is ahead
    assert [line.text.decode() for line in found] == texts[read:]


@given(st.integers(1, 600), st.integers(0, 20))
def test_of_a_log_whose_beginning_is_gone_too(read: int, missed: int) -> None:
    texts = [f"{n}" for n in range(read + missed)]
    lines = log(texts)[max(read - 10, 0) :]
    assert [line.text.decode() for line in seen(texts[:read]).new(lines, whole=False)] == texts[read:]


def test_a_log_that_repeats_itself_and_lost_its_beginning_goes_by_the_time() -> None:
    texts = ["tick"] * 2000
    lines = log(texts)[1000:]
    assert len(seen(texts[:1990]).new(lines, whole=False)) == 10


def test_of_a_log_that_has_nothing_of_what_was_read_all_is_new() -> None:
    assert len(seen(["x", "y"], at=1).new(log(["a", "b"]), whole=False)) == 2


@given(st.lists(st.sampled_from(["out", "err", "tick"]), min_size=1, max_size=12), st.integers(1, 5))
def test_the_order_of_the_streams_does_not_matter(texts: list[str], missed: int) -> None:
    found = Seen()
    for stream in ("stderr", "stdout"):
        mine = [text for text in texts if (text == "err") == (stream == "stderr")]
        found.add(stream, "".join(f"{text}\n" for text in mine).encode(), SECOND * len(texts))
    assert len(found.new(log([*texts, *["more"] * missed]), whole=True)) == missed


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=60), st.lists(st.integers(0, 40), max_size=20))
def test_lines_are_known_however_they_were_cut(texts: list[bytes], cuts: list[int]) -> None:
    texts = [text.replace(b"\n", b"x") for text in texts]
    data, found = b"".join(text + b"\n" for text in texts), Seen()
    for cut in cuts:
        found.add("stdout", data[:cut], 0)
        data = data[cut:]
    found.add("stdout", data, 0)
    assert found.lines == len(texts)
    assert not found.new([Line(0, text) for text in texts], whole=True)


def test_a_flood_in_one_piece_leaves_its_last_lines_known() -> None:
    texts = [f"{n}" for n in range(3 * KEPT)]
    found = Seen()
    found.add("stdout", "".join(f"{text}\n" for text in texts).encode(), SECOND * len(texts))
    assert [line.text for line in found.new(log([*texts, "new"])[2 * KEPT :], whole=False)] == [b"new"]


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("1970-01-01T00:00:01.000000002Z", SECOND + 2),
        ("1970-01-01T00:00:01.5Z", SECOND + SECOND // 2),
        ("1970-01-01T02:00:01.123456789+02:00", SECOND + 123456789),
        ("1970-01-01T00:00:01Z", SECOND),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_times_are_read_to_the_nanosecond(stamp: str, expected: int) -> None:
    assert moment(stamp) == expected


def test_a_log_that_comes_in_pieces_is_the_same() -> None:
    data = b"1970-01-01T00:00:01Z a b\n1970-01-01T00:00:02Z \n1970-01-01T00:00:03Z c"
    for size in range(1, 30):
        stamped = Stamped()
        found = [line for at in range(0, len(data), size) for line in stamped.feed(data[at : at + size])]
        assert found == [Line(SECOND, b"a b"), Line(2 * SECOND, b"")]


def test_a_line_without_an_end_does_not_take_memory() -> None:
    stamped, size, pieces = Stamped(), 0, []
    stamped.feed(b"1970-01-01T00:00:01Z ")
    for _ in range(100):
        pieces += stamped.feed(b"x" * 10_000)
        size = max(size, len(stamped._part))
    pieces += stamped.feed(b"\n1970-01-01T00:00:02Z b\n")
    assert size < 80_000
    assert b"".join(line.text for line in pieces[:-1]) == b"x" * 1_000_000
    assert {line.at for line in pieces[:-1]} == {SECOND}
    assert [line.ended for line in pieces][-2:] == [True, True]
