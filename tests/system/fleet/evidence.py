"""What is left when all is quiet, read by other means than the platform's own: topics, groups, records."""

import asyncio
import json
from collections import Counter, defaultdict
from typing import Any

import asyncpg
import msgspec
from confluent_kafka import Consumer, TopicPartition

from tests.system.fleet.world import World
from upcall.core.offsets import Commit, Offsets
from upcall.model.activation import STATUS

READ = 30.0
"""Seconds that reading a topic may take."""


class Sent(msgspec.Struct, frozen=True):
    """A message of an Invoker's topic."""

    id: str
    token: str
    action: str
    invoker: int
    offset: int
    blocking: bool


class Ack(msgspec.Struct, frozen=True):
    """What an Invoker said of an activation: `status` is None where it told the id alone; `free`: of its slot."""

    free: bool
    system: bool
    status: str | None


class Record(msgspec.Struct, frozen=True):
    status: str
    result: Any
    start: int
    end: int


class Evidence(msgspec.Struct):
    sent: list[Sent]
    acks: dict[str, list[Ack]]
    records: dict[str, Record]
    copies: Counter[str]
    """Records by id: more than one is a bug."""
    groups: dict[str, str]
    """What is not done of an Invoker's topic, by its name; nothing for one that is done."""

    def story(self, id: str) -> str:
        """All that is known of an activation."""
        sent = [f"invoker{one.invoker} at {one.offset}" for one in self.sent if one.id == id]
        record = self.records.get(id)
        told = f"{record.status}, {str(record.result)[:160]}, {record.start} to {record.end}" if record else "no record"
        acks = [f"{'free' if ack.free else 'result'} {ack.status or ack.system}" for ack in self.acks.get(id, [])]
        return f"{id or 'no id'}: {told}; sent to {sent}; acks {acks}"


def gathered(world: World) -> Evidence:
    sent = [
        _sent(value, invoker.number, offset)
        for invoker in world.invokers
        for offset, value in _values(world, f"invoker{invoker.number}")
    ]
    acks: dict[str, list[Ack]] = defaultdict(list)
    for controller in world.controllers:
        for _, value in _values(world, f"completed{controller.number}"):
            id, ack = _ack(value)
            acks[id].append(ack)
    rows = asyncio.run(_rows(world))
    records = {id: _record(doc) for id, doc in rows}
    copies = Counter(id for id, _ in rows)
    groups = {each.name: left for each in world.invokers if (left := unfinished(world, each.name))}
    return Evidence(sent, acks, records, copies, groups)


def unfinished(world: World, topic: str) -> str:
    """What the topic's group has not done, in words; nothing where all of it is done."""
    consumer = _consumer(world, topic)
    try:
        partition = TopicPartition(topic, 0)
        end = consumer.get_watermark_offsets(partition, timeout=10)[1]
        place = consumer.committed([partition], timeout=10)[0]
    finally:
        consumer.close()
    offsets = Offsets(Commit(place.offset, place.metadata or ""))
    return "" if offsets.base == end else f"{topic} ends at {end}, and its group: {offsets.story()}"


def _values(world: World, topic: str) -> list[tuple[int, dict[str, Any]]]:
    """Of the whole topic, from its beginning."""
    consumer = _consumer(world, "evidence")
    try:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        assert low == 0, f"{topic} begins at {low}: what lies before is not known"
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[tuple[int, dict[str, Any]]] = []
        while end > (found[-1][0] + 1 if found else 0):
            message = consumer.poll(READ)
            assert message is not None, f"{topic} cannot be read past {found[-1][0] if found else 0} of {end}"
            assert message.error() is None, message.error()
            found.append((message.offset() or 0, json.loads(message.value() or b"")))
    finally:
        consumer.close()
    return found


def _consumer(world: World, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": world.broker.bootstrap,
            "group.id": group,
            "log_level": 0,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def _sent(value: dict[str, Any], invoker: int, offset: int) -> Sent:
    content = value.get("content") or {}
    token = content.get("token", "") if isinstance(content, dict) else ""
    return Sent(value["activationId"], token, value["action"]["name"], invoker, offset, value["blocking"])


def _ack(value: dict[str, Any]) -> tuple[str, Ack]:
    response = value.get("response")
    free, system = "instance" in value, bool(value.get("isSystemError"))
    if isinstance(response, dict):
        return response["activationId"], Ack(free, system, STATUS[response["response"]["statusCode"]])
    return response or value["activationId"], Ack(free, system, None)


async def _rows(world: World) -> list[tuple[str, bytes]]:
    connection = await asyncpg.connect(world.database)
    try:
        rows = await connection.fetch("SELECT id, doc FROM upcall.activations ORDER BY n")
    finally:
        await connection.close()
    return [(row["id"].decode().rpartition("/")[2], row["doc"]) for row in rows]


def _record(doc: bytes) -> Record:
    value = json.loads(doc)
    response = value["response"]
    return Record(STATUS[response["statusCode"]], response.get("result"), value["start"], value.get("end", 0))
