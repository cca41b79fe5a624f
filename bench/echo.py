"""The floor under an Invoker on Kafka: a process that answers each message with a result ack and runs nothing.

One thread: poll, what else has come, one commit with its metadata before anything is answered (an Invoker's rule: user
code runs after the commit), then an ack for each, of the size that the Invoker's has. No loop, no JSON, no records.
Usage: `python -m bench.echo HOSTS TOPIC COMPLETED SIZE`; it prints one line when it has its place.
"""

import sys

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.controller import LARGEST
from upcall.brokers import Brokers
from upcall.bus.kafka_client import Complaints, consumer_config, producer_config

BATCH = 256
_ACK = b'{"transid":["%b",1],"response":{"response":{"statusCode":0}},"isSystemError":false,"instance":{"instance":0}'
_TRANSID = b'"transid":["'


def echo(brokers: Brokers, topic: str, completed: str, size: int) -> None:
    quiet = Complaints("floor")
    producer = Producer(producer_config(brokers, LARGEST, quiet, once=False))
    consumer = Consumer(consumer_config(brokers, topic, quiet))
    consumer.subscribe([topic])
    while not consumer.assignment():
        consumer.poll(0.05)
    print("ready", flush=True)
    padding = b',"padding":"' + b"x" * max(size - len(_ACK) - 30, 0) + b'"}'
    while True:
        producer.poll(0)
        if (first := consumer.poll(0.5)) is None:
            continue
        batch = [first, *consumer.consume(BATCH - 1, 0)]
        place = TopicPartition(topic, 0, first.offset() or 0, "upcall1:" + "x" * 20)
        consumer.commit(offsets=[place], asynchronous=False)
        for record in batch:
            data = record.value() or b""
            at = data.index(_TRANSID) + len(_TRANSID)
            producer.produce(completed, _ACK % data[at : at + 12] + padding, on_delivery=lambda error, record: None)


if __name__ == "__main__":
    hosts, topic, completed, size = sys.argv[1:]
    echo(Brokers(hosts=hosts), topic, completed, int(size))
