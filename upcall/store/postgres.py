"""The Store in a PostgreSQL database: for several processes, on several machines.

Reads and writes of documents run side by side, each on a connection of the pool; a write is one transaction. Records of
activations go out in groups (`upcall.store.postgres_writer`): as many as the batch may hold are in memory alone, which
is no promise of anything (`promise` is always False). Subjects and limits notify all processes when they change
(`upcall.store.postgres_changes`).

While the server is away, records wait and reads fail with the cause; new activations are turned away when that takes
longer than `RESTART`. The database's own settings say what survives a loss of power (`synchronous_commit`).

Reading one's writes: as with SQLite, a record that is not here is looked up in the batch, and lists wait for what was
taken.
Another process sees records when they are committed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self, TypeVar, cast

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Identity, Limits, UserLimits, identity_of
from upcall.model.store_url import PostgresUrl
from upcall.ports import D, Query, Stored
from upcall.store import accounts, postgres_tables
from upcall.store.batch import MAX_BYTES, MAX_RECORDS, Record
from upcall.store.coding import Space, checked, decode, exactly, record_rev, space_of
from upcall.store.journalled import SettledJournal
from upcall.store.postgres_changes import CHANNEL, Changes
from upcall.store.postgres_link import FAILURES, Connection, Job, Link, cause
from upcall.store.postgres_migrate import migrate
from upcall.store.postgres_writer import OnTrouble, Recorder

T = TypeVar("T")

LINGER = 0.005
"""Seconds between two groups of records that nobody awaits."""
RESTART = 2.0
"""Seconds that a server may be away before new activations are turned away."""

log = logging.getLogger(__name__)


class PostgresStore:
    """Implements `upcall.ports.Store`; use it as an async context manager, or `open` and `close` it.

    `owner=False` is for a process beside the platform's own: it changes no older database, and does not listen for
    changes. Else as `upcall.store.sqlite.SqliteStore`.
    """

    def __init__(
        self,
        url: PostgresUrl,
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        linger: float = LINGER,
        on_trouble: OnTrouble | None = None,
        owner: bool = True,
    ) -> None:
        self._link = Link(url)
        self._owner = owner
        self._recorder = Recorder(self._write_records, linger, max_records, max_bytes, on_trouble)
        self._batch = self._recorder.batch
        self._changes = Changes(self._link)
        self.lost = 0
        """Records that `close` could not save."""
        self.journal: SettledJournal
        """Where it is `journalled`."""

    async def open(self) -> Self:
        """Find the database, make or migrate its tables. Raises Misconfigured."""
        await self._link.open()
        try:
            async with self._link.connection() as connection:
                await migrate(connection, self._link.url.masked, owner=self._owner)
            if self._owner:
                await self._changes.open()
        except FAILURES as error:
            await self._link.close()
            raise self._link.unusable(error) from error
        except BaseException:
            await self._link.close()
            raise
        self._recorder.open()
        return self

    async def close(self, patience: float = 10.0) -> None:
        """Flush and let go. Records that the server does not take for `patience` seconds are lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._batch.flush()
        self.lost = len(self._batch)
        if self.lost:
            log.error("%d activation records are lost: %s", self.lost, self.trouble or "the database is too slow")
        await self._recorder.close()
        await self._changes.close()
        await self._link.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def trouble(self) -> str | None:
        """Why records could not be written last time, while none has been since."""
        return self._recorder.trouble

    @property
    def pending(self) -> int:
        """Records that are not durable yet."""
        return len(self._batch)

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        waiting = self._batch.get(id) if kind is Activation else None
        try:
            found = await self._link.read(lambda connection: postgres_tables.read(connection, kind, id))
        except (errors.NotFound, errors.Unavailable):
            if waiting is None:
                raise
            found = Stored(decode(Activation, waiting), record_rev(id))
        return exactly(found, id, rev)

    async def put(self, doc: Document, rev: str | None = None) -> str:
        if not isinstance(doc, Activation):
            return await self._write(lambda connection: postgres_tables.write(connection, doc, rev), type(doc))
        if rev is not None or self._batch.get(doc.id) is not None:
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        return await self._link.write(lambda connection: postgres_tables.insert_record(connection, doc))

    async def delete(self, kind: type[Document], id: str, rev: str) -> None:
        if kind is Activation and self._batch.get(id) is not None:
            await self._batch.attempt()
        await self._write(lambda connection: postgres_tables.remove(connection, kind, id, rev), kind)

    async def list(self, kind: type[D], query: Query) -> Sequence[D]:
        found = await self._listed(kind, query, postgres_tables.select)
        return cast(Sequence[D], found)

    async def count(self, kind: type[Document], query: Query) -> int:
        return await self._listed(kind, query, postgres_tables.count)

    def record(self, activation: Activation) -> bool:
        return self._batch.record(activation)

    def promise(self, activation: Activation) -> bool:
        return False

    async def room(self) -> None:
        await self._batch.room()

    def refusal(self) -> str | None:
        """While something waits it is tried again, so that trouble ends by itself. A server that is being restarted
        is no reason: it is back soon."""
        trouble = self._recorder.trouble
        if trouble is None or not len(self._batch) or time.monotonic() - self._recorder.since < RESTART:
            return None
        return trouble

    async def flush(self) -> None:
        await self._batch.flush()

    async def identity(self, uuid: str, key: str) -> Identity | None:
        async def find(connection: Connection) -> Identity | None:
            owner = accounts.by_credentials(await postgres_tables.subjects_by(connection, "uuid", uuid), uuid, key)
            return await _identity(connection, owner) if owner else None

        return await self._link.read(find)

    async def owner(self, namespace: str) -> Identity | None:
        return next(iter(await self.identities(namespace)), None)

    async def identities(self, namespace: str) -> Sequence[Identity]:
        async def find(connection: Connection) -> Sequence[Identity]:
            subjects = await postgres_tables.subjects_by(connection, "namespace", namespace)
            return [await _identity(connection, owner) for owner in accounts.by_namespace(subjects, namespace)]

        return await self._link.read(find)

    async def blocked(self) -> frozenset[str]:
        async def find(connection: Connection) -> frozenset[str]:
            return accounts.blocked(*await postgres_tables.accounts(connection))

        return await self._link.read(find)

    async def ids(self, space: Space, after: str, limit: int) -> Sequence[tuple[str, str]]:
        """See `upcall.store.sqlite.SqliteStore.ids`."""
        return await self._link.read(lambda connection: postgres_tables.ids(connection, space, after, limit))

    def changes(self) -> int | None:
        return self._changes.current

    async def recorded(self, ids: Iterable[str]) -> set[str]:
        """Those of the activations that have a record. Raises Unavailable."""
        return await self._link.read(lambda connection: postgres_tables.recorded(connection, ids))

    async def maintain(self, job: Job[T]) -> T:
        """Run a short job of housekeeping, in a transaction. Raises Unavailable."""
        return await self._link.write(job)

    async def _listed(
        self,
        kind: type[Document],
        query: Query,
        run: Callable[[Connection, type[Document], Query], Awaitable[T]],
    ) -> T:
        checked(query)
        if kind is Activation and len(self._batch) and self.trouble is None:
            await self._batch.attempt()
        return await self._link.read(lambda connection: run(connection, kind, query))

    async def _write(self, job: Job[T], kind: type[Document]) -> T:
        if space_of(kind) != "subjects":
            return await self._link.write(job)

        async def change(token: str) -> Any:
            async def told(connection: Connection) -> T:
                done = await job(connection)
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, token)
                return done

            return await self._link.write(told)

        return cast(T, await self._changes.change(change))

    async def _write_records(self, records: Sequence[Record]) -> None:
        """Raises with the cause in words."""
        try:
            await self._link.again(lambda connection: postgres_tables.insert_records(connection, records))
        except FAILURES as error:
            raise errors.Unavailable(cause(error)) from error


async def _identity(connection: Connection, owner: accounts.Owner) -> Identity:
    subject, namespace = owner
    try:
        limits = (await postgres_tables.read(connection, Limits, f"{namespace.name}/limits")).doc
    except errors.NotFound:
        return identity_of(subject, namespace, UserLimits())
    assert isinstance(limits, Limits)
    return identity_of(subject, namespace, limits.limits)
