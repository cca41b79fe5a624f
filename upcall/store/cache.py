"""Actions by revision, as the Invoker reads them (spec: store.md §4).

The key is (id, revision), so nothing is ever invalidated: a new revision is another key, and what nobody asks for any
more expires five minutes after its last use. Reads of one key that overlap share one request; a failure is told to all
of them and not kept. Entries are in the order of their last use, which is the order of expiry and of eviction alike.
Code is what is big: the bound is in bytes, and a single action above it is never kept.

Where the revision asked for is no longer current, the newest is read and run: it wins, by upstream's design.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from upcall.errors import Unreadable
from upcall.model.entities import Action
from upcall.ports import Store, Stored
from upcall.store.coding import encode

MAX_BYTES = 256 * 1024 * 1024
LIFETIME = 300.0

_Key = tuple[str, str]


class _Entry(msgspec.Struct, gc=False):
    stored: Stored
    size: int
    expires: float


class ActionCache:
    """`now` gives seconds on a clock that never goes back."""

    def __init__(
        self, store: Store, now: Callable[[], float], max_bytes: int = MAX_BYTES, lifetime: float = LIFETIME
    ) -> None:
        self.size = 0
        self._store = store
        self._now = now
        self._max_bytes = max_bytes
        self._lifetime = lifetime
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._reading: dict[_Key, asyncio.Future[Stored | Exception | None]] = {}

    def cached(self, id: str, rev: str | None) -> Stored | None:
        """What is here of that revision, at once."""
        if rev is None:
            return None
        key = id, rev
        entry = self._entries.get(key)
        now = self._now()
        if entry is None or entry.expires <= now:
            return None
        entry.expires = now + self._lifetime
        self._entries.move_to_end(key)
        return entry.stored

    async def fetch(self, id: str, rev: str | None) -> Stored:
        """From here or from the store; without a revision always the newest, from the store. Raises what
        `Store.get` raises."""
        if rev is None:
            return await self._store.get(Action, id)
        while (found := self.cached(id, rev)) is None:
            shared = self._reading.get((id, rev))
            if shared is None:
                return await self._lead(id, rev)
            outcome = await asyncio.shield(shared)
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                return outcome
        return found

    def expire(self) -> None:
        """Drop what was not used for its lifetime."""
        now = self._now()
        while self._entries and next(iter(self._entries.values())).expires <= now:
            self._drop()

    async def _lead(self, id: str, rev: str) -> Stored:
        """Read for oneself and for all who ask meanwhile; when cancelled, leave it to one of them."""
        shared = self._reading[id, rev] = asyncio.get_running_loop().create_future()
        outcome: Stored | Exception | None = None
        try:
            outcome = stored = await self._newest_or(id, rev)
            self._keep(id, stored)
            return stored
        except Exception as error:
            outcome = error
            raise
        finally:
            del self._reading[id, rev]
            shared.set_result(outcome)

    async def _newest_or(self, id: str, rev: str) -> Stored:
        try:
            return await self._store.get(Action, id, rev)
        except Unreadable:
            return await self._store.get(Action, id)

    def _keep(self, id: str, stored: Stored) -> None:
        self.expire()
        key, size = (id, stored.rev), _size(stored)
        if key in self._entries or size > self._max_bytes:
            return
        self._entries[key] = _Entry(stored, size, self._now() + self._lifetime)
        self.size += size
        while self.size > self._max_bytes:
            self._drop()

    def _drop(self) -> None:
        self.size -= self._entries.popitem(last=False)[1].size


def _size(stored: Stored) -> int:
    """About what it takes in memory: the document decoded is some times its JSON, the code is what it is."""
    data, code = encode(stored.doc)
    return 4 * len(data) + sys.getsizeof(code)
