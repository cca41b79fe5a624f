"""What a message costs over Kafka: send → deliver → started (a commit) → done, beside a floor with the same commits.

The floor is one thread that polls a plain consumer, commits each batch with its metadata before it is handled, and
sends as many again: no loop, no JSON, no port. Both keep the same number of messages in flight, by turns, on topics of
their own of the tests' broker. CPU is that of this process, all threads; the best of the rounds is nearly free of load.

    python -m bench.kafka [--quick]
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.system.kafka import Broker, jars
from upcall.brokers import Brokers
from upcall.bus.codec import encode
from upcall.bus.kafka import KafkaBus
from upcall.bus.kafka_client import Complaints, consumer_config, producer_config
from upcall.model.messages import Message, Topic
from upcall.testing import a_message, unexpected


class Round(msgspec.Struct):
    """CPU in us per message, messages per second, half of the latencies below so many ms."""

    cpu: float
    rate: float
    p50: float


def measured(cpu: float, wall: float, latencies: list[float]) -> Round:
    count = len(latencies)
    return Round(cpu / count * 1e6, count / wall, statistics.median(latencies) * 1e3)


async def adapter(brokers: Brokers, in_flight: int, count: int) -> Round:
    """Through the bus."""
    bus, topic = KafkaBus(brokers, 1 << 20), Topic(f"bench-{uuid4().hex}", "activation")
    await bus.ensure(topic)
    sent: list[float] = []
    latencies: list[float] = []
    over = asyncio.Event()
    message = a_message(content={"name": "Ada"})

    def send() -> None:
        if len(sent) < count:
            sent.append(time.perf_counter())
            bus.send(topic, message)

    def deliver(offset: int, message: Message, started: bool) -> None:
        feed.started(offset, lambda: end(offset))

    def end(offset: int) -> None:
        latencies.append(time.perf_counter() - sent[len(latencies)])
        feed.done(offset)
        feed.pull(1)
        send()
        if len(latencies) == count:
            over.set()

    feed = await bus.feed(topic, topic.name, deliver, unexpected)
    feed.pull(in_flight)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(in_flight):
        send()
    await over.wait()
    found = measured(time.process_time() - cpu, time.perf_counter() - wall, latencies)
    await feed.close()
    await bus.close()
    return found


def floor(brokers: Brokers, in_flight: int, count: int) -> Round:
    """Without."""
    topic = asyncio.run(_made(brokers))
    quiet = Complaints("floor")
    producer, consumer = (
        Producer(producer_config(brokers, 1 << 20, quiet, once=True)),
        Consumer(consumer_config(brokers, topic, quiet)),
    )
    data = encode(a_message(content={"name": "Ada"}))
    sent: list[float] = []
    latencies: list[float] = []

    def send(number: int) -> None:
        for _ in range(min(number, count - len(sent))):
            sent.append(time.perf_counter())
            producer.produce(topic, data, on_delivery=lambda error, record: None)

    consumer.subscribe([topic])
    while not consumer.assignment():
        consumer.poll(0.05)
    cpu, wall = time.process_time(), time.perf_counter()
    send(in_flight)
    while len(latencies) < count:
        if (first := consumer.poll(0.2)) is None:
            continue
        batch = [first, *(consumer.consume(in_flight - 1, 0) if in_flight > 1 else [])]
        place = TopicPartition(topic, 0, first.offset() or 0, "upcall1:" + "x" * 20)
        consumer.commit(offsets=[place], asynchronous=False)
        now = time.perf_counter()
        latencies += [now - begun for begun in sent[len(latencies) : len(latencies) + len(batch)]]
        send(len(batch))
        producer.poll(0)
    found = measured(time.process_time() - cpu, time.perf_counter() - wall, latencies)
    consumer.close()
    producer.flush(5)
    return found


async def _made(brokers: Brokers) -> str:
    bus, topic = KafkaBus(brokers, 1 << 20), Topic(f"floor-{uuid4().hex}", "activation")
    await bus.ensure(topic)
    await bus.close()
    return topic.name


def main(rounds: int, scale: int) -> None:
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        broker = Broker(jars(), Path(folder))
        broker.start()
        try:
            brokers = Brokers(hosts=broker.bootstrap)
            print(f"load average {os.getloadavg()[0]:.1f}")
            for in_flight in (1, 16, 256):
                count = max(in_flight * 8, 100) * scale
                sides: dict[str, list[Round]] = {"floor": [], "bus": []}
                for _ in range(rounds):
                    sides["floor"].append(floor(brokers, in_flight, count))
                    sides["bus"].append(asyncio.run(adapter(brokers, in_flight, count)))
                for name, found in sides.items():
                    best, rate = min(each.cpu for each in found), max(each.rate for each in found)
                    p50 = min(each.p50 for each in found)
                    print(f"{in_flight:4} in flight {name:6} CPU {best:6.1f} us  {rate:7.0f}/s  p50 {p50:6.2f} ms")
        finally:
            broker.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    main(1 if quick else 5, 2 if quick else 20)
