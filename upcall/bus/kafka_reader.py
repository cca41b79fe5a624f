"""Fetching, apart from the group: a consumer that is assigned by hand, in its thread.

It takes no more messages than were pulled, whatever comes; what lies ahead of that in the client is bounded in bytes.
`alive` says when it last had reason to believe that nothing is missing: it got messages, or a broker said that there
are none, or it was not asked for any.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from upcall.bus.kafka_client import Config, made
from upcall.bus.kafka_thread import run_thread

log = logging.getLogger(__name__)

Arrived = Callable[[list[Record]], None]

T = TypeVar("T")

_BATCH = 256
_LOOK = 1.0
"""Seconds between two looks at the topic's id."""
_POLL = 0.2
"""Seconds that a poll waits for the first message, and so for what else this thread is told."""


class Reader:
    """Make it on the loop, where `arrived` is called. `probe` in seconds: how often it asks when nothing comes.
    `identify` asks for the topic's id; `looked` hears on the loop, in order with what arrives, whether it is the same:
    if not, the topic is read from its beginning."""

    def __init__(
        self,
        config: Config,
        topic: str,
        probe: float,
        arrived: Arrived,
        complain: Callable[[KafkaError], None],
        *,
        identify: Callable[[], str | None] | None,
        looked: Callable[[bool], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._topic = topic
        self._probe = probe
        self._arrived = arrived
        self._complain = complain
        self._identify = identify
        self._looked = looked
        self._id = ""
        self._consumer: Consumer = made(Consumer, config)
        self._positions: dict[int, int] = {}
        """The next offset of each partition, as the thread sees it."""
        self._pulled = 0  # counted by the loop
        self._taken = 0  # counted by the thread
        self._places: list[Mapping[int, int]] = []
        self._wake = threading.Event()
        self._closing = False
        self.alive = monotonic()
        self.waiting = 0
        """Messages that are there and have not been read, as of the last fetch."""
        self.ended = run_thread(f"kafka-reader-{topic}", self._read)

    def pull(self, count: int) -> None:
        """`count` more messages may come."""
        starved = self._pulled <= self._taken
        self._pulled += count
        if starved:
            self._wake.set()

    def place(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions, too, from these offsets on."""
        self._places.append(offsets)
        self._wake.set()

    def stop(self) -> None:
        """Fetch no more; `ended` tells when."""
        self._closing = True
        self._wake.set()

    # --- the thread

    def _read(self) -> None:
        asked = monotonic()
        looked = float("-inf")
        while not self._closing:
            if self._places:
                self._take_places()
            if self._positions and monotonic() - looked >= _LOOK:
                self._look()
                looked = monotonic()
            self._count()
            room = self._pulled - self._taken
            if room <= 0 or not self._positions:
                self._rest()
                asked = monotonic()
            elif batch := self._poll(min(room, _BATCH)):
                self._taken += len(batch)
                self.alive = asked = monotonic()
                self._tell(batch)
            elif monotonic() - asked >= self._probe:
                self._ask()
                asked = monotonic()
        self._consumer.close()

    def _take_places(self) -> None:
        self._positions |= self._places.pop(0)
        self._consumer.assign([TopicPartition(self._topic, part, at) for part, at in self._positions.items()])

    def _look(self) -> None:
        """Whether the topic is the one that it was."""
        found = self._identify() if self._identify is not None else None
        if found is None:
            return
        same = not (found and self._id and found != self._id)
        if not same:
            self._begin_again()
        self._id = found or self._id
        self._call(self._looked, same)

    def _begin_again(self) -> None:
        log.warning("%s was made anew: it is read from its beginning", self._topic)
        places = [TopicPartition(self._topic, part, 0) for part in self._positions]  # or what is left of it
        self._positions = dict.fromkeys(self._positions, 0)
        self._consumer.assign(places)

    def _count(self) -> None:
        """What the client knows costs no request."""
        places = ((TopicPartition(self._topic, partition), at) for partition, at in self._positions.items())
        with contextlib.suppress(KafkaException):
            marks = [(self._consumer.get_watermark_offsets(place, cached=True), at) for place, at in places]
            self.waiting = sum(max(found[1] - at, 0) for found, at in marks if found)

    def _rest(self) -> None:
        self.alive = monotonic()
        self._wake.wait(_POLL * 5)
        self._wake.clear()

    def _poll(self, room: int) -> list[Record]:
        first = self._consumer.poll(_POLL)
        if first is None:
            return []
        found = [first, *(self._consumer.consume(room - 1, 0) if room > 1 else ())]
        batch = [record for record in found if self._sound(record)]
        for record in batch:
            self._positions[record.partition() or 0] = (record.offset() or 0) + 1
        return batch

    def _sound(self, record: Record) -> bool:
        if error := record.error():
            self._complain(error)
        return error is None

    def _ask(self) -> None:
        """Whether there is something that does not come."""
        try:
            for partition, position in self._positions.items():
                place = TopicPartition(self._topic, partition)
                marks = self._consumer.get_watermark_offsets(place, timeout=min(self._probe, 10.0))
                if marks is None or marks[1] > position:
                    return
        except KafkaException as error:
            self._complain(error.args[0])
        else:
            self.alive = monotonic()

    def _tell(self, batch: list[Record]) -> None:
        self._call(self._arrived, batch)

    def _call(self, then: Callable[[T], None], about: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(then, about)
