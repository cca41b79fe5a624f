"""What is sent: a Producer called from the loop, whose reports a thread brings back to it.

`produce` only copies into the client's buffer. Past that buffer's bounds it refuses, and so do we: Unavailable, for the
sender to slow down. The thread waits for reports and hands what it has over at once, so a burst costs one wake-up.

A request to a broker costs 60 us of CPU with one message and 4 us more with each further one (bench/invoker.py), and
the client makes one of whatever it has. So one burst is on its way at a time, and what is sent before its reports are
there shares the next one. Nothing waits longer than `LINGER` for that; where nothing is on its way, the next turn of
the loop hands over.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Record

from upcall.bus.codec import encode
from upcall.bus.kafka_client import Config, made
from upcall.bus.kafka_thread import run_thread
from upcall.errors import Internal, TooLarge, Unavailable
from upcall.model.messages import ActivationMessage, Message, Topic
from upcall.ports import Sent

log = logging.getLogger(__name__)

LINGER = 0.005
"""Seconds that a message may wait for the reports of those before it."""
_POLL = 0.5
"""Seconds that a wait for reports takes when none come."""


class Sender:
    """Make it on the loop."""

    def __init__(self, config: Config) -> None:
        self._loop = asyncio.get_running_loop()
        self._largest = int(config["message.max.bytes"])
        self._producer: Producer = made(Producer, config)
        self._produce = self._producer.produce
        self._reports: deque[tuple[Sent, KafkaError | None]] = deque()
        self._unsafe: dict[str, list[Callable[[], None]]] = {}
        """Activations that somebody waits for and no broker has confirmed, with who wants to know of that."""
        self._held: list[tuple[str, bytes, Sent | None]] = []
        self._out = 0
        """Messages on their way whose report is wanted."""
        self._due: asyncio.Handle | None = None
        """Of what is held."""
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
        self._hand_over()
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
        self._held.append((topic, data, sent))
        if self._due is None:
            if self._out:
                self._due = self._loop.call_later(LINGER, self._hand_over)
            else:
                self._due = self._loop.call_soon(self._hand_over)
        return None

    def _hand_over(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        held, self._held = self._held, []
        for topic, data, sent in held:
            refusal = self._give(topic, data, sent)
            if refusal is not None and sent is not None:
                sent(refusal)

    def _give(self, topic: str, data: bytes, sent: Sent | None) -> Exception | None:
        try:
            if sent is None:
                self._produce(topic, data)
            else:
                self._produce(topic, data, on_delivery=partial(self._note, sent))
                self._out += 1
        except BufferError:
            return Unavailable(f"{topic}: too much waits for Kafka's brokers")
        except KafkaException as error:
            return _error(topic, error.args[0])
        return None

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
            self._producer.poll(_POLL)
            if self._reports and not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._report)

    def _note(self, sent: Sent, error: KafkaError | None, record: Record) -> None:
        """Called by whatever polls."""
        self._reports.append((sent, error))

    # --- the loop again

    def _report(self) -> None:
        self._told = False
        reports = self._reports
        while reports:
            sent, error = reports.popleft()
            self._out -= 1
            sent(None if error is None else _error("Kafka", error))
        if self._held and not self._out:
            self._hand_over()


def _error(where: str, error: KafkaError) -> Exception:
    if error.name() in ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"):
        return TooLarge(f"{where}: {error.str()}")
    if error.fatal():
        return Internal(f"{where}: {error.str()}")
    return Unavailable(f"{where} did not take the message: {error.str()}")


def _log_refusal(topic: str, error: BaseException | None) -> None:
    """For a sender who does not want to know."""
    if error is not None:
        log.error("a message to %s is lost: %s", topic, error)
