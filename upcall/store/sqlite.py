"""The Store in one SQLite file: the embedded default.

Three threads, each with a connection: the writer, whose transactions are groups (`upcall.store.writer`), the reader,
and one for checkpoints (`upcall.store.checkpoint`); with the write-ahead log none waits for another. The writer's
connection is the loop's while it commits a small group itself. Documents are written by their callers' jobs, activation
records by the batch; whoever awaits a write gets back control when its transaction is committed.

`durability="normal"` does not sync at each commit: what is committed survives the end of the process, however it comes,
and not always a loss of power; records and the journal have a log ahead of the database, so that a kill between two
commits loses nothing that was told. `"full"` syncs each group, and everything waits for it.

Reading one's writes: documents are read after their commit; a record that is not here is looked up in the batch (of
two with one id the first stays, so the durable one counts), and lists of activations wait until what was taken is
written. While the disk refuses writes, lists show what is committed.

Secondary indexes are what a record costs most, and random ids are the dearest: beyond some 100,000 records each insert
dirties a page of its own (17 us against 4 for ids that begin with the time, bench/store.py).
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Identity, Limits, UserLimits, identity_of
from upcall.ownership import private_file
from upcall.ports import D, Query, Stored
from upcall.store import accounts, checkpoint, tables
from upcall.store.batch import MAX_BYTES, MAX_RECORDS, Batch
from upcall.store.calm import Calm
from upcall.store.changes import Changes, changes_file
from upcall.store.checkpoint import Checkpoints
from upcall.store.coding import Space, checked, decode, exactly, record_rev, space_of
from upcall.store.journal import SqliteJournal, write_steps
from upcall.store.migrate import migrate
from upcall.store.part import Part, Sole, TakenOver
from upcall.store.replay import JOURNAL, RECORDS
from upcall.store.worker import Job, Worker
from upcall.store.writer import OnTrouble, Writer

T = TypeVar("T")
Durability = Literal["normal", "full"]

SOLE = Sole()
LOCKED = "database is locked"
"""What SQLite says where another program does not let go of the file in time."""

SAFE = 2.0
"""Seconds in which `close` may write what would outlive the process anyway."""

PATIENCE = 10.0
"""Seconds that a change of subjects or limits waits for another process's."""

log = logging.getLogger(__name__)


class SqliteStore:
    """Implements `upcall.ports.Store`; use it as an async context manager, or `open` and `close` it.

    `part` says whether others have the file open, too. `max_records` and `max_bytes` bound the records that are not
    durable yet. `on_trouble` hears, on the event loop, why
    writing fails, and None when it works again; `trouble` holds the same.
    """

    def __init__(
        self,
        path: str | Path,
        durability: Durability = "normal",
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        linger: float | None = None,
        on_trouble: OnTrouble | None = None,
        part: Part = SOLE,
    ) -> None:
        self._path = Path(path)
        self._part = part
        self._durability = durability
        self._bounds = max_records, max_bytes
        self._linger = part.linger if linger is None else linger
        self._on_trouble = on_trouble
        self._writing = Worker("store-writer", self._connect_writer)
        self._reading = Worker("store-reader", self._connect_reader)
        self._emptying = Worker("store-checkpoint", self._connect_checkpoint)
        self._writer: Writer
        self._batch: Batch
        self._taken = TakenOver()
        self.journal: SqliteJournal
        self._changes: Changes
        self._changing: set[asyncio.Future[Any]] = set()
        self.lost = 0
        """Records that `close` could not save."""

    async def open(self) -> Self:
        """Make or migrate the file. Raises Misconfigured."""
        async with contextlib.AsyncExitStack() as opened:
            for worker in (self._writing, self._reading, self._emptying):
                await worker.open()
                opened.push_async_callback(worker.close)
                if worker is self._writing:
                    opened.callback(self._release)
            opened.pop_all()
        checkpoints = Checkpoints(self._emptying, self._path)
        calm = Calm(ever=self._durability == "normal")
        self._writer = Writer(
            self._writing,
            self._linger,
            self._on_trouble,
            patience=self._part.patience,
            calm=calm,
            on_commit=checkpoints.look,
        )
        ahead = self._taken.ahead
        self._batch = Batch(self._writer.wake, *self._bounds, ahead.get(RECORDS))
        self.journal = SqliteJournal(self._writer.wake, ahead.get(JOURNAL), self._taken.left)
        self._writer.attach(self._batch, tables.insert_records)
        self._writer.attach(self.journal, write_steps)
        return self

    async def close(self, patience: float = 10.0) -> None:
        """Finish what was asked for, flush and let go. Records that the disk refuses for `patience` seconds are stored
        by the next start; `lost` are those that the log ahead does not have."""
        patience = patience if self._batch.exposed else min(patience, SAFE)
        try:
            async with asyncio.timeout(patience):
                with contextlib.suppress(errors.Unavailable):
                    await self._commit(lambda connection: None)  # comes after all that wait
                await self._batch.flush()
        except TimeoutError:
            self.lost = self._batch.exposed
            _tell_unwritten(len(self._batch) - self.lost, self.lost, self._writer.trouble)
        self._writer.stop()
        await self._writing.close()
        await self._emptying.close()
        await self._reading.close()
        await asyncio.gather(*self._changing, return_exceptions=True)
        self._release()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def trouble(self) -> str | None:
        """Why the last write failed, while none has succeeded since."""
        return self._writer.trouble

    @property
    def pending(self) -> int:
        """Records that are not durable yet."""
        return len(self._batch)

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        waiting = self._batch.get(id) if kind is Activation else None
        try:
            found = await self._read(lambda connection: tables.read(connection, kind, id))
        except (errors.NotFound, errors.Unavailable):
            if waiting is None:
                raise
            found = Stored(decode(Activation, waiting), record_rev(id))
        return exactly(found, id, rev)

    async def put(self, doc: Document, rev: str | None = None) -> str:
        if not isinstance(doc, Activation):
            return await self._write(lambda connection: tables.write(connection, doc, rev), type(doc))
        if rev is not None or self._batch.get(doc.id) is not None:
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        return await self._commit(lambda connection: tables.insert_record(connection, doc))

    async def delete(self, kind: type[Document], id: str, rev: str) -> None:
        if kind is Activation and self._batch.get(id) is not None:
            await self._batch.attempt()
        await self._write(lambda connection: tables.remove(connection, kind, id, rev), kind)

    async def list(self, kind: type[D], query: Query) -> Sequence[D]:
        found = await self._listed(kind, query, tables.select)
        return cast(Sequence[D], found)

    async def count(self, kind: type[Document], query: Query) -> int:
        return await self._listed(kind, query, tables.count)

    def record(self, activation: Activation) -> bool:
        return self._batch.record(activation)

    def promise(self, activation: Activation) -> bool:
        return self._batch.promise(activation)

    async def room(self) -> None:
        await self._batch.room()

    def refusal(self) -> str | None:
        """While something waits it is tried again, so that trouble ends by itself; without it nobody would notice.
        A lock is no reason: it is gone soon."""
        trouble = self._writer.trouble
        if trouble is None or trouble == LOCKED or not (len(self._batch) or self.journal.pending):
            return None
        return trouble

    async def flush(self) -> None:
        await self._batch.flush()

    async def identity(self, uuid: str, key: str) -> Identity | None:
        def find(connection: sqlite3.Connection) -> Identity | None:
            owner = accounts.by_credentials(tables.subjects_by(connection, "uuid", uuid), uuid, key)
            return _identity(connection, owner) if owner else None

        return await self._read_accounts(find)

    async def owner(self, namespace: str) -> Identity | None:
        return next(iter(await self.identities(namespace)), None)

    async def identities(self, namespace: str) -> Sequence[Identity]:
        def find(connection: sqlite3.Connection) -> list[Identity]:
            owners = accounts.by_namespace(tables.subjects_by(connection, "namespace", namespace), namespace)
            return [_identity(connection, owner) for owner in owners]

        return await self._read_accounts(find)

    async def blocked(self) -> frozenset[str]:
        return await self._read_accounts(lambda connection: accounts.blocked(*tables.accounts(connection)))

    async def ids(self, space: Space, after: str, limit: int) -> Sequence[tuple[str, str]]:
        """Of what is durable, in the order of the ids, each with its document's kind."""
        return await self._read(lambda connection: tables.ids(connection, space, after, limit))

    def changes(self) -> int | None:
        number = self._changes.number[0]
        return None if number & 1 else number

    async def maintain(self, job: Job[T]) -> T:
        """Run a short job of housekeeping in the writer's next group. Raises Unavailable."""
        return await self._commit(job)

    async def _listed(
        self,
        kind: type[Document],
        query: Query,
        run: Callable[[sqlite3.Connection, type[Document], Query], T],
    ) -> T:
        checked(query)
        if kind is Activation and len(self._batch) and self._writer.trouble is None:
            await self._batch.attempt()
        return await self._read(lambda connection: run(connection, kind, query))

    async def _read(self, job: Job[T]) -> T:
        try:
            return await self._reading.call(job)
        except sqlite3.Error as error:
            raise errors.Unavailable from error

    async def _read_accounts(self, job: Job[T]) -> T:
        """Whoever comes here has no use of a cache: the place to look after it."""
        self._changes.heal()
        return await self._read(job)

    async def _write(self, job: Job[T], kind: type[Document]) -> T:
        if space_of(kind) == "subjects":
            return await self._change(job)
        return await self._commit(job)

    async def _change(self, job: Job[T]) -> T:
        """Write to subjects or limits: nobody keeps what is read of them until it is committed. A caller who is
        cancelled leaves that as it is."""
        deadline = time.monotonic() + PATIENCE
        while not self._changes.begin():
            if time.monotonic() > deadline:
                raise errors.Unavailable("another process is changing subjects or limits, and does not end")
            await asyncio.sleep(0.002)
        committed = asyncio.ensure_future(self._commit(job))
        self._changing.add(committed)
        committed.add_done_callback(self._changed)
        return await asyncio.shield(committed)

    def _changed(self, committed: asyncio.Future[Any]) -> None:
        self._changes.end()
        self._changing.discard(committed)
        if not committed.cancelled():
            committed.exception()  # whoever asked for it may be gone

    async def _commit(self, job: Job[T]) -> T:
        try:
            return await self._writer.call(job)
        except sqlite3.Error as error:
            raise errors.Unavailable from error

    def _connect_writer(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            migrate(connection, self._path, owner=self._part.migrates)
            (mode,) = connection.execute("PRAGMA journal_mode = wal").fetchone()
            if mode != "wal":
                raise errors.Misconfigured(
                    f"{self._path} is on a file system without shared memory (a network share?), which SQLite's log "
                    "needs. Choose a folder on a local disk with --data."
                )
            self._settle(connection)
            connection.execute("PRAGMA journal_size_limit = 67108864")
            self._take_over(connection)
            self._changes = self._open_changes()
            connection.execute("PRAGMA busy_timeout = 0")  # the writer waits for its turn by itself
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_over(self, connection: sqlite3.Connection) -> None:
        """What an earlier life has left beside the database goes into it. Raises Misconfigured."""
        try:
            self._taken = self._part.take_over(connection, self._path, self._durability == "normal")
        except (OSError, sqlite3.OperationalError) as error:
            raise _unusable(self._path, error) from error

    def _release(self) -> None:
        for log_ahead in self._taken.ahead.values():
            log_ahead.close()
        self._changes.close()

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = on")
        return connection

    def _connect_checkpoint(self) -> sqlite3.Connection:
        connection = self._connect()
        self._settle(connection)
        connection.execute(f"PRAGMA busy_timeout = {checkpoint.PATIENCE}")
        return connection

    def _settle(self, connection: sqlite3.Connection) -> None:
        """For one that writes."""
        connection.execute(f"PRAGMA synchronous = {self._durability}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")

    def _connect(self) -> sqlite3.Connection:
        """The file is made here and not by SQLite, for it holds everybody's keys. One that is there must not be opened
        beside SQLite: closing it would drop the locks that this process has on it, and another process that leaves
        would take the log away."""
        try:
            if not self._path.exists():
                os.close(private_file(self._path))
            return sqlite3.connect(
                self._path, timeout=self._part.patience, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise _unusable(self._path, error) from error

    def _open_changes(self) -> Changes:
        path = changes_file(self._path)
        try:
            return Changes(private_file(path))
        except OSError as error:
            raise _unusable(path, error) from error


def _tell_unwritten(kept: int, lost: int, trouble: str | None) -> None:
    why = trouble or "the disk takes too long"
    if kept:
        log.warning("%d activation records lie beside the database, the next start puts them there: %s", kept, why)
    if lost:
        log.error("%d activation records are lost: %s", lost, why)


def _unusable(path: Path, error: Exception) -> errors.Misconfigured:
    return errors.Misconfigured(
        f"{path} cannot be opened: {error}. Make its folder and allow this user to write there, or choose another "
        "folder with --data."
    )


def _identity(connection: sqlite3.Connection, owner: accounts.Owner) -> Identity:
    subject, namespace = owner
    try:
        limits = tables.read(connection, Limits, f"{namespace.name}/limits").doc
    except errors.NotFound:
        return identity_of(subject, namespace, UserLimits())
    assert isinstance(limits, Limits)
    return identity_of(subject, namespace, limits.limits)
