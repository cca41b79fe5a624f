"""core.prewarm: how many stem cells are wanted (spec: container.md §6.4)."""

import pytest

from upcall.core.prewarm import Cell, Reactive, StemCell, begin_round, cells_of, lose, short
from upcall.errors import Misconfigured

REACTIVE = Reactive(least=1, most=4, ttl=60.0, threshold=2, increment=1)


def a_cell(count: int = 2, reactive: Reactive | None = None, **state: int) -> Cell:
    return Cell(StemCell("python:3", 256, count, reactive), count, None, **state)


@pytest.mark.parametrize(("cold", "wanted"), [(0, 1), (1, 1), (2, 1), (4, 2), (7, 3), (8, 4), (100, 4)])
def test_a_reactive_count_follows_the_cold_starts(cold: int, wanted: int) -> None:
    cell = a_cell(2, REACTIVE, cold=cold)
    begin_round(cell)
    assert (cell.wanted, cell.cold) == (wanted, 0)


def test_a_plain_count_stays() -> None:
    cell = a_cell(2, cold=100, live=2)
    begin_round(cell)
    lose(cell)
    assert cell.wanted == 2


def test_a_lost_one_is_replaced_down_to_the_least_only() -> None:
    cell = a_cell(3, REACTIVE, live=3)
    wanted = []
    for _ in range(3):
        lose(cell)
        wanted.append(cell.wanted)
    assert wanted == [2, 1, 1]
    assert short(cell)


def test_none_is_started_during_the_pause_after_a_failure() -> None:
    cell = a_cell(1)
    assert short(cell)
    cell.retry_at = 10.0
    assert not short(cell)


def test_two_lines_for_the_same_are_refused() -> None:
    with pytest.raises(Misconfigured, match="256 MB twice"):
        cells_of([StemCell("python:3", 256, 1), StemCell("python:3", 256, 2)], 0.0)
