"""How a runtime in an image of its own ends an activation's output (spec: logs.md §1)."""

import pytest

from upcall.runtimes.python.order import WHOLE, Order

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"


@pytest.mark.parametrize(
    ("written", "out", "err"),
    [
        ([], "", ""),
        ([(0, b"one\n"), (1, b"two\n")], "", ""),
        ([(0, b"one\ntwo"), (0, b""), (1, b"three"), (1, b"\n")], "\n", ""),
        ([(0, b"one"), (1, b"two"), (0, b" more")], "\n", "\n"),
    ],
)
def test_lines_without_an_end_get_one_and_both_streams_a_sentinel(
    capfd: pytest.CaptureFixture[str], written: list[tuple[int, bytes]], out: str, err: str
) -> None:
    order = Order()
    order.begin(marks=True)
    for stream, data in written:
        order.note(stream, data)
    order.end(last=True)
    order.end(last=True)
    assert capfd.readouterr() == (out + SENTINEL * 2, err + SENTINEL * 2)


def test_an_init_that_goes_well_has_no_sentinel_and_leaves_the_line_open(capfd: pytest.CaptureFixture[str]) -> None:
    order = Order()
    order.begin(marks=True)
    order.note(0, "loading …".encode())
    order.end(last=False)
    assert capfd.readouterr() == ("", "")
    order.end(last=True)
    assert capfd.readouterr() == ("\n" + SENTINEL, SENTINEL)


def test_a_sandbox_marks_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    order = Order()
    order.begin()
    order.note(0, b"one")
    order.end(last=True)
    assert capfd.readouterr() == ("", "")


def test_a_platform_of_ours_is_told_the_turns_and_before_all_that_it_need_not_wait(
    capfd: pytest.CaptureFixture[str],
) -> None:
    order = Order()
    order.begin()
    order.promise()
    order.note(0, b"one\n")
    order.note(1, b"two\n")
    order.end(last=True)
    assert capfd.readouterr() == (WHOLE.decode(), "\0order 1 1\n")
