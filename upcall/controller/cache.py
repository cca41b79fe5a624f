"""Documents as invokes need them, by id: actions, packages and triggers; actions **without their code**, which only the
Invoker reads.

Whoever writes a document says so at once (`forget`); entries have a time limit too, which is a short one while nobody
knows what other controllers write (`upcall.controller.invalidation`). Requests for the same one that come together
share one read; a read that was on its way when it was written is given to those who asked for it and not kept. Bounded
by the size of what is kept: an action can carry a megabyte of parameters.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET

from upcall.controller.plan import Plan
from upcall.errors import Conflict
from upcall.model import texts
from upcall.model.documents import Document
from upcall.model.entities import Action, Package, Trigger
from upcall.ports import Store, Stored

MB = 1024 * 1024
LIFETIME = 300.0
KINDS: tuple[type[Document], ...] = (Action, Package, Trigger)


class Lease:
    """What follows from documents, as long as it may be used. Who keeps a lease keeps nothing that the cache has
    dropped: it ends then, and lets go of the plan. `chain` are the packages it follows from."""

    __slots__ = ("chain", "plan", "until")

    def __init__(self, until: float, plan: Plan | None = None, chain: tuple[Package, ...] = ()) -> None:
        self.until = until
        self.plan = plan
        self.chain = chain

    def end(self) -> None:
        self.until, self.plan, self.chain = 0.0, None, ()


class Entry:
    """One document that is kept."""

    __slots__ = ("ends", "held", "lease", "stored", "weight")

    def __init__(self, stored: Stored, until: float, weight: int) -> None:
        self.stored = stored
        self.weight = weight
        self.lease = Lease(until)
        self.held: dict[str, Lease] = {}
        """Of a package: what follows from it and others, by the name of the action."""
        self.ends: dict[str, Lease] = {}
        """What else ends with it, by the id that was asked for."""


def without_code(stored: Stored) -> Stored:
    """The same, unless it is an action with code."""
    action = stored.doc
    if not isinstance(action, Action) or action.exec.code is UNSET:
        return stored
    exec_ = msgspec.structs.replace(action.exec, code=UNSET)
    return Stored(msgspec.structs.replace(action, exec=exec_), stored.rev)


class DocumentCache:
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
        self._reads: dict[tuple[type[Document], str], asyncio.Future[Entry]] = {}

    def entry(self, id: str) -> Entry | None:
        """What is known of the document, if anything is."""
        entry = self._entries.get(id)
        if entry is None or entry.lease.until > self._clock():
            return entry
        self._drop(id)
        return None

    def cached(self, id: str) -> Stored | None:
        entry = self.entry(id)
        return entry.stored if entry else None

    async def fetch(self, id: str, kind: type[Document] = Action) -> Stored:
        """The document, from the store where it is not known. Raises what `Store.get` raises."""
        return (await self.fetch_entry(id, kind)).stored

    async def fetch_entry(self, id: str, kind: type[Document] = Action) -> Entry:
        while True:
            if entry := self.entry(id):
                if not isinstance(entry.stored.doc, kind):
                    raise Conflict(texts.CONFORMANCE)
                return entry
            read = self._reads.get((kind, id))
            if read is None:
                return await self._read(kind, id)
            await asyncio.wait([read])
            if not read.cancelled():  # else its reader was; the next one reads
                return read.result()

    def holds(self, lease: Lease) -> bool:
        """Whether it may be used still."""
        return lease.until > self._clock()

    def hold(self, lease: Lease, name: str, packages: Sequence[Entry], action: Entry) -> None:
        """Keep what follows from the packages and the action called `name` in the last of them, until one of them is
        dropped. It weighs as much as its plan's arguments."""
        first, *others = packages
        lease.until = min(entry.lease.until for entry in (*packages, action))
        asked = first.stored.doc.id
        if self._entries.get(asked) is not first or not lease.until:
            return
        if name in first.held:
            first.held[name].end()
        else:
            weight = 1024 + (len(lease.plan.defaults.content) if lease.plan is not None else 0)
            first.weight += weight
            self._weight += weight
        first.held[name] = lease
        for entry in (*others, action):
            entry.ends[f"{asked}/{name}"] = lease
        self._make_room()

    def forget(self, id: str) -> None:
        """The document was written or deleted."""
        for kind in KINDS:
            self._reads.pop((kind, id), None)
        self._drop(id)

    def expire_after(self, ttl: float) -> None:
        """From now on, beginning with nothing."""
        self._ttl = ttl
        self.clear()

    def clear(self) -> None:
        for id in [*self._entries, *(id for _, id in self._reads)]:
            self.forget(id)

    async def _read(self, kind: type[Document], id: str) -> Entry:
        read: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._reads[kind, id] = read
        try:
            entry = self._entry_of(await self._store.get(kind, id))
        except asyncio.CancelledError:
            read.cancel()
            raise
        except Exception as error:
            read.set_exception(error)
            read.exception()  # nobody else may be waiting: it counts as retrieved
            raise
        else:
            read.set_result(entry)
            if self._reads.get((kind, id)) is read:
                self._keep(id, entry)
            else:
                entry.lease.until = 0.0
            return entry
        finally:
            if self._reads.get((kind, id)) is read:
                del self._reads[kind, id]

    def _entry_of(self, stored: Stored) -> Entry:
        stored = without_code(stored)
        return Entry(stored, self._clock() + self._ttl, 1024 + len(msgspec.json.encode(stored.doc)))

    def _keep(self, id: str, entry: Entry) -> None:
        self._drop(id)
        if entry.weight > self._room:
            entry.lease.until = 0.0
            return
        self._weight += entry.weight
        self._make_room()
        self._entries[id] = entry

    def _make_room(self) -> None:
        while self._weight > self._room and self._entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, id: str) -> None:
        entry = self._entries.pop(id, None)
        if entry:
            self._weight -= entry.weight
            for lease in (entry.lease, *entry.held.values(), *entry.ends.values()):
                lease.end()
            entry.held, entry.ends = {}, {}
