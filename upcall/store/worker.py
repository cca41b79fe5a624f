"""One thread with one SQLite connection of its own; jobs go in from the event loop, futures come back.

SQLite blocks, so it never runs on the loop. A job is a function of the connection; jobs run one after the other in the
order of the calls. A round trip costs two wake-ups (about 37 us at rest), so whoever has many small writes hands them
over as one job (`upcall.store.writer`).

A busy loop and the thread fight for the interpreter's lock: the loop lets go of it for a moment after each callback,
which wakes the thread in vain, some ten times for each statement. Whoever knows that a job is short and the thread at
rest has it done `here`, on the loop; the connection is then the caller's.

The thread is a daemon: a process whose loop died does not hang on it. In order, `close` ends it after the last job.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Connect = Callable[[], sqlite3.Connection]
Job = Callable[[sqlite3.Connection], T]
Settle = Callable[[asyncio.Future[Any], object, Exception | None], None]


class Worker:
    """Used on one event loop: the one on which `open` ran."""

    def __init__(self, name: str, connect: Connect) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection
        self._jobs: SimpleQueue[tuple[Job[Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._asked = 0
        """Jobs that the thread has not answered."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._ready: asyncio.Future[None]
        self._ended: asyncio.Future[None]

    async def open(self) -> None:
        """Connect, in the thread; raises what `connect` raises."""
        self._loop = asyncio.get_running_loop()
        self._ready, self._ended = self._loop.create_future(), self._loop.create_future()
        self._thread.start()
        await self._ready

    def call(self, job: Job[T]) -> asyncio.Future[T]:
        """Run `job` in the thread. A caller who is cancelled leaves its job to run all the same."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._asked += 1
        self._jobs.put((job, future))
        return future

    def here(self, job: Job[T]) -> T:
        """Run `job` at once, on the loop; only while the thread has answered all that it was asked for, and with a
        connection that threads may share (`check_same_thread=False`). Raises what the job raises."""
        assert self._asked == 0, "the thread is using the connection"
        return job(self._connection)

    async def close(self) -> None:
        """Finish what was asked for, then disconnect and end the thread."""
        self._jobs.put(None)
        await self._ended
        self._thread.join()

    def _run(self) -> None:
        try:
            self._connection = connection = self._connect()
        except Exception as error:  # noqa: BLE001 — raised again where `open` waits
            self._tell(_settle, self._ready, None, error)
            return
        self._tell(_settle, self._ready, None, None)
        with contextlib.closing(connection):
            while (work := self._jobs.get()) is not None:
                job, future = work
                self._tell(self._answered, future, *_outcome(job, connection))
        self._tell(_settle, self._ended, None, None)

    def _tell(self, settle: Settle, future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(settle, future, result, error)

    def _answered(self, future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
        self._asked -= 1
        _settle(future, result, error)


def _outcome(job: Job[T], connection: sqlite3.Connection) -> tuple[T | None, Exception | None]:
    try:
        return job(connection), None
    except Exception as error:  # noqa: BLE001 — raised again where the job's future is awaited
        return None, error


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
