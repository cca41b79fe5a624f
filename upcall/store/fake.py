"""The Store in dictionaries: for tests, and the shortest statement of what a Store does.

It passes the contract suite. Documents are kept encoded, so nobody shares an object with it, and records are durable at
once. `full = True` makes `record` refuse, as a batch does whose disk is slow; `full = False` makes room again;
`trouble` is what it turns new activations away for.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self, cast

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Identity, Limits, Subject, UserLimits, identity_of
from upcall.ports import D, Query, Stored
from upcall.store import accounts
from upcall.store.coding import (
    Place,
    Space,
    checked,
    decode,
    decoded,
    encode,
    exactly,
    next_rev,
    place_of,
    record_name,
    record_rev,
    space_of,
)


class _Row(NamedTuple):
    kind: str
    id: str
    rev: str
    data: bytes
    code: str | None
    place: Place
    name: str


class FakeStore:
    """Implements `upcall.ports.Store`."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Space, str], _Row] = {}
        self._changes = 0
        self.trouble: str | None = None
        self._room = asyncio.Event()
        self._room.set()

    async def open(self) -> Self:
        return self

    async def close(self) -> None:
        """Nothing to let go of."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to let go of."""

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    @full.setter
    def full(self, full: bool) -> None:
        if full:
            self._room.clear()
        else:
            self._room.set()

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        row = self._row(kind, id)
        return exactly(Stored(decode(kind, row.data, row.code), row.rev), id, rev)

    async def put(self, doc: Document, rev: str | None = None) -> str:
        old = self._rows.get((space_of(type(doc)), doc.id))
        if old is not None and old.kind != doc.entity_type:
            raise errors.Conflict(texts.CONFORMANCE)
        if rev != (old and old.rev) or (rev is not None and isinstance(doc, Activation)):
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        return self._keep(doc, next_rev(rev))

    async def delete(self, kind: type[Document], id: str, rev: str) -> None:
        if self._row(kind, id).rev != rev:
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        del self._rows[space_of(kind), id]
        self._changes += space_of(kind) == "subjects"

    async def list(self, kind: type[D], query: Query) -> Sequence[D]:
        _, _, skip, limit = checked(query)
        rows = _matching(self._rows.values(), kind, query)
        rows.reverse()
        rows.sort(key=lambda row: row.place.updated, reverse=True)
        wanted = [(row.id, row.data) for row in rows[skip : skip + limit]]
        return cast(Sequence[D], decoded(kind, wanted, query.whole))

    async def count(self, kind: type[Document], query: Query) -> int:
        return max(0, len(_matching(self._rows.values(), kind, query)) - query.skip)

    def record(self, activation: Activation) -> bool:
        if self.full:
            return False
        if ("activations", activation.id) not in self._rows:
            self._keep(activation, record_rev(activation.id))
        return True

    def promise(self, activation: Activation) -> bool:
        return True

    async def room(self) -> None:
        await self._room.wait()

    def refusal(self) -> str | None:
        return self.trouble

    async def flush(self) -> None:
        """Nothing waits here."""

    async def identity(self, uuid: str, key: str) -> Identity | None:
        owner = accounts.by_credentials(_all(self._rows.values(), Subject), uuid, key)
        return self._identity(owner) if owner else None

    async def owner(self, namespace: str) -> Identity | None:
        return next(iter(await self.identities(namespace)), None)

    async def identities(self, namespace: str) -> Sequence[Identity]:
        owners = accounts.by_namespace(_all(self._rows.values(), Subject), namespace)
        return [self._identity(owner) for owner in owners]

    async def blocked(self) -> frozenset[str]:
        return accounts.blocked(_all(self._rows.values(), Subject), _all(self._rows.values(), Limits))

    def changes(self) -> int | None:
        return self._changes

    def _row(self, kind: type[Document], id: str) -> _Row:
        row = self._rows.get((space_of(kind), id))
        if row is None:
            raise errors.NotFound
        if row.kind != kind.entity_type:
            raise errors.Conflict(texts.CONFORMANCE)
        return row

    def _keep(self, doc: Document, rev: str) -> str:
        data, code = encode(doc)
        place, name = place_of(doc), ""
        if isinstance(doc, Activation):
            rev, name = record_rev(doc.id), record_name(doc.name, doc.annotations)
            place = Place(doc.namespace, "", doc.start)
        self._changes += space_of(type(doc)) == "subjects"
        self._rows[space_of(type(doc)), doc.id] = _Row(doc.entity_type, doc.id, rev, data, code, place, name)
        return rev

    def _identity(self, owner: accounts.Owner) -> Identity:
        subject, namespace = owner
        limits = next((each for each in _all(self._rows.values(), Limits) if each.namespace == namespace.name), None)
        return identity_of(subject, namespace, UserLimits() if limits is None else limits.limits)


def _matching(rows: Iterable[_Row], kind: type[Document], query: Query) -> list[_Row]:
    since, upto, _, _ = checked(query)
    return [
        row
        for row in rows
        if row.kind == kind.entity_type
        and row.place.namespace == query.namespace
        and since <= row.place.updated <= upto
        and (kind is not Activation or query.name in (None, row.name))
        and (kind is Activation or query.package in (None, row.place.package))
    ]


def _all(rows: Iterable[_Row], kind: type[D]) -> list[D]:
    return [cast(D, decode(kind, row.data)) for row in rows if row.kind == kind.entity_type]
