"""Records that the store cannot take at once (docs/DESIGN.md, rule 10)."""

import asyncio

import pytest

from upcall.core.record import fallback_record
from upcall.invoker.records import Records
from upcall.model.activation import Activation, Response
from upcall.testing import FakeStore, a_message


def a_record() -> Activation:
    return fallback_record(a_message(), Response(), 1)


async def test_a_store_with_room_takes_a_record_within_the_call() -> None:
    kept: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        Records(FakeStore(), tasks).keep(a_record(), lambda: kept.append("a"))
        assert kept == ["a"]


async def test_what_waits_keeps_its_order_and_nothing_overtakes_it() -> None:
    store, kept = FakeStore(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        records = Records(store, tasks)
        store.full = True
        records.keep(a_record(), lambda: kept.append("a"))
        store.full = False
        records.keep(a_record(), lambda: kept.append("b"))
        assert (kept, len(records)) == ([], 2)
        await records.close(10)
    assert kept == ["a", "b"]


class Unpromising(FakeStore):
    """Makes nothing durable before `synced` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = asyncio.Event()

    def promise(self, activation: Activation) -> bool:
        return False

    async def flush(self) -> None:
        await self.synced.wait()


async def test_a_result_is_told_at_once_where_its_record_is_promised() -> None:
    told: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        Records(FakeStore(), tasks).tell(a_record(), lambda: told.append("a"))
        assert told == ["a"]


async def test_without_a_promise_it_is_told_when_the_record_is_durable() -> None:
    store, told = Unpromising(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        records = Records(store, tasks)
        records.tell(a_record(), lambda: told.append("a"))
        await asyncio.sleep(0.01)
        assert told == []
        store.synced.set()
        await records.close(10)
    assert told == ["a"]


async def test_without_one_it_is_told_at_once_where_the_next_life_reads_what_was_told() -> None:
    told: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        Records(Unpromising(), tasks, recalled=True).tell(a_record(), lambda: told.append("a"))
        assert told == ["a"]


async def test_a_disk_that_never_syncs_does_not_hold_up_the_end() -> None:
    told: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        records = Records(Unpromising(), tasks)
        records.tell(a_record(), lambda: told.append("a"))
        await records.close(0.01)
    assert told == []


async def test_a_store_that_stays_full_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    async with asyncio.TaskGroup() as tasks:
        records = Records(store, tasks)
        store.full = True
        records.keep(a_record(), lambda: None)
        await records.close(0.01)
    assert "the store does not take 1 activation records" in caplog.text
