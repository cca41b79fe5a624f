"""The thread of a database, and when the loop stands still for it."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from upcall.store.worker import Connect, Job, T, Worker
from upcall.store.writer import MANY, QUICK, Writer

LONG = 60.0


class Watched(Worker):
    """Remembers the patience of each call."""

    def __init__(self, name: str, connect: Connect) -> None:
        super().__init__(name, connect)
        self.given: list[float] = []

    def call(self, job: Job[T], patience: float = 0.0) -> asyncio.Future[T]:
        self.given.append(patience)
        return super().call(job, patience)


@pytest.fixture
async def worker() -> AsyncIterator[Watched]:
    worker = Watched("test", lambda: sqlite3.connect(":memory:", isolation_level=None))
    await worker.open()
    yield worker
    await worker.close()


class Rows:
    """A source with rows as they are given."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def take(self) -> list[int]:
        rows, self.rows = self.rows, []
        return rows

    def done(self, error: Exception | None) -> None:
        assert error is None


def writing(worker: Worker, write: Callable[[], None]) -> tuple[Writer, Rows]:
    writer, rows = Writer(worker, linger=0.0), Rows()
    writer.attach(rows, lambda connection, given: write())
    return writer, rows


async def test_patience_is_for_the_job(worker: Worker) -> None:
    done: list[bool] = []
    future = worker.call(lambda connection: done.append(True), patience=LONG)
    assert done == [True]
    await future


async def test_patience_ends(worker: Worker) -> None:
    go = threading.Event()
    future = worker.call(lambda connection: go.wait(LONG), patience=0.01)
    assert not future.done()
    go.set()
    assert await future is True


async def test_a_job_that_fails_ends_the_wait(worker: Worker) -> None:
    future = worker.call(lambda connection: connection.execute("nonsense"), patience=LONG)
    with pytest.raises(sqlite3.OperationalError):
        await future


@pytest.mark.parametrize(("count", "waits"), [(MANY, True), (MANY - 1, False)])
async def test_the_loop_stands_still_for_many_rows(worker: Watched, count: int, waits: bool) -> None:
    writer, rows = writing(worker, lambda: None)
    rows.rows = list(range(count))
    writer.wake()
    await writer.call(lambda connection: None)
    assert worker.given == [QUICK if waits else 0.0]


async def test_the_loop_stands_still_for_quick_groups_alone(worker: Watched) -> None:
    pauses = iter([2 * QUICK, 0.0, 0.0])
    writer, rows = writing(worker, lambda: time.sleep(next(pauses)))
    for _ in range(3):
        rows.rows = list(range(MANY))
        writer.wake()
        await writer.call(lambda connection: None)
        await asyncio.sleep(0)
    assert worker.given == [QUICK, 0.0, QUICK]
