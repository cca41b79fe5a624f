"""The thread of a database, and who has its connection."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator

import pytest

from upcall.store.worker import Worker


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker("test", lambda: sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
    await worker.open()
    yield worker
    await worker.close()


async def test_a_job_runs_in_the_thread_or_here(worker: Worker) -> None:
    here = threading.get_ident()
    assert await worker.call(lambda connection: threading.get_ident()) != here
    assert worker.here(lambda connection: threading.get_ident()) == here
    assert worker.here(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


async def test_nobody_has_the_connection_while_the_thread_has(worker: Worker) -> None:
    go = threading.Event()
    running = worker.call(lambda connection: go.wait(60))
    with pytest.raises(AssertionError, match="the thread is using the connection"):
        worker.here(lambda connection: None)
    running.cancel()
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="the thread is using the connection"):
        worker.here(lambda connection: None)
    go.set()
    await worker.call(lambda connection: None)
    worker.here(lambda connection: None)


async def test_a_job_that_fails_ends(worker: Worker) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await worker.call(lambda connection: connection.execute("nonsense"))
    with pytest.raises(sqlite3.OperationalError):
        worker.here(lambda connection: connection.execute("nonsense"))
    worker.here(lambda connection: None)
