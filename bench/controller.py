"""A lean load client in the controller's role: activation messages to one topic, acks from another, nothing else.

A closed loop: so many messages are in flight, the next one goes when the slot of one is free. What is measured is
produce → result; an Invoker that collects logs frees the slot by an ack of its own, later. Messages and acks are not
decoded: the number of a message is in its transaction id, at a fixed place.
"""

import time
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from upcall.brokers import Brokers
from upcall.bus.codec import encode
from upcall.bus.kafka_client import Complaints, consumer_config, producer_config
from upcall.model.entities import Action
from upcall.model.messages import ActivationMessage
from upcall.model.names import ControllerId
from upcall.testing import a_message

LARGEST = 1 << 20
PATIENCE = 30.0
"""Seconds without any ack, until a round is given up."""
_MARK = "~%012x~"
_TRANSID = len(b'{"transid":["')


class Load(msgspec.Struct):
    """What one round came to: seconds, latencies of results and of free slots, and the client's own CPU in seconds."""

    count: int
    seconds: float
    results: list[float]
    slots: list[float]
    bad: int
    cpu: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Template:
    """An activation message's bytes, but for its id, its number and its time."""

    def __init__(self, action: Action, revision: str, controller: str, content: object = None) -> None:
        message: ActivationMessage = a_message(action, revision, content=content or {"name": "Ada"})
        message.root_controller_index = ControllerId(controller)
        message.transid = [_MARK, 4_242_424_242_424]
        message.activation_id = run = uuid4().hex[:20]
        text = encode(message).replace(b"%", b"%%").replace(_MARK.replace("%", "%%").encode(), b"%012x")
        text = text.replace(b"4242424242424", b"%d")
        self._text = text.replace(run.encode(), run.encode() + b"%012x")
        order = [self._text.index(part) for part in (b'"transid"', b'"activationId"')]
        assert order == sorted(order)

    def message(self, number: int) -> bytes:
        return self._text % (number, int(time.time() * 1000), number)


class Controller:
    """Answers come to `topic`, which exists."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        quiet = Complaints("client")
        self._producer = Producer({**producer_config(brokers, LARGEST, quiet, once=False), "acks": 1})
        self._consumer = Consumer(consumer_config(brokers, topic, quiet))
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._next = 0

    def run(self, topic: str, template: Template, in_flight: int, count: int) -> Load:
        """`count` activations through `topic`. Raises AssertionError when answers do not come."""
        first, sent = self._next, [0.0] * count
        load = Load(count, 0.0, [], [], 0, 0.0)
        produce, consumer, clock = self._producer.produce, self._consumer, time.perf_counter
        cpu, began = time.process_time(), clock()
        made = 0
        while len(load.slots) < count:
            for number in range(made, min(len(load.slots) + in_flight, count)):
                data = template.message(first + number)
                sent[number] = clock()
                produce(topic, data)
                made += 1
            self._producer.poll(0)
            record = consumer.poll(PATIENCE)
            assert record is not None, f"no ack in {PATIENCE:g} s; {len(load.slots)} of {count} are there"
            for each in (record, *(consumer.consume(1000, 0) if in_flight > 1 else ())):
                self._take(each.value() or b"", first, sent, load)
        load.seconds, load.cpu = clock() - began, time.process_time() - cpu
        self._next += count
        return load

    def send(self, topic: str, template: Template, count: int) -> None:
        """`count` messages at once, their acks left for later."""
        for _ in range(count):
            self._producer.produce(topic, template.message(self._next))
            self._next += 1
        assert self._producer.flush(PATIENCE) == 0

    def await_acks(self, count: int) -> None:
        """As many free slots. Raises AssertionError when they do not come."""
        while count > 0:
            record = self._consumer.poll(PATIENCE)
            assert record is not None, f"no ack in {PATIENCE:g} s; {count} are missing"
            count -= sum(
                b'"instance":{' in (each.value() or b"") for each in (record, *self._consumer.consume(1000, 0))
            )

    def close(self) -> None:
        self._consumer.close()

    @staticmethod
    def _take(data: bytes, first: int, sent: list[float], load: Load) -> None:
        now, number = time.perf_counter(), int(data[_TRANSID : _TRANSID + 12], 16) - first
        if number < 0:
            return  # of an earlier round: it was given up
        if b'"response":{' in data:
            load.results.append(now - sent[number])
            load.bad += b'"statusCode":0' not in data
        if b'"instance":{' in data:
            load.slots.append(now - sent[number])
