"""Activation records on their way to the database: taken at once, written in groups, never dropped.

`record` is on the path of every activation and only encodes and keeps (0.7 us): the bytes are the record from then on,
so its size is known, nobody can change it any more, and what cannot be encoded is the caller's own exception. Whoever
writes (`upcall.store.writer`) takes all that waits, and says when it is durable or that it was not to be; then the same
records wait again, in front. Until then `get` finds them here. All this happens on the event loop: there are no locks.

Where there is a log ahead (`upcall.store.ahead`) a record is in it from then on, and outlives the process. A promise
puts it there before it is recorded, as the first of two versions: the record that follows has the logs.

Both bounds count what waits and what is being written. The record that crosses a bound is still taken, the next is not.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw

from upcall.model.activation import Activation
from upcall.store.ahead import Ahead

MAX_RECORDS, MAX_BYTES = 10_000, 64 * 1024 * 1024

_encode = msgspec.json.Encoder().encode
Waiters = list[tuple[int, asyncio.Future[None]]]


Record = tuple[str, str, int, str, Raw, bytes]
"""A record as the writer gets it: id, namespace, start, name, annotations (which tell the name that lists filter by:
the writer works it out), the encoded document."""


class Batch:
    """`wake(urgent)` tells the writer that there is something to take."""

    def __init__(
        self,
        wake: Callable[[bool], None],
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        ahead: Ahead | None = None,
    ) -> None:
        self._wake = wake
        self._ahead = ahead
        self._promised: dict[str, tuple[Activation, bytes]] = {}
        self._exposed: set[str] = set()
        self._max_records, self._max_bytes = max_records, max_bytes
        self._waiting: dict[str, Record] = {}
        self._writing: dict[str, Record] = {}
        self._waiting_bytes = self._writing_bytes = 0
        self._accepted = self._taken = self._durable = 0
        self._flushes: Waiters = []
        self._tries: Waiters = []
        self._rooms: Waiters = []

    def __len__(self) -> int:
        """Records that are not durable yet."""
        return len(self._waiting) + len(self._writing)

    @property
    def exposed(self) -> int:
        """How many of them would not outlive the process."""
        return len(self) if self._ahead is None else len(self._exposed)

    @property
    def full(self) -> bool:
        size = self._waiting_bytes + self._writing_bytes
        return size >= self._max_bytes or len(self._waiting) + len(self._writing) >= self._max_records

    def record(self, activation: Activation) -> bool:
        """See `upcall.ports.Store.record`. Raises what msgspec raises for a record that is not JSON."""
        waiting = self._waiting
        if (
            len(waiting) + len(self._writing) >= self._max_records
            or self._waiting_bytes + self._writing_bytes >= self._max_bytes
        ):
            return False
        namespace = activation.namespace
        key = f"{namespace}/{activation.activation_id}"
        if key in waiting or key in self._writing:
            return True
        promised = self._promised.pop(key, None)
        doc = promised[1] if promised is not None and promised[0] is activation else _encode(activation)
        if promised is None and self._ahead is not None and not self._ahead.append(doc):
            self._exposed.add(key)
        if not waiting:
            self._wake(False)
        waiting[key] = (key, namespace, activation.start, activation.name, activation.annotations, doc)
        self._waiting_bytes += len(doc)
        self._accepted += 1
        return True

    def promise(self, activation: Activation) -> bool:
        """See `upcall.ports.Store.promise`. Raises what msgspec raises for a record that is not JSON."""
        if self._ahead is None:
            return False
        doc = _encode(activation)
        if not self._ahead.append(doc):
            return False
        self._promised[f"{activation.namespace}/{activation.activation_id}"] = activation, doc
        return True

    def get(self, key: str) -> bytes | None:
        """The encoded record, while it is not durable."""
        found = self._waiting.get(key) or self._writing.get(key)
        return None if found is None else found[5]

    @property
    def weight(self) -> int:
        """See `upcall.store.writer.Source`."""
        return self._writing_bytes

    async def room(self) -> None:
        """Return when `record` takes records again."""
        while self.full:
            await _wait(self._rooms, 0)

    async def flush(self) -> None:
        """Return when all that was taken is durable, however long that takes."""
        await self._reach(self._flushes)

    async def attempt(self) -> None:
        """Return when the writing of all that was taken succeeded or failed once."""
        await self._reach(self._tries)

    def take(self) -> Sequence[Record]:
        """See `upcall.store.writer.Source`."""
        self._writing, self._waiting = self._waiting, {}
        self._writing_bytes, self._waiting_bytes = self._waiting_bytes, 0
        self._taken = self._accepted
        if self._ahead is not None:
            self._ahead.turn(doc for _, doc in self._promised.values())
        return list(self._writing.values())

    def done(self, error: Exception | None) -> None:
        """See `upcall.store.writer.Source`."""
        if error is None:
            self._exposed.difference_update(self._writing if self._exposed else ())
            self._writing, self._writing_bytes = {}, 0
            self._durable = self._taken
            if self._ahead is not None:
                self._ahead.clear()
        else:
            self._waiting, self._writing = self._writing | self._waiting, {}
            self._waiting_bytes, self._writing_bytes = self._waiting_bytes + self._writing_bytes, 0
        self._flushes = _release(self._flushes, self._durable)
        self._tries = _release(self._tries, self._taken)
        if not self.full:
            self._rooms = _release(self._rooms, 0)
        if self._waiting:
            self._wake(bool(self._flushes or self._tries))

    async def _reach(self, waiters: Waiters) -> None:
        if self._durable == self._accepted:
            return
        self._wake(True)
        await _wait(waiters, self._accepted)


async def _wait(waiters: Waiters, target: int) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append((target, future))
    await future


def _release(waiters: Waiters, reached: int) -> Waiters:
    """Wake those who wait for no more than `reached`; gives back the others."""
    for target, future in waiters:
        if target <= reached and not future.done():
            future.set_result(None)
    return [waiter for waiter in waiters if waiter[0] > reached]
