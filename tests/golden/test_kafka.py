"""A part of the golden table over a real broker: the bytes that a controller would read."""

import asyncio
import logging
from itertools import count
from random import randrange
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.golden.table import cases, exactly
from tests.golden.world import World
from upcall.brokers import Brokers
from upcall.bus.kafka import KafkaBus
from upcall.testing import FakeStore

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

ROWS = (
    "run-utf-16",
    "run-developer-error",
    "init-error",
    "logs-lines",
    "refused-not-found",
    "refused-blocked",
    "containers-provision",
    "sizes-larger-than-any-message",
)
CHOSEN = [
    case for case in cases() if case.name.removesuffix(f"-{case.caller}") in ROWS and case.caller != "non-blocking"
] + [case for case in cases() if case.name in ("logs-lines-non-blocking", "refused-not-found-non-blocking")]
_numbers = count(randrange(10_000, 1_000_000, 100))


async def test_cases(kafka: "Broker", caplog: pytest.LogCaptureFixture) -> None:
    """All at once, each with an Invoker of its own: a group takes its time to gather."""
    caplog.set_level(logging.CRITICAL)
    brokers = msgspec.convert({"hosts": kafka.bootstrap}, Brokers)
    buses: list[KafkaBus] = []

    def bus(store: FakeStore) -> KafkaBus:
        buses.append(KafkaBus(brokers, 1 << 20, store.flush))
        return buses[-1]

    worlds = [World(case, bus, next(_numbers)) for case in CHOSEN]
    await asyncio.gather(*(world.run() for world in worlds))
    await asyncio.gather(*(bus.close() for bus in buses))
    for world in worlds:
        case, acks = world.case, world.normal()
        assert acks == case.acks, case.name
        assert exactly(acks) == exactly(case.acks), case.name
        record = await world.record()
        assert record == (case.record if case.row.get("stored", True) else None), case.name


def test_every_chosen_row_is_there() -> None:
    assert len(CHOSEN) == 2 * len(ROWS) + 2
