"""Topics that are followed: one consumer for all of a process, in its thread, assigned by hand, in no group.

A topic is followed from its end as it was when `follow` was called; partitions that appear later, and a topic that is
made anew, from their beginning. Twice a second another thread asks for the topics' ids, partitions and ends. An end
that has been reached proves that whatever was sent before the question is here: that moment is `heard`. Nothing else
would tell a quiet topic from brokers that are away. The questions go another way than the messages: a broker answers
one connection in order, and behind a fetch that waits for messages a question would wait as long.

A follower has no credit. What the loop has not handled yet is bounded by `_AHEAD`: the thread waits then, and what
comes stays with the brokers.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from upcall.bus.codec import decode
from upcall.bus.kafka_client import Complaints, Config, made
from upcall.bus.kafka_thread import run_thread
from upcall.errors import Unavailable, Unreadable
from upcall.model.messages import Message, Topic
from upcall.ports import Lost

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK = 0.5
"""Seconds between two questions."""
_PATIENCE = 2.0
"""Seconds that an answer may take."""
_POLL, _QUICK = 0.1, 0.01
_BURST = 1.0
"""Seconds after an order in which the next one is looked for each `_QUICK`: nothing wakes a client that polls, and at
a start they come one after another."""
_BATCH = 256
_AHEAD = 4096
"""Messages that the loop has not handled yet."""


class KafkaFollowing:
    """Implements `upcall.ports.Following`."""

    def __init__(self, follower: "Follower", topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> None:
        self._follower = follower
        self.topic = topic
        self.deliver = deliver
        self.lost = lost
        self.heard = 0.0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self._follower.leave(self)


class Followed:
    """One topic, as the thread sees it. `positions` are the next offsets; `found` tells whether it ever was there,
    `looked` when that was asked for last."""

    __slots__ = ("due", "followers", "found", "id", "looked", "name", "positions")

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = ""
        self.found = False
        self.looked = 0.0
        self.followers = 0
        self.positions: dict[int, int] = {}
        self.due: tuple[float, dict[int, int]] | None = None
        """When the brokers were asked, and the ends that they told."""

    def reached(self) -> bool:
        return self.due is not None and all(self.positions.get(part, 0) >= end for part, end in self.due[1].items())


class Looked:
    """What brokers have answered: ids and partitions of topics, beginning and end of each partition."""

    __slots__ = ("ids", "marks", "moment", "partitions")

    def __init__(self) -> None:
        self.moment = monotonic()
        self.ids: dict[str, str] = {}
        self.partitions: dict[str, list[int]] = {}
        self.marks: dict[tuple[str, int], tuple[int, int]] = {}


class Follower:
    """Make it on the loop. `silence` in seconds: how long brokers may be away."""

    def __init__(self, config: Config, admin: AdminClient, silence: float, complain: Complaints) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence = silence
        self._complain = complain
        self._admin = admin
        self._consumer: Consumer = made(Consumer, {**config, "group.id": f"upcall-{uuid4().hex}"})
        self._followings: dict[str, list[KafkaFollowing]] = {}
        self._topics: dict[str, Followed] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._ordered = 0.0
        self._given = 0  # counted by the thread
        self._handled = 0  # counted by the loop
        self._woken = threading.Event()
        self._closing = False
        self._suspects: set[KafkaFollowing] = set()
        self._watch = self._loop.call_later(silence / 4, self._check)
        self._stopped = threading.Event()
        self._ended = [run_thread("kafka-follower", self._run), run_thread("kafka-ends", self._look)]
        for ended in self._ended:
            ended.add_done_callback(self._thread_ended)

    async def follow(self, topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> KafkaFollowing:
        """Return when the topic's ends are known. Raises Unavailable where nobody tells them for `silence`."""
        following = KafkaFollowing(self, topic, deliver, lost)
        self._order(partial(self._begin, topic.name, following))
        try:
            async with asyncio.timeout(self._silence):
                await following.opened
        except TimeoutError:
            raise Unavailable(f"{topic.name} could not be read for {self._silence:g} s: is it there?") from None
        return following

    def leave(self, following: KafkaFollowing) -> None:
        followings = self._followings.get(following.topic.name, [])
        if following in followings:
            followings.remove(following)
            self._suspects.discard(following)
            self._order(partial(self._end, following.topic.name))

    async def close(self) -> None:
        self._watch.cancel()
        self._followings.clear()
        self._closing = True
        self._stopped.set()
        self._woken.set()
        await asyncio.wait(self._ended, timeout=_PATIENCE * 2)

    # --- the loop

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._ordered = monotonic()
        self._woken.set()

    def _join(self, following: KafkaFollowing, heard: float) -> None:
        if following.opened.done():  # its caller has given up
            self._order(partial(self._end, following.topic.name))
            return
        following.heard = heard
        self._followings.setdefault(following.topic.name, []).append(following)
        following.opened.set_result(None)

    def _arrived(self, batch: list[Record]) -> None:
        self._handled += len(batch)
        self._woken.set()
        for record in batch:
            name = record.topic() or ""
            for each in tuple(self._followings.get(name, ())):
                self._deliver(each, record)

    def _deliver(self, following: KafkaFollowing, record: Record) -> None:
        try:
            message = decode(following.topic.carries, record.value() or b"")
        except Unreadable as error:
            log.error("offset %d of %s is skipped: %s", record.offset(), following.topic.name, error)
            return
        if following in self._followings.get(following.topic.name, ()):
            following.deliver(message)

    def _hear(self, name: str, moment: float) -> None:
        for each in self._followings.get(name, ()):
            each.heard = max(each.heard, moment)

    def _check(self) -> None:
        """Who has heard nothing for too long, now and at the last check."""
        now = monotonic()
        late = {each for all_ in self._followings.values() for each in all_ if now - each.heard > self._silence}
        lost = late & self._suspects
        self._suspects = late - lost
        for each in lost:
            self.leave(each)
            reason = f"{each.topic.name} could not be read for {self._silence:g} s: the brokers do not answer."
            each.lost(Unavailable(reason))
        self._watch = self._loop.call_later(self._silence / 4, self._check)

    def _thread_ended(self, thread: asyncio.Future[None]) -> None:
        if thread.cancelled() or (error := thread.exception()) is None:
            return
        followings = [each for all_ in self._followings.values() for each in all_]
        self._followings.clear()
        for each in followings:
            each.lost(error)

    # --- the thread that asks

    def _look(self) -> None:
        while not self._stopped.wait(_LOOK):
            if names := list(self._topics):
                self._orders.append(partial(self._looked, self._ask(names)))

    def _ask(self, names: list[str]) -> Looked:
        looked = Looked()
        asked = self._admin.describe_topics(TopicCollection(names), request_timeout=_PATIENCE)
        for name in names:
            if found := self._answer(asked[name]):
                looked.ids[name] = str(found.topic_id)
                looked.partitions[name] = [each.id for each in found.partitions]
        places = [TopicPartition(name, part) for name, parts in looked.partitions.items() for part in parts]
        if places:
            self._ask_marks(places, looked)
        return looked

    def _ask_marks(self, places: list[TopicPartition], looked: Looked) -> None:
        specs = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        low, high = (self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=_PATIENCE) for spec in specs)
        for place in places:
            first, end = self._answer(low[place]), self._answer(high[place])
            if first and end:
                looked.marks[place.topic, place.partition] = first.offset, end.offset

    def _answer(self, asked: Future[T]) -> T | None:
        try:
            return asked.result(_PATIENCE * 2)
        except KafkaException as error:
            self._complain(error.args[0])
        except TimeoutError:
            pass
        return None

    # --- the thread that reads

    def _run(self) -> None:
        while not self._closing:
            while self._orders:
                self._orders.popleft()()
            if not self._topics or self._given - self._handled > _AHEAD:
                self._woken.wait(_POLL)
                self._woken.clear()
            else:
                self._poll(_QUICK if monotonic() - self._ordered < _BURST else _POLL)
        self._consumer.close()

    def _begin(self, name: str, following: KafkaFollowing) -> None:
        """Tries again for as long as somebody waits."""
        topic = self._topics.setdefault(name, Followed(name))
        begun = monotonic()
        if not topic.found:
            self._looked(self._ask([name]))
        if topic.found:
            topic.followers += 1
            self._call(partial(self._join, following, begun))
        elif not following.opened.done():
            again = partial(self._begin, name, following)
            self._call(partial(self._loop.call_later, _POLL, self._order, again))

    def _end(self, name: str) -> None:
        topic = self._topics[name]
        topic.followers -= 1
        if topic.followers == 0:
            del self._topics[name]
            self._consumer.incremental_unassign([TopicPartition(name, part) for part in topic.positions])

    def _poll(self, patience: float) -> None:
        first = self._consumer.poll(patience)
        if first is None:
            return
        batch = [record for record in (first, *self._consumer.consume(_BATCH, 0)) if self._sound(record)]
        for record in batch:
            self._note(record)
        self._given += len(batch)
        self._call(partial(self._arrived, batch))
        for topic in self._topics.values():
            self._tell_reached(topic)

    def _sound(self, record: Record) -> bool:
        if error := record.error():
            self._complain(error)
        return error is None

    def _note(self, record: Record) -> None:
        topic = self._topics.get(record.topic() or "")
        if topic is None:
            return
        partition, offset = record.partition() or 0, record.offset() or 0
        if offset < topic.positions.get(partition, 0):
            topic.id = ""  # made anew, and read from its beginning already
        topic.positions[partition] = offset + 1

    def _looked(self, looked: Looked) -> None:
        """What there is, and how far it goes."""
        for name, id in looked.ids.items():
            topic = self._topics.get(name)
            if topic is None or looked.moment < topic.looked:
                continue
            topic.looked = looked.moment
            marks = {part: looked.marks.get((name, part)) for part in looked.partitions[name]}
            known = {part: each for part, each in marks.items() if each}
            self._adopt(topic, id, known)
            for part, (low, _) in known.items():
                topic.positions[part] = max(topic.positions[part], low)  # what retention has removed does not come
            if len(known) == len(marks):
                topic.due = looked.moment, {part: high for part, (_, high) in known.items()}
                self._tell_reached(topic)

    def _adopt(self, topic: Followed, id: str, marks: dict[int, tuple[int, int]]) -> None:
        if topic.id not in ("", id):
            log.warning("%s was made anew: it is followed from its beginning", topic.name)
            self._consumer.incremental_unassign([TopicPartition(topic.name, part) for part in topic.positions])
            topic.positions.clear()
        topic.id = id
        new = {part: each for part, each in marks.items() if part not in topic.positions}
        places = {part: low if topic.found else high for part, (low, high) in new.items()}
        if places:
            self._consumer.incremental_assign([TopicPartition(topic.name, part, at) for part, at in places.items()])
            topic.positions |= places
            topic.found = True

    def _tell_reached(self, topic: Followed) -> None:
        if topic.reached() and topic.due is not None:
            self._call(partial(self._hear, topic.name, topic.due[0]))
            topic.due = None

    def _call(self, then: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(then)
