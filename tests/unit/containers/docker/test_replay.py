"""A stream that is read from its beginning once more gives each line once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.containers.docker.replay import Replay, Seen


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return [*parts, data[at:]]


CUTS = st.lists(st.integers(0, 30), max_size=20)


@given(
    st.lists(st.sampled_from([b"\n", b"a", b"bb\n", b"\n\n", b"long line\n"]), max_size=40),
    st.integers(0, 200),
    CUTS,
    CUTS,
)
def test_what_was_seen_is_left_out_however_either_is_cut(
    pieces: list[bytes], seen: int, first: list[int], again: list[int]
) -> None:
    whole = b"".join(pieces)
    seen %= len(whole) + 1
    so_far = Seen()
    for part in cut(whole[:seen], first):
        so_far.add(part)
    replay = Replay(so_far)
    assert replay.done == (not whole[:seen])
    assert b"".join(replay.new(part) for part in cut(whole, again)) == whole[seen:]
    assert replay.done


def test_what_the_engine_has_replaced_does_not_shift_it() -> None:
    """Its log has three bytes for each that is no UTF-8."""
    seen = Seen()
    seen.add(b"\xff\xff\xff\none\n")
    assert Replay(seen).new("\ufffd\ufffd\ufffd\none\ntwo\n".encode()) == b"two\n"


def parts(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def numbered(*ranges: range) -> bytes:
    return b"".join(b"%d\n" % number for each in ranges for number in each)


@pytest.mark.parametrize("size", [1, 100, 5000])
@pytest.mark.parametrize("lost", [1, 50])
def test_what_the_engine_did_not_log_hides_nothing_that_came_after(size: int, lost: int) -> None:
    seen = Seen()
    for part in parts(numbered(range(1000)), size):
        seen.add(part)
    replay = Replay(seen)
    logged = numbered(range(1000 - lost), range(1000, 2000))
    found = b"".join(replay.new(part) for part in parts(logged, size))
    assert found == numbered(range(1000, 2000))
