"""The last line of a program's output, however it comes in pieces."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.runtimes.native import tail
from upcall.runtimes.native.tail import Tail, read_to_end


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """What went to the log."""
    found = bytearray()
    monkeypatch.setattr(tail, "log", lambda data, fd: found.extend(data))
    return found


@given(st.lists(st.text("a{ \n", min_size=1).map(str.encode)))
def test_the_last_line_is_held_if_it_may_be_a_result_wherever_the_pieces_end(pieces: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        gone = bytearray()
        patch.setattr(tail, "log", lambda data, fd: gone.extend(data))
        held = Tail()
        for piece in pieces:
            held.feed(piece)
        whole = b"".join(pieces)
        last = whole.rfind(b"\n", 0, -1) + 1
        if whole[last:].lstrip()[:1] == b"a":
            last = len(whole)
        assert (bytes(gone), bytes(held.held)) == (whole[:last], whole[last:])


def test_a_line_that_is_too_long_is_let_go_and_only_the_next_one_is_whole(
    released: bytearray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "LONGEST", 4)
    held = Tail()
    steps = [(b"{bcd", False), (b"e", True), (b"f", True), (b"\n", True), (b"x\n", False), (b"[2345", True)]
    for data, cut in [*steps, (b"\n[]\n", False)]:
        held.feed(data)
        assert held.cut == cut, data
    assert (bytes(released), bytes(held.held)) == (b"{bcdef\nx\n[2345\n", b"[]\n")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_the_end_is_the_programs_and_not_the_pipes(pipe: tuple[int, int], released: bytearray) -> None:
    """The write end stays open here; so the pipe has no end."""
    reader, writer = pipe
    code = "import sys; sys.stdout.write('x' * 65000 + '\\n[last')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=writer) as process:
        assert read_to_end(reader, process.pid).held == b"[last"
    assert len(released) == 65001
