"""Group commit: everything that waits to be written is one transaction.

All state lives on the event loop. A small group of rows that nobody has a function for is committed there, too, while
the disk is quick (`Calm`): 300 records take 1 ms, and nothing changes hands. Everything else, and what finds another
process writing, goes to the worker's thread, which gets one closed group at a time and answers once.

    idle ── a write arrives ──► due ── next loop turn ──► busy ── committed ──► idle, or due again
                                 ▲                         └──── failed ────► due after a pause

Writes come in two ways. A *job* (`call`) is a function of the connection whose caller awaits the commit: it makes the
group due at once. A *source* (`attach`) collects rows of one sort and is asked for them when a group is formed: its
rows may linger for some milliseconds after the last commit, so that they share the next one.

A job that raises has its own changes undone and its own caller told; the group goes on. An OperationalError (disk full,
locked, I/O) undoes the whole group: callers of jobs get Unavailable, sources keep their rows and are asked again after
50 ms, doubled up to 2 s. Until a group succeeds, `trouble` says what is wrong.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from upcall.errors import Unavailable
from upcall.model import texts
from upcall.store.calm import Calm
from upcall.store.worker import Job, Worker

T = TypeVar("T")
Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)
Outcome = tuple[Any, Exception | None]
Work = Callable[[sqlite3.Connection], None]
Taken = tuple["Source[Any]", Work, int]
"""A source, what writes that which was taken from it, and how many rows that is."""
OnTrouble = Callable[[str | None], None]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
LOOK = 0.0005
"""Seconds between two looks whether another process has ended its turn."""
TAKEN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
"""What SQLite says where another process writes, or has just died at it."""

log = logging.getLogger(__name__)


class Source(Protocol[Row_co]):
    """Where rows of one sort wait; both methods are called on the event loop, by turns. It calls `Writer.wake` when
    the first row comes to an empty source, and in `done` when rows have come meanwhile."""

    def take(self) -> Sequence[Row_co]:
        """All that waits. The source keeps it until `done`."""

    @property
    def weight(self) -> int:
        """Bytes of what was taken."""

    def done(self, error: Exception | None) -> None:
        """What was taken is durable, or (with an error) is to be given again by the next `take`."""


class Writer:
    """`linger` is the least time in seconds between a commit and the next one that nobody awaits, `patience` how long
    a group waits for other processes' turns. `calm` says when the loop may wait for one; `on_commit` follows each."""

    def __init__(
        self,
        worker: Worker,
        linger: float,
        on_trouble: OnTrouble | None = None,
        *,
        patience: float = 1.0,
        calm: Calm | None = None,
        on_commit: Callable[[], None] | None = None,
    ) -> None:
        self.trouble: str | None = None
        self._calm = calm or Calm()
        self._on_commit = on_commit
        self._worker = worker
        self._linger = linger
        self._patience = patience
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._sources: list[Callable[[], Taken | None]] = []
        self._jobs: list[tuple[Job[Any], asyncio.Future[Any]]] = []
        self._busy = self._stopped = False
        self._missed: bool | None = None
        """Who called `wake` while a group was under way: nobody, or (True) somebody in a hurry."""
        self._due: asyncio.Handle | None = None
        self._not_before = 0.0
        self._pause = FIRST_PAUSE

    def attach(self, source: Source[Row], write: Callable[[sqlite3.Connection, Sequence[Row]], None]) -> None:
        """From now on rows of `source` go through `write`, in the writer's thread or on the loop."""

        def take() -> Taken | None:
            rows = source.take()
            return (source, lambda connection: write(connection, rows), len(rows)) if rows else None

        self._sources.append(take)

    def call(self, job: Job[T]) -> asyncio.Future[T]:
        """Run `job` in the next group; the future is done when that is durable."""
        if self._stopped:
            raise Unavailable
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.append((job, future))
        self.wake(urgent=True)
        return future

    def wake(self, urgent: bool = False) -> None:
        """A source has rows; `urgent` where somebody waits for them."""
        if self._busy:  # the group under way may hold nothing of this source: nobody else would think of it
            self._missed = urgent or bool(self._missed)
            return
        if self._stopped:
            return
        if self._due is not None:
            if not urgent or self.trouble is not None:
                return
            self._due.cancel()
        wait = 0.0 if urgent and self.trouble is None else self._not_before - self._loop.time()
        self._due = self._loop.call_later(wait, self._go) if wait > 0 else self._loop.call_soon(self._go)

    def stop(self) -> None:
        """Form no further group; the one under way is finished."""
        self._stopped = True
        if self._due is not None:
            self._due.cancel()
        for _, future in self._jobs:
            if not future.done():
                future.set_exception(Unavailable())

    def _go(self) -> None:
        self._due = None
        jobs, self._jobs = self._jobs, []
        taken = [each for take in self._sources if (each := take()) is not None]
        if not jobs and not taken:
            return
        self._busy = True
        futures, sources = [future for _, future in jobs], [source for source, _, _ in taken]
        commit = partial(_commit, jobs=[job for job, _ in jobs], works=[work for _, work, _ in taken])
        allowed = not jobs and self._calm.allows(_count(taken), sum(source.weight for source in sources))
        if allowed and self.trouble is None and self._commit_here(commit, sources):
            return
        done = partial(self._answered, futures, sources)
        self._worker.call(partial(commit, patience=self._patience)).add_done_callback(done)

    def _commit_here(self, commit: Callable[..., list[Outcome]], sources: list[Source[Any]]) -> bool:
        """On the loop; False where another process writes, for which only the thread may wait."""
        error: Exception | None = None
        self._calm.begin()
        try:
            self._worker.here(partial(commit, patience=0.0))
        except Exception as reason:  # noqa: BLE001 — told to the sources, which give the same rows again
            if _taken(reason):
                return False
            error = reason
        self._calm.end(failed=error is not None)
        self._finish([], sources, [], error)
        return True

    def _answered(
        self, futures: list[asyncio.Future[Any]], sources: list[Source[Any]], group: asyncio.Future[list[Outcome]]
    ) -> None:
        """By the thread."""
        error = cast(Exception | None, group.exception())
        outcomes: list[Outcome] = group.result() if error is None else [(None, _unavailable(error)) for _ in futures]
        self._finish(futures, sources, outcomes, error)

    def _finish(
        self,
        futures: list[asyncio.Future[Any]],
        sources: list[Source[Any]],
        outcomes: list[Outcome],
        error: Exception | None,
    ) -> None:
        self._busy = False
        self._judge(error)
        for source in sources:
            source.done(error)
        for future, (result, reason) in zip(futures, outcomes, strict=True):
            if future.done():
                continue
            if reason is None:
                future.set_result(result)
            else:
                future.set_exception(reason)
        missed, self._missed = self._missed, None
        if missed is not None:
            self.wake(missed)
        if error is None and self._on_commit is not None:
            self._on_commit()

    def _judge(self, error: Exception | None) -> None:
        """Set the pace of the next group, and say so when trouble comes, changes or goes."""
        now = self._loop.time()
        if error is None:
            self._not_before, self._pause = now + self._linger, FIRST_PAUSE
        else:
            self._not_before, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)
        trouble = None if error is None else str(error)
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is None:
            log.info("the store takes writes again")
        else:
            log.error("the store refuses writes, will try again: %s", trouble)
        if self._on_trouble is not None:
            self._on_trouble(trouble)


def _unavailable(error: Exception) -> Unavailable:
    reason = Unavailable(texts.store_refuses(str(error)))
    reason.__cause__ = error
    return reason


def _commit(connection: sqlite3.Connection, jobs: list[Job[Any]], works: list[Work], patience: float) -> list[Outcome]:
    _begin(connection, patience)
    try:
        outcomes = [_attempt(connection, job) for job in jobs]
        for work in works:
            work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after some errors SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _begin(connection: sqlite3.Connection, patience: float) -> None:
    """Wait for the turn of this process. SQLite's own waiting looks less and less often, down to ten times a second,
    and between two busy processes one would starve."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not _taken(error) or time.monotonic() >= deadline:
                raise
            time.sleep(LOOK)
        else:
            return


def _count(taken: list[Taken]) -> int:
    return sum(rows for _, _, rows in taken)


def _taken(error: Exception) -> bool:
    """Whether it is another process's turn."""
    code = getattr(error, "sqlite_errorcode", 0)  # errors of Python's own module have none
    return isinstance(error, sqlite3.OperationalError) and code & 0xFF in TAKEN


def _attempt(connection: sqlite3.Connection, job: Job[Any]) -> Outcome:
    """Only the job's own failures stay with the job; an OperationalError is the whole group's."""
    connection.execute("SAVEPOINT job")
    outcome: Outcome
    try:
        outcome = job(connection), None
    except sqlite3.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 — raised again where the caller waits
        connection.execute("ROLLBACK TO job")
        outcome = None, error
    connection.execute("RELEASE job")
    return outcome
