"""A place in a group, and what is committed from it: a consumer that fetches nothing, in its thread.

Membership is static (`group.instance.id` is the group): the next life of this process has the place at once, and this
one is fenced from then on. A commit waits while the place is not ours (the brokers were away, and we have to join
again) and is tried again when it is, for `patience` seconds. Another commit than ours, found then, means that another
has had the place.

Odd: when brokers are away for longer than a session, the client forgets by what id the group knows it. When they are
back they get what has waited, a heartbeat or a commit without that id, or a wish to join that was given up, and refuse
it, or what came after it, as that of one whose place was taken: by itself. To the client that is fatal. So who is
refused like that while its id changes takes another client and joins again, if nobody else has committed. Who is
refused by the id that it has had all the time has lost its place to another.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from upcall.bus.kafka_client import Config, made
from upcall.bus.kafka_thread import run_thread
from upcall.core.offsets import Commit
from upcall.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Commits = Mapping[int, Commit]
"""By partition."""

_HURRY, _PAUSE = 0.02, 0.5
"""Seconds between two looks at the group: while it has given us no place, and afterwards."""
_QUERY = 10.0
_GHOSTS = 3.0
"""Seconds for which requests may still reach the broker that were sent before we joined again."""
NEVER = float("-inf")
_FENCED = ("FENCED_INSTANCE_ID", "_FENCED", "_FATAL")
_FINAL = ("OFFSET_METADATA_TOO_LARGE", "GROUP_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED", "INVALID_GROUP_ID")


class Member:
    """Make it on the loop. `placed` is called there with the commits to go on from, each time there are new
    partitions; `ended` has the reason when the place is lost."""

    def __init__(self, config: Config, topic: str, patience: float, placed: Callable[[Commits], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._topic = topic
        self._group = str(config["group.id"])
        self._patience = patience
        self._placed = placed
        self._config = {**config, "group.instance.id": self._group}
        self._consumer: Consumer = made(Consumer, self._config)
        self._orders: SimpleQueue[tuple[Commits, Callable[[], None]] | None] = SimpleQueue()
        self._held: list[TopicPartition] = []
        self._unseen = False
        self._known: str | None = None
        """By what id the group gave us the place last."""
        self._again = NEVER
        """When it did so once more."""
        self._since = monotonic()
        self._ours: dict[int, list[Commit]] = {}
        """What may stand in the broker: the last that was acknowledged, and the one tried."""
        self.ended = run_thread(f"kafka-member-{self._group}", self._live)

    def commit(self, commits: Commits, then: Callable[[], None]) -> None:
        """Write these, and call `then` when they stand. One at a time."""
        self._orders.put((commits, then))

    def stop(self) -> None:
        """Commit no more after what was given; `ended` tells when."""
        self._orders.put(None)

    # --- the thread

    def _live(self) -> None:
        self._subscribe()
        try:
            while True:
                self._look()
                try:
                    order = self._orders.get(timeout=_PAUSE if self._held else _HURRY)
                except Empty:
                    continue
                if order is None:
                    return
                self._write(*order)
        except KafkaException as error:
            raise self._reason(error.args[0]) from error
        finally:
            self._consumer.close()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def _look(self, wait: float = 0) -> None:
        """Take part in the group. Raises Unavailable when the place is lost, or does not come."""
        message = self._consumer.poll(wait)
        error = message.error() if message is not None else None
        if error is not None and (error.fatal() or error.name() in (*_FENCED, *_FINAL)):
            self._refused(error)
            return
        if self._unseen:
            self._compare()
        if not self._held and monotonic() - self._since > self._patience:
            raise Unavailable(
                f"The group {self._group} has given no partition of {self._topic} for {self._patience:g} s: "
                "either no broker answers, or another consumer is in the group."
            )

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        consumer.pause(partitions)
        self._held, self._unseen = partitions, bool(partitions)
        if self._known is not None:
            self._again = monotonic()
        self._known = consumer.memberid() or ""

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._held, self._unseen, self._since = [], False, monotonic()

    def _compare(self) -> None:
        """What stands in the broker: where to go on, or still ours."""
        try:
            found = self._consumer.committed(self._held, timeout=_QUERY)
            new = {place.partition: self._usable(place) for place in found if place.partition not in self._ours}
        except KafkaException as error:
            if error.args[0].fatal():
                self._refused(error.args[0])
                return
            log.warning("the commits of group %s cannot be read yet: %s", self._group, error.args[0].str())
            return
        self._unseen = False
        self._verify(found)
        if new:
            self._ours |= {partition: [commit] for partition, commit in new.items()}
            self._call(partial(self._placed, new))

    def _usable(self, place: TopicPartition) -> Commit:
        """A commit past the end was made for another topic of this name."""
        if place.offset <= 0:
            return _commit(place)
        marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, place.partition), timeout=_QUERY)
        if marks is not None and place.offset > marks[1]:
            log.warning(
                "%s was made anew: it ends at %d, its group has read to %d; it is read from its beginning",
                self._topic,
                marks[1],
                place.offset,
            )
            return Commit(marks[0], "")
        return _commit(place)

    def _write(self, commits: Commits, then: Callable[[], None]) -> None:
        places = [TopicPartition(self._topic, part, each.offset, each.text) for part, each in commits.items()]
        for partition, commit in commits.items():
            self._ours[partition] = [self._ours[partition][0], commit]
        begun = monotonic()
        while (error := self._try(places)) is not None:
            if error.fatal() or error.name() in (*_FENCED, *_FINAL) or monotonic() - begun > self._patience:
                self._refused(error)
            self._look(0.1)
        self._ours |= {partition: [commit] for partition, commit in commits.items()}
        self._call(then)

    def _try(self, places: list[TopicPartition]) -> KafkaError | None:
        if not self._held or self._unseen:
            return KafkaError(KafkaError._WAIT_COORD, "waiting for the place in the group")
        try:
            written = self._consumer.commit(offsets=places, asynchronous=False) or ()
        except KafkaException as error:
            return error.args[0]  # type: ignore[no-any-return]
        return next((place.error for place in written if place.error), None)

    def _refused(self, error: KafkaError) -> None:
        """Raises the reason, unless it was ourselves who took the place: then another client takes it."""
        if error.name() not in _FENCED or not self._forgotten():
            raise self._reason(error)
        self._consumer.close()
        self._held, self._unseen, self._since = [], False, monotonic()
        self._consumer = made(Consumer, self._config)
        places = [TopicPartition(self._topic, partition) for partition in self._ours]
        if places:
            self._verify(self._insist(lambda: self._consumer.committed(places, timeout=_QUERY)))
        log.info("group %s: the place is still ours, it is taken once more", self._group)
        self._subscribe()

    def _forgotten(self) -> bool:
        """The client is known by another id than when we had the place, or joined again a short time ago."""
        ours = self._consumer.memberid()
        return self._known is not None and (ours != self._known or monotonic() - self._again < _GHOSTS)

    def _insist(self, question: Callable[[], T]) -> T:
        """Ask until a broker answers. Raises Unavailable when none does."""
        begun = monotonic()
        while True:
            try:
                return question()
            except KafkaException as error:
                if monotonic() - begun > self._patience:
                    raise self._reason(error.args[0]) from error
                sleep(_PAUSE)

    def _verify(self, found: list[TopicPartition]) -> None:
        """Raises Unavailable where another commit than ours stands."""
        for place in found:
            ours = self._ours.get(place.partition)
            if ours is not None and place.offset >= 0 and _commit(place) not in ours:
                raise Unavailable(f"Another process has committed in group {self._group}: its place was taken.")

    def _reason(self, error: KafkaError) -> Unavailable:
        if error.name() in _FENCED:
            return Unavailable(f"Another process has taken the place in group {self._group}: it has the same id.")
        more = " (kafka.offset-metadata is more than they allow)" if error.name() == "OFFSET_METADATA_TOO_LARGE" else ""
        return Unavailable(f"Kafka does not take commits of group {self._group}: {error.str()}{more}")

    def _call(self, then: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(then)


def _commit(place: TopicPartition) -> Commit:
    return Commit(max(place.offset, 0), place.metadata or "")
