"""Activation records to a CouchDB: in groups, several at once, over the disk where memory does not reach; none is lost.

A record that comes while a lane is idle goes out alone and at once; while all are busy the next group gathers, so the
more there is to do the more share a request (spec: store.md §6.3). What has to be tried again goes behind all that
waits, in smaller groups, so that a document that breaks every request holds up no other for long.

    memory ── lanes ──────────────────────► database
      │ half of it used, or 2 s of trouble      ▲
      └──► spill (upcall.store.couch_spill) ────┘ oldest first, beside the lanes

*Durable*, which `flush` waits for, is a record in the database or in the spill: both outlive the process
(docs/adr/0026-couchdb-records.md). While there is trouble one lane asks with one record, after pauses that grow to 2 s;
`trouble` says why in words, once. New activations are turned away only when the disk takes no more either.

What the database refuses for itself stays aside in the spill and is tried again each hour and by the next start.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable
from typing import Any, Self

import msgspec

from upcall.errors import Unavailable
from upcall.model.activation import Activation
from upcall.model.sizes import MB
from upcall.store.batch import MAX_BYTES, MAX_RECORDS
from upcall.store.couch_bulk import Bulk, Told
from upcall.store.couch_http import CouchHttp
from upcall.store.couch_queue import Queue
from upcall.store.couch_spill import Record, Spill
from upcall.store.postgres_writer import OnTrouble

LANES = 4
"""Requests at once; the spill has one more."""
GROUP, GROUP_BYTES = 500, 4 * MB
"""Of one request."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
RESTART = 2.0
"""Seconds that a server may be away before records go to the disk, or new activations are turned away."""
ASIDE = 3600.0
"""Seconds until what was refused is tried again."""
HOPELESS = 3
"""Times that a record fails alone, with others going through meanwhile, before it is put aside."""

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class CouchWriter:
    """To `database` on `http`; `open` it first. Without a `spill` memory is all there is; else it is opened and closed
    with this."""

    def __init__(
        self,
        http: CouchHttp,
        database: str,
        spill: Spill | None = None,
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        on_trouble: OnTrouble | None = None,
    ) -> None:
        self._bulk = Bulk(http, database)
        self.spill = spill
        self.trouble: str | None = None
        self.lost = 0
        """Records that neither the database nor the disk has taken."""
        self._lasting = False
        """Whether the trouble has lasted for `RESTART`."""
        self._timer: asyncio.TimerHandle | None = None
        self._queue = Queue(max_records, max_bytes)
        self._on_trouble = on_trouble
        self._pause = FIRST_PAUSE
        self._group = GROUP
        self._successes = 0
        self._alone: dict[str, tuple[int, int]] = {}
        self._fine, self._pressed = asyncio.Event(), asyncio.Event()
        self._spilled = asyncio.Event()
        self._disk_trouble: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> Self:
        """Raises Misconfigured."""
        self._fine.set()
        jobs: list[Coroutine[Any, Any, None]] = [self._lane(number == 0) for number in range(LANES)]
        if self.spill is not None:
            await self.spill.open()
            if self.spill.waiting:
                log.info("%d activation records that an earlier life has left go to the database", self.spill.waiting)
                self._spilled.set()
            jobs += [self._overflow(self.spill), self._drain(self.spill), self._reconsider(self.spill)]
        self._tasks = [asyncio.create_task(job, name="store-writer") for job in jobs]
        return self

    async def close(self, patience: float = 10.0) -> None:
        """Write what waits, to the disk what the database does not take for `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.flush()
        for each in (*self._tasks, self._timer):
            if each is not None:
                each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = self._queue.all()
        if self.spill is not None:
            left = await _unsaved(self.spill, left)
            await self.spill.close()
        self.lost += len(left)
        if left:
            why = self._disk_trouble or self.trouble or "the database is too slow"
            log.error("%d activation records are lost: %s", len(left), why)

    def __len__(self) -> int:
        """Records that are not durable yet."""
        return len(self._queue)

    def record(self, activation: Activation) -> bool:
        """See `upcall.ports.Store.record`. Raises what msgspec raises for a record that is not JSON."""
        queue = self._queue
        if queue.full:
            return False
        id = activation.id
        if id not in queue:
            queue.add(Record(id, _document(id, activation)))
            if self.trouble is not None or queue.pressed:
                self._pressed.set()
        return True

    async def get(self, id: str) -> bytes | None:
        """The JSON of a record that the database has not taken. Raises Unavailable where the disk cannot be read."""
        found = self._queue.get(id)
        if found is None and self.spill is not None:
            found = await self.spill.get(id)
        return found

    def waits(self, id: str) -> bool:
        """Whether it is in memory."""
        return id in self._queue

    async def among(self, ids: Iterable[str]) -> set[str]:
        """Those of the records that wait on the disk. Raises Unavailable."""
        return set() if self.spill is None else await self.spill.among(ids)

    async def room(self) -> None:
        await self._queue.room()

    def refusal(self) -> str | None:
        """See `upcall.ports.Store.refusal`."""
        if self.trouble is None or not len(self._queue) or not self._lasting:
            return None
        if self.spill is None:
            return self.trouble
        return f"{self.trouble}, and {self._disk_trouble}" if self._disk_trouble else None

    async def flush(self) -> None:
        """Return when all that was taken is durable."""
        await self._queue.flush()

    async def attempt(self) -> None:
        """Return when all that was taken is durable, or some of it has to be tried again."""
        await self._queue.attempt()

    async def _lane(self, first: bool) -> None:
        while True:
            await self._queue.some()
            if not first:
                await self._fine.wait()
            group = self._queue.take(self._most, GROUP_BYTES)
            if group:
                told = await self._sent(group)
                await self._settle(group, told)
                await self._judge(told)

    async def _sent(self, group: list[Record]) -> Told:
        try:
            return await self._bulk.send(group)
        except Exception:
            log.exception("a request with %d activation records failed as none should", len(group))
            return Told(again=[record.id for record in group], trouble="the request failed")

    @property
    def _most(self) -> int:
        return 1 if self.trouble is not None else self._group

    async def _settle(self, group: list[Record], told: Told) -> None:
        """Of a group from memory."""
        records = {record.id: record for record in group}
        for id in [*told.again]:
            if self._hopeless(group, id):
                told.again.remove(id)
                told.refused[id] = f"each request with it fails: {told.trouble}"
        for id, reason in told.refused.items():
            await self._put_aside(records[id], reason)
        self._queue.settled([*told.stored, *told.refused])
        self._queue.back(told.again)
        for id in (*told.stored, *told.refused) if self._alone else ():
            self._alone.pop(id, None)

    def _hopeless(self, group: list[Record], id: str) -> bool:
        if len(group) > 1:
            return False
        times, seen = self._alone.get(id, (0, -1))
        self._alone[id] = times + (self._successes > seen), self._successes
        return times >= HOPELESS and self._successes > seen

    async def _put_aside(self, record: Record, reason: str) -> None:
        fate = "it is lost"
        if self.spill is not None:
            with contextlib.suppress(Unavailable):
                await self.spill.add([record], reason)
                fate = f"it is kept in {self.spill.path} and tried again"
        self.lost += fate == "it is lost"
        log.error("the database refuses the record of %s (%d bytes): %s; %s", record.id, len(record.doc), reason, fate)

    async def _judge(self, told: Told) -> None:
        """Set the pace, and say so when trouble comes, changes or goes."""
        if told.trouble is None:
            self._successes += 1
            self._pause, self._group = FIRST_PAUSE, min(2 * self._group, GROUP)
            self._say(None)
            return
        self._group = max(1, self._group // 2)
        self._say(told.trouble)
        self._queue.failed()
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        await asyncio.sleep(pause)

    def _say(self, trouble: str | None) -> None:
        if trouble == self.trouble:
            return
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RESTART, self._lasts)
        self.trouble = trouble
        if trouble is None:
            self._timer.cancel()
            self._timer, self._lasting = None, False
            self._fine.set()
            log.info("the store takes records again")
        else:
            self._fine.clear()
            log.error("the store takes no records, will try again: %s", trouble)
        if self._on_trouble is not None:
            self._on_trouble(trouble)

    def _lasts(self) -> None:
        self._lasting = True
        self._pressed.set()

    async def _overflow(self, spill: Spill) -> None:
        """From memory to the disk."""
        while True:
            await self._pressed.wait()
            self._pressed.clear()
            while (self._lasting or self._queue.pressed) and (group := self._queue.take(GROUP, GROUP_BYTES)):
                try:
                    await spill.add(group)
                except Unavailable as error:
                    self._queue.back([record.id for record in group])
                    self._tell_disk(str(error))
                    await asyncio.sleep(LONGEST_PAUSE)
                else:
                    self._queue.settled([record.id for record in group])
                    self._tell_disk(None)
                    self._spilled.set()

    def _tell_disk(self, trouble: str | None) -> None:
        if trouble is not None and self._disk_trouble is None:
            log.error("records that wait for the database stay in memory: %s", trouble)
        self._disk_trouble = trouble

    async def _drain(self, spill: Spill) -> None:
        """From the disk to the database."""
        while True:
            await self._spilled.wait()
            try:
                group = await spill.first(self._most, GROUP_BYTES)
                if group:
                    await self._deliver(spill, group)
                elif not spill.waiting:
                    self._spilled.clear()
            except Unavailable as error:
                log.error("records that wait on the disk cannot be sent, will try again: %s", error)
                await asyncio.sleep(LONGEST_PAUSE)

    async def _deliver(self, spill: Spill, group: list[Record]) -> None:
        """Raises Unavailable where the disk does not go along."""
        told = await self._sent(group)
        sizes = {record.id: len(record.doc) for record in group}
        for id in told.again:
            if self._hopeless(group, id):
                told.refused[id] = f"each request with it fails: {told.trouble}"
        for id in (*told.stored, *told.refused) if self._alone else ():
            self._alone.pop(id, None)
        for id, reason in told.refused.items():
            await spill.put_aside(id, reason)
            log.error("the database refuses the record of %s (%d bytes): %s; it is kept", id, sizes[id], reason)
        await spill.remove(told.stored)
        await self._judge(told)

    async def _reconsider(self, spill: Spill) -> None:
        """What is aside."""
        while True:
            try:
                await self._again(spill)
            except Unavailable as error:
                log.error("records that the database has refused cannot be read: %s", error)
            await asyncio.sleep(ASIDE)

    async def _again(self, spill: Spill) -> None:
        """Raises Unavailable."""
        number, stored = 0, 0
        while (found := await spill.refused(number)) is not None:
            number, record = found
            await self._fine.wait()
            told = await self._sent([record])
            await spill.remove(told.stored)
            stored += len(told.stored)
        if stored:
            log.info("the database has taken %d activation records that it had refused", stored)


async def _unsaved(spill: Spill, records: list[Record]) -> list[Record]:
    """Those that the disk does not take; all others are there then."""
    try:
        await spill.add(records)
    except Unavailable:
        if len(records) == 1:
            return records
        half = len(records) // 2
        return [*await _unsaved(spill, records[:half]), *await _unsaved(spill, records[half:])]
    return []


def _document(id: str, activation: Activation) -> bytes:
    """As it is over there (spec: store.md §6)."""
    head = b'{"_id":%b,"entityType":"activation","updated":%d,' % (_encode(id), time.time_ns() // 1_000_000)
    return head + _encode(activation)[1:]
