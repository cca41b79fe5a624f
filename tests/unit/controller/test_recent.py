"""What was told a moment ago."""

import pytest

from upcall.controller import recent
from upcall.controller.recent import SPAN, Recent


class Clock:
    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


def test_a_moment_ends() -> None:
    clock = Clock()
    told = Recent(clock)
    told.add("a")
    clock.now += SPAN
    told.add("b")
    assert ("a" in told, "b" in told, "c" in told) == (True, True, False)
    clock.now += 0.1
    assert ("a" in told, "b" in told) == (False, True)


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 2)
    told = Recent(Clock())
    for id in "abcde":
        told.add(id)
    assert [id for id in "abcde" if id in told] == ["c", "d", "e"]
