"""The golden table over a bus of bytes in this process: every case."""

import logging

import pytest

from tests.golden.table import Case, cases, exactly
from tests.golden.world import World

ALL = list(cases())


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
async def test_case(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    world = World(case)
    await world.run()
    acks = world.normal()
    assert acks == case.acks
    assert exactly(acks) == exactly(case.acks)
    record = await world.record()
    if not case.row.get("stored", True):
        assert record is None
        return
    assert record is not None
    ends = case.row.get("first-and-last")
    if ends:
        assert [record["logs"][0], record["logs"][-1]] == ends
        record["logs"] = case.record["logs"]
    assert record == case.record
    assert exactly(record) == exactly(case.record)
    if "sent" in case.row:
        assert world.arguments == case.row["sent"]


def test_every_row_has_a_name_of_its_own() -> None:
    names = [case.name for case in ALL]
    assert len(set(names)) == len(names)
