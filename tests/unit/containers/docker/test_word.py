"""The first line of a container's stdout: who may say it, and for how long."""

import pytest

from upcall.containers.docker.entry import BEGUN
from upcall.containers.docker.word import Word
from upcall.runtimes.python.order import WHOLE


async def running() -> int | None:
    return None


@pytest.mark.parametrize("size", [1, 5, 100])
async def test_it_is_read_in_pieces_and_what_follows_is_the_programs(size: int) -> None:
    word, left = Word(), b""
    data = BEGUN + b"\nhello"
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        left += piece if word.over else word.feed(piece)
    assert (await word.wait(running), left, word.promised) == (BEGUN, b"hello", False)


@pytest.mark.parametrize("together", [True, False])
async def test_a_runtime_of_ours_promises_before_anything_else_is_printed(together: bool) -> None:
    word = Word()
    said = [BEGUN + b"\n" + WHOLE + b"hello"] if together else [BEGUN + b"\n", WHOLE]
    left = b"".join(word.feed(each) for each in said)
    assert (word.promised, word.over, left) == (True, True, b"hello" if together else b"")


async def test_nobody_promises_later() -> None:
    word = Word()
    assert word.feed(BEGUN + b"\nhello\n" + WHOLE) == b"hello\n" + WHOLE
    assert (word.promised, word.over) == (False, True)


async def test_a_shell_that_says_no_word_but_a_flood_is_not_waited_for_and_nothing_is_kept_or_lost() -> None:
    word, flood = Word(), b"x" * 50
    assert word.feed(flood) == b""
    assert word.feed(flood) == 2 * flood
    assert word.heard
    assert await word.wait(running) == b""
