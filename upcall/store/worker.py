"""One thread with one SQLite connection of its own; jobs go in from the event loop, futures come back.

SQLite blocks, so it never runs on the loop. A job is a function of the connection; jobs run one after the other in the
order of the calls. A round trip costs two wake-ups (about 37 us at rest), so whoever has many small writes hands them
over as one job (`upcall.store.writer`).

A busy loop and the thread fight for the interpreter's lock: the loop lets go of it for a moment after each callback,
which wakes the thread in vain, some ten times for each statement. A caller whose job is short can have the loop stand
still meanwhile (`patience`): with 50 records a commit that saves each activation 8 % of its CPU.

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


class Worker:
    """Used on one event loop: the one on which `open` ran."""

    def __init__(self, name: str, connect: Connect) -> None:
        self._connect = connect
        self._jobs: SimpleQueue[tuple[Job[Any], asyncio.Future[Any], threading.Lock] | None] = SimpleQueue()
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

    def call(self, job: Job[T], patience: float = 0.0) -> asyncio.Future[T]:
        """Run `job` in the thread. A caller who is cancelled leaves its job to run all the same. The loop stands still
        until the job is done, but no longer than `patience` seconds."""
        future: asyncio.Future[T] = self._loop.create_future()
        running = threading.Lock()
        running.acquire()
        self._jobs.put((job, future, running))
        if patience > 0:
            running.acquire(timeout=patience)
        return future

    async def close(self) -> None:
        """Finish what was asked for, then disconnect and end the thread."""
        self._jobs.put(None)
        await self._ended
        self._thread.join()

    def _run(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 — raised again where `open` waits
            self._tell(self._ready, None, error)
            return
        self._tell(self._ready, None, None)
        with contextlib.closing(connection):
            while (work := self._jobs.get()) is not None:
                job, future, running = work
                self._tell(future, *_outcome(job, connection))
                running.release()
        self._tell(self._ended, None, None)

    def _tell(self, future: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, future, result, error)


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
