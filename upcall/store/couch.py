"""The Store in three databases of a CouchDB server, shared with upstream's controllers and Invokers (spec: store.md).

Documents, design documents, attachments and records are upstream's, so that either side reads what the other one wrote
(`upcall.store.couch_entries`). Records go out in groups (`upcall.store.couch_writer`); subjects and limits are followed
in their database's feed of changes (`upcall.store.couch_changes`).

Reading one's writes: a record that waits is found there, and lists wait for what was taken. Lists of records that are
not whole come from the views alone, which know no subject. Blocked namespaces come from a view that is brought up to
date after it was read, as upstream asks for it: a change shows at the next time.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Self, cast

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Identity
from upcall.model.runtimes import Manifest
from upcall.model.store_url import CouchUrl
from upcall.ports import D, Query, Stored
from upcall.store import couch_accounts
from upcall.store.coding import Space, checked, decode, exactly, record_rev, space_of
from upcall.store.couch_changes import Changes
from upcall.store.couch_entries import Entries
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_opening import Part, prepare
from upcall.store.couch_spill import Spill
from upcall.store.couch_writer import CouchWriter
from upcall.store.journalled import SettledJournal


class CouchStore:
    """Implements `upcall.ports.Store`; use it as an async context manager, or `open` and `close` it.

    `part` says what the process is, `spill` is where records wait that the server does not take, `manifest` says which
    kinds there are and whose code is attached (None: any, and all).
    """

    def __init__(
        self, url: CouchUrl, *, part: Part = "owner", spill: Spill | None = None, manifest: Manifest | None = None
    ) -> None:
        self.http = CouchHttp(url)
        self._part = part
        self._entries = Entries(self.http, manifest)
        self._writer = CouchWriter(self.http, url.activations, spill)
        self._changes = Changes(self.http)
        self.journal: SettledJournal
        self.lost = 0
        """Records that `close` could not save."""

    async def open(self) -> Self:
        """Find the databases, make what is missing where that is our part. Raises Misconfigured."""
        await self.http.open()
        try:
            await prepare(self.http, self._part)
            if self._part != "guest":
                await self._changes.open()
            await self._writer.open()
        except BaseException:
            await self._changes.close()
            await self.http.close()
            raise
        return self

    async def close(self, patience: float = 10.0) -> None:
        """Flush and let go. What the server does not take for `patience` seconds waits on the disk, or is lost."""
        await self._writer.close(patience)
        self.lost = self._writer.lost
        await self._changes.close()
        await self.http.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def trouble(self) -> str | None:
        """Why records could not be written last time, while none has been since."""
        return self._writer.trouble

    @property
    def pending(self) -> int:
        """Records that are not durable yet."""
        return len(self._writer)

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        waiting = await self._writer.get(id) if kind is Activation else None
        try:
            return await self._entries.read(kind, id, rev)
        except (errors.NotFound, errors.Unavailable):
            if waiting is None:
                raise
            return exactly(Stored(decode(Activation, waiting), record_rev(id)), id, rev)

    async def put(self, doc: Document, rev: str | None = None) -> str:
        if not isinstance(doc, Activation):
            return await self._told(type(doc), doc.id, lambda: self._entries.write(doc, rev))
        if rev is not None or await self._writer.get(doc.id) is not None:
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        await self._entries.write(doc, None)
        return record_rev(doc.id)

    async def delete(self, kind: type[Document], id: str, rev: str) -> None:
        if kind is Activation and await self._writer.get(id) is not None:
            await self._writer.attempt()
        current = await self._entries.current(kind, id, rev)
        await self._told(kind, id, lambda: self._entries.remove(kind, id, current))

    async def ids(self, space: Space, after: str, limit: int) -> list[tuple[str, str]]:
        """See `upcall.store.sqlite.SqliteStore.ids`."""
        return await self._entries.ids(space, after, limit)

    async def list(self, kind: type[D], query: Query) -> Sequence[D]:
        checked(query)
        await self._settled(kind)
        return cast(Sequence[D], await self._entries.list(kind, query))

    async def count(self, kind: type[Document], query: Query) -> int:
        checked(query)
        await self._settled(kind)
        return await self._entries.count(kind, query)

    def record(self, activation: Activation) -> bool:
        return self._writer.record(activation)

    def promise(self, activation: Activation) -> bool:
        return False

    async def room(self) -> None:
        await self._writer.room()

    def refusal(self) -> str | None:
        return self._writer.refusal()

    async def flush(self) -> None:
        await self._writer.flush()

    async def identity(self, uuid: str, key: str) -> Identity | None:
        return await couch_accounts.by_credentials(self.http, uuid, key)

    async def owner(self, namespace: str) -> Identity | None:
        return next(iter(await self.identities(namespace)), None)

    async def identities(self, namespace: str) -> Sequence[Identity]:
        return await couch_accounts.by_namespace(self.http, namespace)

    async def blocked(self) -> frozenset[str]:
        return await couch_accounts.blocked(self.http)

    def changes(self) -> int | None:
        return self._changes.current

    async def recorded(self, ids: Iterable[str]) -> set[str]:
        """Those of the activations that have a record. Raises Unavailable."""
        asked = list(ids)
        return await self._entries.recorded(asked) | await self._writer.among(asked)

    async def _settled(self, kind: type[Document]) -> None:
        if kind is Activation and len(self._writer) and self._writer.trouble is None:
            await self._writer.attempt()

    async def _told(self, kind: type[Document], id: str, run: Callable[[], Awaitable[str]]) -> str:
        """What changes subjects or limits is a change to whoever keeps them."""
        return await (self._changes.change(id, run) if space_of(kind) == "subjects" else run())
