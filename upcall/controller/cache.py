"""Actions as invokes need them, by id: **without their code**, which only the Invoker reads.

Whoever writes an action says so at once (`forget`); entries have a time limit too, which is a short one while nobody
knows what other controllers write (`upcall.controller.invalidation`). Requests for the same action that come together
share one read; a read that was on its way when the action was written is given to those who asked for it and not kept.
Bounded by the size of what is kept: an action can carry a megabyte of parameters.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec
from msgspec import UNSET

from upcall.controller.plan import Plan
from upcall.model.entities import Action
from upcall.ports import Store, Stored

MB = 1024 * 1024
LIFETIME = 300.0


class Lease:
    """What follows from a document, as long as it may be used. Who keeps a lease keeps nothing that the cache has
    dropped: it ends then, and lets go of the plan."""

    __slots__ = ("plan", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.plan: Plan | None = None


class Entry:
    """One action that is kept."""

    __slots__ = ("lease", "stored", "weight")

    def __init__(self, stored: Stored, until: float, weight: int) -> None:
        self.stored = stored
        self.weight = weight
        self.lease = Lease(until)


def without_code(stored: Stored) -> Stored:
    action = stored.doc
    if not isinstance(action, Action) or action.exec.code is UNSET:
        return stored
    exec_ = msgspec.structs.replace(action.exec, code=UNSET)
    return Stored(msgspec.structs.replace(action, exec=exec_), stored.rev)


class ActionCache:
    """At most `room` bytes of documents, for `ttl` seconds each."""

    def __init__(
        self, store: Store, ttl: float = LIFETIME, room: int = 64 * MB, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._ttl = ttl
        self._room = room
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._weight = 0
        self._reads: dict[str, asyncio.Future[Entry]] = {}

    def entry(self, id: str) -> Entry | None:
        """What is known of the action, if anything is."""
        entry = self._entries.get(id)
        if entry is None or entry.lease.until > self._clock():
            return entry
        self._drop(id)
        return None

    def cached(self, id: str) -> Stored | None:
        entry = self.entry(id)
        return entry.stored if entry else None

    async def fetch(self, id: str) -> Stored:
        """The action, from the store where it is not known. Raises what `Store.get` raises."""
        return (await self.fetch_entry(id)).stored

    async def fetch_entry(self, id: str) -> Entry:
        while True:
            if entry := self.entry(id):
                return entry
            read = self._reads.get(id)
            if read is None:
                return await self._read(id)
            await asyncio.wait([read])
            if not read.cancelled():  # else its reader was; the next one reads
                return read.result()

    def forget(self, id: str) -> None:
        """The action was written or deleted."""
        self._reads.pop(id, None)
        self._drop(id)

    def expire_after(self, ttl: float) -> None:
        """From now on, beginning with nothing."""
        self._ttl = ttl
        self.clear()

    def clear(self) -> None:
        for id in [*self._entries, *self._reads]:
            self.forget(id)

    async def _read(self, id: str) -> Entry:
        read: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._reads[id] = read
        try:
            entry = self._entry_of(await self._store.get(Action, id))
        except asyncio.CancelledError:
            read.cancel()
            raise
        except Exception as error:
            read.set_exception(error)
            read.exception()  # nobody else may be waiting: it counts as retrieved
            raise
        else:
            read.set_result(entry)
            if self._reads.get(id) is read:
                self._keep(id, entry)
            else:
                entry.lease.until = 0.0
            return entry
        finally:
            if self._reads.get(id) is read:
                del self._reads[id]

    def _entry_of(self, stored: Stored) -> Entry:
        stored = without_code(stored)
        return Entry(stored, self._clock() + self._ttl, 1024 + len(msgspec.json.encode(stored.doc)))

    def _keep(self, id: str, entry: Entry) -> None:
        self._drop(id)
        if entry.weight > self._room:
            entry.lease.until = 0.0
            return
        while self._weight + entry.weight > self._room:
            self._drop(next(iter(self._entries)))
        self._entries[id] = entry
        self._weight += entry.weight

    def _drop(self, id: str) -> None:
        entry = self._entries.pop(id, None)
        if entry:
            self._weight -= entry.weight
            entry.lease.until, entry.lease.plan = 0.0, None
