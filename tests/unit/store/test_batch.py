import asyncio

import pytest
from msgspec import Raw

from tests.contract.documents import activation
from upcall.store.batch import Batch


@pytest.fixture
def wakes() -> list[bool]:
    return []


@pytest.fixture
def batch(wakes: list[bool]) -> Batch:
    return Batch(wakes.append, max_records=5, max_bytes=100_000)


def ids(batch: Batch) -> list[str]:
    return [record[0] for record in batch.take()]


def test_the_writer_is_woken_once_for_many(batch: Batch, wakes: list[bool]) -> None:
    assert all(batch.record(activation(number)) for number in range(3))
    assert wakes == [False]
    assert ids(batch) == [activation(number).id for number in range(3)]


def test_it_is_woken_again_for_what_came_meanwhile(batch: Batch, wakes: list[bool]) -> None:
    batch.record(activation(1))
    batch.take()
    batch.record(activation(2))
    batch.done(None)
    assert wakes == [False] * 3
    assert ids(batch) == [activation(2).id]
    batch.done(None)
    assert wakes == [False] * 3
    assert len(batch) == 0


def test_the_bound_counts_what_is_being_written(batch: Batch) -> None:
    for number in range(3):
        assert batch.record(activation(number))
    batch.take()
    assert batch.record(activation(3))
    assert batch.record(activation(4))
    assert not batch.record(activation(5))
    batch.done(None)
    assert batch.record(activation(5))


def test_bytes_are_bounded_and_one_record_may_cross_the_bound(batch: Batch) -> None:
    large = activation(1)
    large.response = type(large.response)(0, Raw(b'"' + b"x" * 200_000 + b'"'))
    assert batch.record(activation(0))
    assert batch.record(large)
    assert not batch.record(activation(2))
    batch.take()
    assert not batch.record(activation(2))
    batch.done(None)
    assert batch.record(activation(2))


def test_after_a_failure_the_same_records_come_first(batch: Batch) -> None:
    batch.record(activation(1))
    batch.record(activation(2))
    batch.take()
    batch.record(activation(3))
    batch.done(OSError("full"))
    assert len(batch) == 3
    assert batch.get(activation(1).id) is not None
    assert ids(batch) == [activation(number).id for number in (1, 2, 3)]


def test_what_is_no_json_is_the_callers_error(batch: Batch) -> None:
    broken = activation(1)
    broken.name = "\ud800"
    with pytest.raises(UnicodeEncodeError):
        batch.record(broken)
    assert len(batch) == 0
    assert batch.record(activation(2))


async def test_room_waits_for_a_commit(batch: Batch) -> None:
    for number in range(5):
        batch.record(activation(number))
    waiting = [asyncio.ensure_future(batch.room()) for _ in range(2)]
    await asyncio.sleep(0)
    batch.take()
    batch.done(OSError("full"))
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiting)
    batch.take()
    batch.done(None)
    await asyncio.gather(*waiting)


async def test_flush_waits_for_what_was_taken_until_then(batch: Batch, wakes: list[bool]) -> None:
    batch.record(activation(1))
    first = asyncio.ensure_future(batch.flush())
    await asyncio.sleep(0)
    assert wakes == [False, True]
    batch.take()
    batch.record(activation(2))
    second = asyncio.ensure_future(batch.flush())
    await asyncio.sleep(0)
    batch.done(None)
    await first
    assert not second.done()
    assert wakes[-1] is True
    batch.take()
    batch.done(None)
    await second
    await batch.flush()


async def test_flush_outlasts_a_failure_and_attempt_does_not(batch: Batch) -> None:
    batch.record(activation(1))
    flush, attempt = asyncio.ensure_future(batch.flush()), asyncio.ensure_future(batch.attempt())
    await asyncio.sleep(0)
    batch.take()
    batch.done(OSError("full"))
    await attempt
    assert not flush.done()
    batch.take()
    batch.done(None)
    await flush


async def test_who_waits_may_give_up(batch: Batch) -> None:
    batch.record(activation(1))
    flush = asyncio.ensure_future(batch.flush())
    await asyncio.sleep(0)
    flush.cancel()
    batch.take()
    batch.done(None)
    await batch.flush()
