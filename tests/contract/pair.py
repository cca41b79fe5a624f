"""Two stores on one SQLite file, as an Invoker and a controller have them: one writes, the other reads."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Identity
from upcall.model.store_url import SqliteUrl
from upcall.ports import D, Query, Stored
from upcall.store.choice import Storage, opened


class Pair:
    """Implements `upcall.ports.Store`. What one has taken the other sees once it is durable: reading waits for that."""

    def __init__(self, path: Path) -> None:
        self._url = SqliteUrl(path)
        self._stack = AsyncExitStack()
        self.reader: Storage
        self.writer: Storage

    async def __aenter__(self) -> Self:
        self.writer, self.reader = [
            await self._stack.enter_async_context(opened(self._url, self._url.path.parent / name, "normal", name))
            for name in ("invoker0", "controller0")
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._stack.aclose()

    async def get(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        await self.writer.flush()
        return await self.reader.get(kind, id, rev)

    async def list(self, kind: type[D], query: Query) -> Sequence[D]:
        await self.writer.flush()
        return await self.reader.list(kind, query)

    async def count(self, kind: type[Document], query: Query) -> int:
        await self.writer.flush()
        return await self.reader.count(kind, query)

    async def identity(self, uuid: str, key: str) -> Identity | None:
        return await self.reader.identity(uuid, key)

    async def owner(self, namespace: str) -> Identity | None:
        return await self.reader.owner(namespace)

    async def identities(self, namespace: str) -> Sequence[Identity]:
        return await self.reader.identities(namespace)

    async def blocked(self) -> frozenset[str]:
        return await self.reader.blocked()

    def changes(self) -> int | None:
        return self.reader.changes()

    async def put(self, doc: Document, rev: str | None = None) -> str:
        return await self.writer.put(doc, rev)

    async def delete(self, kind: type[Document], id: str, rev: str) -> None:
        await self.writer.delete(kind, id, rev)

    def record(self, activation: Activation) -> bool:
        return self.writer.record(activation)

    def promise(self, activation: Activation) -> bool:
        return self.writer.promise(activation)

    async def room(self) -> None:
        await self.writer.room()

    def refusal(self) -> str | None:
        return self.writer.refusal()

    async def flush(self) -> None:
        await self.writer.flush()
