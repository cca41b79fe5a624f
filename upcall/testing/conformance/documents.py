"""Action documents and records in the Invoker's store, through the platform's own adapters.

Documents are plain JSON here (spec: store.md §3, §6). The stores are asynchronous: they live on an event loop in a
thread of their own.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import msgspec

from upcall.errors import NotFound, UpcallError
from upcall.model.activation import Activation
from upcall.model.entities import Action, Subject
from upcall.model.store_url import parse_store
from upcall.store.choice import beside
from upcall.testing.conformance.check import Failed

T = TypeVar("T")
Document = dict[str, Any]


class Documents:
    """Of the store at a URL. Raises Failed where it cannot be used. Close it in the end."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._store = beside(parse_store(url))
        try:
            self._do(self._opened())
        except BaseException:
            self._end()
            raise

    def put(self, action: Document, rev: str | None = None) -> str:
        """Create, or replace revision `rev`; gives the new one."""
        return self._do(self._store.put(msgspec.json.decode(msgspec.json.encode(action), type=Action), rev))

    def remove(self, id: str, rev: str) -> None:
        self._do(self._store.delete(Action, id, rev))

    def block(self, namespace: str) -> None:
        """Make a blocked subject with that namespace."""
        entry = {"name": namespace, "uuid": "00000000-0000-4000-8000-000000000000", "key": "k" * 64}
        subject = {"subject": namespace, "namespaces": [entry], "blocked": True}
        self._do(self._store.put(msgspec.convert(subject, Subject)))

    def record(self, namespace: str, id: str) -> Document | None:
        """An activation's record as REST shows it."""
        try:
            stored = self._do(self._store.get(Activation, f"{namespace}/{id}"))
        except NotFound:
            return None
        return cast(Document, msgspec.json.decode(msgspec.json.encode(stored.doc)))

    def close(self) -> None:
        self._do(self._store.close())
        self._end()

    async def _opened(self) -> None:
        await self._store.open()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
        except NotFound:
            raise
        except UpcallError as error:
            raise Failed(f"the store: {error}") from error
