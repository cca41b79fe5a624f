"""One consumer of one topic on Kafka: what is delivered, started and done, and how the broker learns it (ADR 3).

Two clients, each in its thread: the `Reader` fetches, the `Member` holds the place in the group and commits. All that
decides is here, on the loop:

    arrived ─► arrive? ─► window ─► deliver …… started ─► commit ─► then …… done ─► settle ─► commit, soon

One commit is under way at a time; whatever starts meanwhile shares the next one. `done` rides along or goes after
`LAZY`; where records have to be durable first (`settle` is the store's flush), what is done waits for a flush that
began later. What does not fit into the commit's text is held back until something is done, within what was pulled.

A message that cannot be read is told with its offset and skipped. An offset that comes a second time means that the
topic was deleted and made anew: it is read from there, and what ran of the old one ends without a trace in it. One that
has grown past our position is known by its id (`kafka_remade`).

`lost` is called when the place in the group is gone, when no commit succeeds, or when nothing could be read for
`silence` seconds although there is something, or no broker answers. Two looks have to agree on that: a process that was
stopped and goes on has an old clock.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from confluent_kafka import Message as Record

from upcall.bus.codec import decode
from upcall.bus.kafka_client import Complaints, Config
from upcall.bus.kafka_member import Commits, Member
from upcall.bus.kafka_reader import Reader
from upcall.bus.kafka_remade import Remade
from upcall.bus.kafka_window import Window
from upcall.core.offsets import Commit, Offsets, Verdict
from upcall.errors import Unavailable, Unreadable
from upcall.measures import Histogram
from upcall.model.messages import Topic
from upcall.ports import Deliver, Lost

log = logging.getLogger(__name__)

LAZY = 0.05
"""Seconds after which what is done is committed, where no start has taken it along."""
LAST_WORDS = 5.0
"""Seconds for what has started to be done, and as many for the last commit, when the feed is closed."""
_TRACK = 64
"""A token is the number of its track above this many bits, and the offset."""
_OFFSET = (1 << _TRACK) - 1


class Track:
    """One partition, as long as its offsets rise."""

    __slots__ = ("last", "number", "offsets", "partition")

    def __init__(self, number: int, partition: int, offsets: Offsets) -> None:
        self.number = number
        self.partition = partition
        self.offsets = offsets
        self.last = offsets.base - 1


class KafkaFeed:
    """Implements `upcall.ports.Feed`. Make it on the loop, then wait for `opened`. `delays` are from the sending of
    messages to their arrival."""

    def __init__(
        self,
        topic: Topic,
        config: Config,
        complain: Complaints,
        deliver: Deliver,
        lost: Lost,
        *,
        silence: float,
        metadata: int,
        settle: Callable[[], Awaitable[None]] | None = None,
        identify: Callable[[], str | None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._topic = topic
        self._lost = lost
        self._silence, self._metadata, self._settle = silence, metadata, settle
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._tracks: list[Track] = []
        self._current: dict[int, Track] = {}
        self._arrived: deque[Record] = deque()
        self.delays = Histogram()
        self._busy = self._full = self._suspect = False
        self._running: set[int] = set()
        self._starting: list[Callable[[], None]] = []
        self._ended: list[int] = []
        self._dirty: set[int] = set()
        self._writing = self._scheduled = self._closed = self._over = False
        self._begun = 0.0
        self._lazy: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._member = Member(config, topic.name, silence, self._place)
        self._remade = Remade()
        self._reader = Reader(
            config, topic.name, silence / 4, self._arrive, complain, identify=identify, looked=self._remade.look
        )
        self._window = Window(deliver, self._reader.pull)
        for thread in (self._member.ended, self._reader.ended):
            thread.add_done_callback(self._thread_ended)
        self._watch: asyncio.TimerHandle | None = self._loop.call_later(silence / 4, self._look)

    async def opened(self) -> None:
        """Return when the group has given a place. Raises Unavailable; Misconfigured for a commit that cannot be
        read."""
        try:
            await self._opened
        except asyncio.CancelledError:
            self._fall()
            raise

    @property
    def waiting(self) -> int:
        """Messages that nobody has taken yet."""
        return self._reader.waiting + len(self._arrived) + self._window.waiting

    @property
    def heard(self) -> float:
        """The moment, on the monotonic clock, in which all was well the last time."""
        return self._reader.alive

    def pull(self, count: int) -> None:
        if not self._closed:
            self._window.pull(count)
            self._window.refill(len(self._arrived))

    def started(self, offset: int, then: Callable[[], None]) -> None:
        if self._closed:
            return
        token = self._remade.token(offset)
        track = self._tracks[token >> _TRACK]
        if self._current[track.partition] is not track:
            then()  # its topic is no more: nobody gets it again
            return
        track.offsets.start(token & _OFFSET)
        self._running.add(offset)
        self._starting.append(then)
        self._dirty.add(track.partition)
        self._write_soon()

    def done(self, offset: int) -> None:
        if self._over:
            return
        self._running.discard(offset)
        if self._settle is not None:
            self._ended.append(offset)
        else:
            self._end(offset)
        if self._lazy is None:
            self._lazy = self._loop.call_later(LAZY, self._write_lazily)

    async def close(self) -> None:
        self._closed = True
        self._reader.stop()
        if not self._over:
            await _within(LAST_WORDS, self._quiet())
            await _within(LAST_WORDS, self._finish())
        self._fall()
        threads = (self._reader.ended, self._member.ended)
        await asyncio.wait(threads, timeout=LAST_WORDS)

    # --- what arrives

    def _place(self, commits: Commits) -> None:
        """The group has given these partitions, to go on from there."""
        try:
            for partition, commit in commits.items():
                self._track(partition, Offsets(commit, self._metadata))
        except Exception as error:  # noqa: BLE001 - told to whoever opens the feed, or to its consumer
            self._fail(error)
            return
        self._reader.place({partition: self._current[partition].offsets.base for partition in commits})
        if not self._opened.done():
            self._opened.set_result(None)

    def _track(self, partition: int, offsets: Offsets) -> Track:
        track = self._current[partition] = Track(len(self._tracks), partition, offsets)
        self._tracks.append(track)
        return track

    def _arrive(self, batch: list[Record]) -> None:
        if not self._closed:
            now = time.time()
            for record in batch:
                self.delays.observe(max(now - record.timestamp()[1] / 1000, 0.0))
            self._window.arrived(len(batch))
            self._arrived.extend(batch)
            self._hand_over()

    def _hand_over(self) -> None:
        if self._busy:
            return
        self._busy = True
        self._full = False
        try:
            while self._arrived and not self._full and not self._closed:
                self._take(self._arrived[0])
        finally:
            self._busy = False
        self._window.refill(len(self._arrived))

    def _take(self, record: Record) -> None:
        offset, partition = record.offset() or 0, record.partition() or 0
        track = self._current[partition]
        if offset <= track.last:
            track = self._renew(partition, offset)
        verdict = track.offsets.arrive(offset)
        if verdict is Verdict.FULL:
            self._full = True
            return
        self._arrived.popleft()
        track.last = offset
        if verdict is Verdict.SKIP:
            return
        token, data = track.number << _TRACK | offset, record.value() or b""
        try:
            message = decode(self._topic.carries, data)
        except Unreadable as error:
            log.error("offset %d of %s is skipped: %s", offset, self._topic.name, error)
            self.done(token)
            return
        before = self._remade.take(partition, offset, message, token)
        if before is None:
            self._window.put(token, message, verdict is Verdict.STARTED, len(data))
        else:
            self._take_over(before, track, offset)

    def _take_over(self, before: int, track: Track, offset: int) -> None:
        """What was delivered already is counted here from now on."""
        begun = self._tracks[before >> _TRACK].offsets.begun(before & _OFFSET)
        if begun is None:
            track.offsets.done(offset)
        elif begun:
            track.offsets.start(offset)
        self._dirty.add(track.partition)
        self._write_soon()

    def _renew(self, partition: int, offset: int) -> Track:
        log.warning("%s was made anew: it is read from offset %d on", self._topic.name, offset)
        track = self._track(partition, Offsets(Commit(offset, ""), self._metadata))
        self._dirty.add(partition)
        self._write_soon()
        return track

    # --- what is committed

    def _end(self, token: int) -> None:
        token = self._remade.token(token)
        track = self._tracks[token >> _TRACK]
        if self._current[track.partition] is track:
            track.offsets.done(token & _OFFSET)
            self._dirty.add(track.partition)
            if self._full:
                self._hand_over()

    def _write_lazily(self) -> None:
        self._lazy = None
        if self._ended and self._settle is not None:
            if self._settling is None:
                self._settling = self._loop.create_task(self._settled(self._settle))
        else:
            self._write()

    async def _settled(self, settle: Callable[[], Awaitable[None]]) -> None:
        ended, self._ended = self._ended, []
        try:
            await settle()
        except Exception as error:  # noqa: BLE001 - without a store that flushes nothing can be told to be done
            self._fail(error)
            return
        finally:
            self._settling = None
        for token in ended:
            self._end(token)
        self._write()
        if self._ended and self._lazy is None:
            self._lazy = self._loop.call_later(LAZY, self._write_lazily)

    def _write_soon(self) -> None:
        """All starts of this turn of the loop share the commit."""
        if not self._scheduled and not self._writing:
            self._scheduled = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._scheduled = False
        if self._writing or not self._dirty:
            return
        self._writing = True
        self._begun = monotonic()
        told, self._starting = self._starting, []
        commits = {partition: self._current[partition].offsets.commit() for partition in self._dirty}
        self._dirty.clear()
        self._member.commit(commits, lambda: self._written(told))

    def _written(self, told: list[Callable[[], None]]) -> None:
        self._writing = False
        for then in told:
            then()
        if self._starting:
            self._write()
        elif self._dirty and self._lazy is None:
            self._lazy = self._loop.call_later(LAZY, self._write_lazily)

    async def _quiet(self) -> None:
        """What has started is done: its acknowledgements are on the way."""
        while self._running:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.005)

    async def _finish(self) -> None:
        """Everything that is done is committed, as far as that is possible."""
        if self._settling is not None:
            await asyncio.shield(self._settling)
        if self._ended and self._settle is not None:
            await self._settled(self._settle)
        while (self._dirty or self._writing) and not self._over:
            self._write()
            await asyncio.sleep(0.002)

    # --- what goes wrong

    def _thread_ended(self, thread: asyncio.Future[None]) -> None:
        if not thread.cancelled() and (error := thread.exception()) is not None:
            self._fail(error)

    def _look(self) -> None:
        """Whether something has stood still for too long, now and at the last look."""
        now = monotonic()
        reason = ""
        if now - self._reader.alive > self._silence:
            reason = f"{self._topic.name} could not be read for {self._silence:g} s"
        elif self._writing and now - self._begun > self._silence:
            reason = f"no commit for {self._topic.name} has succeeded for {self._silence:g} s"
        if reason and self._suspect:
            self._fail(Unavailable(f"{reason}: the brokers do not answer, or the client hangs."))
            return
        self._suspect = bool(reason)
        self._watch = self._loop.call_later(self._silence / 4, self._look)

    def _fail(self, error: BaseException) -> None:
        if self._over:
            return
        self._fall()
        if not self._opened.done():
            self._opened.set_exception(error)
        else:
            self._lost(error)

    def _fall(self) -> None:
        """Nothing more is delivered, started or committed."""
        self._closed = self._over = True
        for timer in (self._watch, self._lazy):
            if timer is not None:
                timer.cancel()
        self._running.clear()
        self._starting.clear()
        self._reader.stop()
        self._member.stop()


async def _within(seconds: float, work: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work
