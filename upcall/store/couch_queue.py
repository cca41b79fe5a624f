"""Activation records in memory, on their way to a CouchDB or to the disk before it.

    waiting ── take ──► flying ── settled ──► gone
       ▲                  └────── back, behind all that waits

Several groups may be flying, and end in any order. Who waits for what was taken so far waits for an *epoch*: records
count for the epoch that is current when they come, and a flush ends it. Whatever was taken before a flush is of its
epoch or of an earlier one, so it is over when the oldest that has open records is younger.

Both bounds count what waits and what is flying. The record that crosses a bound is still taken, the next is not.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from upcall.store.batch import MAX_BYTES, MAX_RECORDS
from upcall.store.couch_spill import Record

Waiter = asyncio.Future[None]


class _Epoch:
    __slots__ = ("open", "waiters")

    def __init__(self) -> None:
        self.open = 0
        self.waiters: list[Waiter] = []


class Queue:
    """Used on one event loop."""

    def __init__(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self._max_records, self._max_bytes = max_records, max_bytes
        self._waiting: dict[str, Record] = {}
        self._flying: dict[str, Record] = {}
        self._epoch_of: dict[str, _Epoch] = {}
        self._epochs = deque([_Epoch()])
        self._bytes = 0
        self._idle: list[Waiter] = []
        self._rooms: list[Waiter] = []
        self._impatient: list[Waiter] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._flying)

    @property
    def waiting(self) -> int:
        """Those that nobody has taken."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self) >= self._max_records or self._bytes >= self._max_bytes

    @property
    def pressed(self) -> bool:
        """Whether half of it is used."""
        return 2 * len(self) >= self._max_records or 2 * self._bytes >= self._max_bytes

    def __contains__(self, id: str) -> bool:
        return id in self._waiting or id in self._flying

    def add(self, record: Record) -> None:
        """One whose id is not here."""
        epoch = self._epochs[-1]
        epoch.open += 1
        self._epoch_of[record.id] = epoch
        self._waiting[record.id] = record
        self._bytes += len(record.doc)
        self._wake()

    def get(self, id: str) -> bytes | None:
        found = self._waiting.get(id) or self._flying.get(id)
        return None if found is None else found.doc

    def take(self, count: int, size: int) -> list[Record]:
        """The first that wait: not more than fit, but one if there is one."""
        taken: list[Record] = []
        for record in self._waiting.values():
            size -= len(record.doc)
            if len(taken) >= count or (taken and size < 0):
                break
            taken.append(record)
        for record in taken:
            self._flying[record.id] = self._waiting.pop(record.id)
        return taken

    async def some(self) -> None:
        """Return when something waits."""
        while not self._waiting:
            await _wait(self._idle)

    def settled(self, ids: Iterable[str]) -> None:
        """They are durable, or nobody can help them."""
        for id in ids:
            self._bytes -= len(self._flying.pop(id).doc)
            self._epoch_of.pop(id).open -= 1
        while not self._epochs[0].open:
            _release(self._epochs[0].waiters)
            if len(self._epochs) == 1:
                break
            self._epochs.popleft()
        if not self.full:
            _release(self._rooms)

    def back(self, ids: Iterable[str]) -> None:
        """They have to be tried again."""
        for id in ids:
            self._waiting[id] = self._flying.pop(id)
        if self._waiting:
            self._wake()

    def all(self) -> list[Record]:
        return [*self._flying.values(), *self._waiting.values()]

    async def room(self) -> None:
        while self.full:
            await _wait(self._rooms)

    async def flush(self) -> None:
        """Return when all that was added is settled."""
        if len(self):
            await _wait(self._flushed())

    async def attempt(self) -> None:
        """Return when all that was added is settled, or something had to be tried again."""
        if len(self):
            future = asyncio.get_running_loop().create_future()
            self._impatient = [each for each in self._impatient if not each.done()]
            self._impatient.append(future)
            self._flushed().append(future)
            await future

    def failed(self) -> None:
        """Something has to be tried again."""
        _release(self._impatient)

    def _flushed(self) -> list[Waiter]:
        """Where who waits for all of now is told."""
        last = self._epochs[-1]
        if last.open:
            self._epochs.append(_Epoch())
            return last.waiters
        return self._epochs[-2].waiters

    def _wake(self) -> None:
        """One of those who wait for something to take."""
        while self._idle:
            future = self._idle.pop()
            if not future.done():
                future.set_result(None)
                return


async def _wait(waiters: list[Waiter]) -> None:
    future: Waiter = asyncio.get_running_loop().create_future()
    waiters.append(future)
    await future


def _release(waiters: list[Waiter]) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(None)
    waiters.clear()
