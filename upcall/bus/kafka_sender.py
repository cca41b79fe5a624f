"""What is sent: a Producer called from the loop, whose reports a thread brings back to it.

Handing over only copies into the client's buffer. Past that buffer's bounds it refuses, and so do we: Unavailable, for
the sender to slow down. The thread waits for reports and hands what it has over at once, so a burst costs one wake-up.

A request to a broker costs 60 us of CPU with one message and 4 us more with each further one (bench/invoker.py), and
the client makes one of whatever it has. Worse, an idempotent client that has five messages of a topic under way and
one more in its buffer spins on a processor until their answer comes (librdkafka 2.16). So one burst is on its way to a
topic at a time, and what is sent before its reports are there shares the next one. Nothing waits longer than `LINGER`
for that; where nothing is on its way, the next turn of the loop hands over.

An idempotent client may fail for good, as when a broker has lost what it had confirmed. Then another takes its place,
and all that it still had is given back to its senders.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Record

from upcall.bus.codec import encode
from upcall.bus.kafka_client import Config, made
from upcall.bus.kafka_thread import run_thread
from upcall.errors import Internal, TooLarge, Unavailable
from upcall.model.messages import ActivationMessage, Message, Topic
from upcall.ports import Sent

log = logging.getLogger(__name__)

LINGER = 0.5
"""Seconds that a message may wait for the reports of those before it. Past that the topic's broker is in trouble, and
the client's own bounds and time-outs are for that."""
QUIET = 10.0
"""Seconds between two complaints of a topic."""
TOPICS = 1000
"""Topics that are remembered for that."""
_POLL = 0.5
"""Seconds that a wait for reports takes when none come."""


class Lane:
    """What goes to one topic: `held`, until the reports of what is `out` are there or it is `due`."""

    __slots__ = ("due", "held", "out", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.held: list[tuple[bytes, Sent | None]] = []
        self.out = 0
        self.due: asyncio.Handle | None = None


class Sender:
    """Make it on the loop."""

    def __init__(self, config: Config) -> None:
        self._loop = asyncio.get_running_loop()
        self._config = config
        self._largest = int(config["message.max.bytes"])
        self._producer: Producer = made(Producer, config)
        self._reports: deque[tuple[Lane, Sent, KafkaError | None]] = deque()
        self._unsafe: dict[str, list[Callable[[], None]]] = {}
        """Activations that somebody waits for and no broker has confirmed, with who wants to know of that."""
        self._lanes: dict[str, Lane] = {}
        self._complained: dict[str, float] = {}
        self._told = False
        self._closing = False
        self._thread = run_thread("kafka-sender", self._collect)

    def send(self, topic: Topic, message: Message, sent: Sent | None) -> None:
        """See `upcall.ports.Bus.send`."""
        if isinstance(message, ActivationMessage) and message.blocking:
            self._unsafe[message.activation_id] = []
            sent = partial(self._safe, message.activation_id, sent)
        elif sent is None and topic.carries in ("activation", "ack"):
            sent = partial(_log_refusal, topic.name)
        elif sent is None and topic.carries in ("ping", "cluster"):
            sent = _ignore  # only what has one is reported of
        try:
            data = encode(message)
        except Exception as error:  # noqa: BLE001 - the boundary of one message
            refusal: Exception | None = error
        else:
            refusal = self._hold(topic.name, data, sent)
        if refusal is not None and sent is not None:
            sent(refusal)

    def keep(self, message: Message, then: Callable[[], None]) -> None:
        """Call `then` when a broker has the message: nearly always at once."""
        waiting = self._unsafe.get(message.activation_id) if isinstance(message, ActivationMessage) else None
        if waiting is None:
            then()
        else:
            waiting.append(then)

    async def close(self, patience: float) -> None:
        """What is not sent within `patience` seconds is given back."""
        for lane in self._lanes.values():
            self._hand_over(lane)
        left = await asyncio.to_thread(self._producer.flush, patience)
        if left:
            log.error("%d messages could not be sent before the end", left)
            self._producer.purge()
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL * 4):
                await self._thread
        self._report()

    def _hold(self, topic: str, data: bytes, sent: Sent | None) -> Exception | None:
        if len(data) > self._largest:
            return TooLarge(f"a message of {len(data)} bytes for {topic}: {self._largest} are allowed")
        lane = self._lanes.get(topic)
        if lane is None:
            lane = self._lanes[topic] = Lane(topic)
        lane.held.append((data, sent))
        if lane.due is None:
            if lane.out:
                lane.due = self._loop.call_later(LINGER, self._hand_over, lane)
            else:
                lane.due = self._loop.call_soon(self._hand_over, lane)
        return None

    def _hand_over(self, lane: Lane) -> None:
        if lane.due is not None:
            lane.due.cancel()
            lane.due = None
        held, lane.held = lane.held, []
        if not held:
            return
        messages = [self._addressed(lane, data, sent) for data, sent in held]
        refusal: Exception | None = None
        try:
            self._producer.produce_batch(lane.topic, messages)  # at one go, or else the client sends the half of it
        except KafkaException as error:
            refusal = _error(lane.topic, error.args[0])
        for (_, sent), message in zip(held, messages, strict=True):
            failed = refusal or _refusal(lane.topic, message.get("_error"))
            if sent is not None:
                if failed is None:
                    lane.out += 1
                else:
                    sent(failed)

    def _addressed(self, lane: Lane, data: bytes, sent: Sent | None) -> dict[str, Any]:
        return {"value": data} if sent is None else {"value": data, "callback": partial(self._note, lane, sent)}

    def _safe(self, id: str, sent: Sent | None, error: BaseException | None) -> None:
        waiting = self._unsafe.pop(id, ())
        if sent is not None:
            sent(error)
        if error is None:
            for then in waiting:
                then()

    # --- the thread

    def _collect(self) -> None:
        while not self._closing:
            producer = self._producer
            try:
                producer.poll(_POLL)
            except KafkaException as error:  # fatal: raised once
                self._loop.call_soon_threadsafe(self._renew, producer, error.args[0])
            if self._reports and not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._report)

    def _note(self, lane: Lane, sent: Sent, error: KafkaError | None, record: Record) -> None:
        """Called by whatever polls."""
        self._reports.append((lane, sent, error))

    # --- the loop again

    def _renew(self, old: Producer, error: KafkaError) -> None:
        log.error("Kafka's client has failed for good, another one sends from now on: %s", error.str())
        self._producer = made(Producer, self._config)
        run_thread("kafka-sender-failed", partial(_give_back, old))

    def _complain(self, topic: str, error: Unavailable) -> None:
        """In a while once for each topic: of pings and gossip nobody else hears, and callers are no operators."""
        now = monotonic()
        if now >= self._complained.get(topic, float("-inf")) + QUIET:
            if len(self._complained) >= TOPICS:
                self._complained.clear()
            self._complained[topic] = now
            log.warning("%s does not take messages: %s", topic, error)

    def _report(self) -> None:
        self._told = False
        reports, free = self._reports, set[Lane]()
        while reports:
            lane, sent, error = reports.popleft()
            lane.out -= 1
            if not lane.out:
                free.add(lane)
            failed = None if error is None else _error("Kafka", error)
            if isinstance(failed, Unavailable):
                self._complain(lane.topic, failed)
            sent(failed)
        for lane in free:
            if lane.held and not lane.out:
                self._hand_over(lane)


def _give_back(failed: Producer) -> None:
    """Its reports come at once, and for the last time."""
    failed.purge()
    failed.flush(_POLL * 20)


def _refusal(topic: str, error: KafkaError | None) -> Exception | None:
    """Of the client itself."""
    if error is not None and error.code() == KafkaError._QUEUE_FULL:
        return Unavailable(f"{topic}: too much waits for Kafka's brokers")
    return None if error is None else _error(topic, error)


def _error(where: str, error: KafkaError) -> Exception:
    if error.name() in ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"):
        return TooLarge(f"{where}: {error.str()}")
    if error.name() == "TOPIC_EXCEPTION":
        return Internal(f"{where}: {error.str()}")  # no topic can have that name, now or later
    return Unavailable(f"{where} did not take the message: {error.str()}")


def _ignore(error: BaseException | None) -> None:
    """What was sent will be said anew."""


def _log_refusal(topic: str, error: BaseException | None) -> None:
    """For a sender who does not want to know."""
    if error is not None:
        log.error("a message to %s is lost: %s", topic, error)
