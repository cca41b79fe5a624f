"""The probe of the event loop: what holds it up is noticed, with its length."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from bench import lateness
from bench.lateness import Late, Probe


@pytest.fixture
def rows() -> Iterator[list[Late]]:
    yield lateness.rows
    lateness.rows.clear()


async def test_a_loop_that_is_held_up_is_late_by_as_much(rows: list[Late]) -> None:
    probe = Probe()
    await asyncio.sleep(0.01)
    began = time.monotonic()
    time.sleep(0.05)
    await asyncio.sleep(0.01)
    probe.timer.cancel()
    held = [row for row in rows if row.at > began and row.seconds >= 0.05 - lateness.STEP]
    assert held
    assert 0 <= held[0].own <= held[0].seconds
    assert held[0].at <= time.monotonic()


def test_what_others_did_is_not_its_own() -> None:
    assert Late(1.0, 0.5, 0.25).own == 0.25
    assert Late(1.0, 0.5, 0.75).own == 0.0
