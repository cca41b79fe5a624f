"""When the loop waits for a commit."""

import time

import pytest

from upcall.store import calm
from upcall.store.calm import BYTES, FEWEST, MOST, ROWS, Calm


def trial(calm: Calm, seconds: float = 0.0, failed: bool = False) -> None:
    calm.begin()
    if seconds:
        time.sleep(seconds)
    calm.end(failed)


def until_allowed(calm: Calm) -> int:
    """How many groups go to the thread."""
    count = 0
    while not calm.allows(1, 1):
        count += 1
    return count


def test_only_small_groups() -> None:
    calm = Calm()
    assert calm.allows(ROWS, BYTES)
    assert not calm.allows(ROWS + 1, 1)
    assert not calm.allows(1, BYTES + 1)
    assert not Calm(ever=False).allows(1, 1)


@pytest.mark.parametrize(("seconds", "failed"), [(0.02, False), (0.0, True)], ids=["slow", "failed"])
def test_after_a_bad_trial_many_go_to_the_thread_and_ever_more(
    seconds: float, failed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calm, "SLOW", 0.01)
    quiet = Calm()
    seen = []
    for _ in range(8):
        trial(quiet, seconds, failed)
        seen.append(until_allowed(quiet))
    assert seen == [min(FEWEST * 2**number, MOST) for number in range(8)]
    monkeypatch.setattr(calm, "SLOW", 60.0)
    trial(quiet)
    assert until_allowed(quiet) == 0
    trial(quiet, failed=True)
    assert until_allowed(quiet) == FEWEST, "a good one makes it forget"


def test_what_took_long_for_want_of_a_processor_was_no_slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "SLOW", 0.0)
    monkeypatch.setattr(calm, "_sleeps", lambda: 7)
    busy = Calm()
    trial(busy)
    assert until_allowed(busy) == 0
