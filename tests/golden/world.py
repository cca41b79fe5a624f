"""One case of the golden table, run through an Invoker: real but for the containers, whose runtimes a script plays on
real sockets, and whose output goes through the platform's own reader of logs."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec

from tests.golden.table import Case, unfolded
from upcall import errors
from upcall.bus.codec import decode, encode
from upcall.bus.memory import MemoryBus
from upcall.core.pool import PoolConfig
from upcall.core.record import StoreLevels
from upcall.invoker.service import Invoker
from upcall.logs.stream import LogStream
from upcall.model.activation import Activation
from upcall.model.entities import Action, NamespaceKey, Subject
from upcall.model.messages import ActivationMessage, Message, Topic, invoker_topic
from upcall.model.names import Json
from upcall.model.sizes import SystemLimits
from upcall.ports import Bus, ContainerSpec, Lines, Sent
from upcall.store.cache import ActionCache
from upcall.store.couch_documents import encoded
from upcall.testing import CRASH, MANIFEST, FakeContainer, FakeContainers, FakeStore, Reply, an_instance, until

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
PATIENCE = 60.0
"""seconds"""
_LARGEST = 1054644
"""Bytes of a message that brokers take (spec: bus.md §2.1)."""
_FAILURES = {
    "unreadable": errors.Unreadable("cut short"),
    "conflict": errors.Conflict("it is a trigger"),
    "other": RuntimeError("401"),
}
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (?=std)")


class Wire(MemoryBus):
    """Everything leaves the process as bytes; brokers refuse what is too large."""

    recalls = True

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        data = encode(message)
        if topic.carries == "ack" and len(data) > self.largest:
            assert sent is not None
            sent(errors.TooLarge("it is too large"))
        else:
            super().send(topic, decode(topic.carries, data), sent)


class Printing(FakeContainers):
    """Its runtimes print what the case says, when they are asked to run."""

    def __init__(self, case: Case, gate: asyncio.Event) -> None:
        super().__init__(self._script)
        self._row = case.row
        self._gate = gate
        self._never = asyncio.Event()
        self.streams: dict[str, LogStream] = {}
        start = case.row.get("start")
        if start is not None:
            self.failure = errors.StartFailed(**start)

    async def create(self, spec: ContainerSpec) -> FakeContainer:
        container = await super().create(spec)
        container.out_of_memory = self._row.get("exhausted", False)
        stream = self.streams[container.id] = LogStream(10 << 20, sentinel=True)

        def collect(limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
            done(stream.take(limit, complete))

        container.collect = collect  # type: ignore[method-assign]
        return container

    def _script(self, path: str, body: Json) -> Reply:
        row: dict[str, Any] = self._row.get(path[1:], {})
        if path == "/run" or row:
            self._print(path == "/run")
        if row.get("crash"):
            return CRASH
        if row.get("silent"):
            return Reply(after=self._never)
        body_ = unfolded(row.get("body", "{}")).encode()
        return Reply(status=row.get("status", 200), body=body_, after=self._gate if path == "/init" else None)

    def _print(self, runs: bool) -> None:
        stream = list(self.streams.values())[-1]
        for name, text in self._row.get("print", ()) if runs else ():
            stream.feed(name, unfolded(text).encode())
        if self._row.get("sentinels", True):
            stream.feed("stdout", SENTINEL)
            stream.feed("stderr", SENTINEL)


class World:
    """Runs the case: `acks` and `record` are what came of it, normalised."""

    def __init__(self, case: Case, bus: Callable[[FakeStore], Bus] | None = None, number: int = 0) -> None:
        self.case = case
        self.row = case.row
        self.store = FakeStore()
        self.gate = asyncio.Event()
        self.containers = Printing(case, self.gate)
        self.bus = bus(self.store) if bus else Wire(case.row.get("broker", _LARGEST))
        self.id = uuid4().hex
        self.number = number
        self.sent = 0
        self.acks: list[dict[str, Any]] = []

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.containers.close)
            await stack.enter_async_context(self._hearing())
            revision = await self._prepare()
            async with self._invoker():
                if self.row.get("warm") or self.row.get("queued"):
                    self._send("0" * 32, revision)
                    await until(lambda: bool(self.containers.made and self.containers.made[0].bodies), PATIENCE)
                if not self.row.get("queued"):
                    self.gate.set()
                if self.row.get("warm"):
                    await until(lambda: self._over("0" * 32), PATIENCE)
                self.sent = int(time.time() * 1000)
                self._send(self.id, revision)
                if self.row.get("queued"):
                    await asyncio.sleep(0)
                    self.gate.set()
                await until(lambda: self._over(self.id), PATIENCE)

    async def record(self) -> dict[str, Any] | None:
        """As CouchDB would have it."""
        try:
            found = (await self.store.get(Activation, f"caller/{self.id}")).doc
        except errors.NotFound:
            return None
        return self._normal(json.loads(encoded(found, None, {"updated": int(time.time() * 1000)})))

    def normal(self) -> list[dict[str, Any]]:
        """The acks, in the order of their arrival."""
        found = [ack for ack in self.acks if self._of(ack) == self.id]
        for ack in found:
            if isinstance(ack.get("response"), dict):
                ack["response"] = self._normal(ack["response"])
            else:
                ack.update({k: "$id" for k in ("response", "activationId") if ack.get(k) == self.id})
            if "instance" in ack and ack["instance"]["instance"] == self.number:
                ack["instance"]["instance"] = 0
        return found

    @property
    def arguments(self) -> Json:
        """What /run got last."""
        return self.containers.made[-1].bodies[-1]["value"]

    def _over(self, id: str) -> bool:
        return any("instance" in ack for ack in self.acks if self._of(ack) == id)

    def _of(self, ack: dict[str, Any]) -> str:
        response = ack.get("response", ack.get("activationId"))
        return str(response["activationId"] if isinstance(response, dict) else response)

    @asynccontextmanager
    async def _hearing(self) -> AsyncIterator[None]:
        topic = Topic(f"completed{self.number}", "ack")
        await self.bus.ensure(topic)

        def deliver(offset: int, message: Message, started: bool) -> None:
            self.acks.append(json.loads(encode(message)))

        def lost(cause: BaseException) -> None:
            raise AssertionError from cause

        feed = await self.bus.feed(topic, topic.name, deliver, lost)
        feed.pull(100)
        yield
        await feed.close()

    async def _prepare(self) -> str:
        if self.row.get("blocked"):
            keys = [NamespaceKey("caller", "u", "k")]
            await self.store.put(Subject("ada", keys, blocked=True))
        failure = self.row.get("failing")
        if failure:
            self.store.get = _failing(self.store.get, _FAILURES[failure])  # type: ignore[method-assign]
        if self.row.get("missing") or failure:
            return "5-40f8848133d2e3b1855d5542b701104e"
        return await self.store.put(msgspec.convert(self.case.action, Action))

    def _invoker(self) -> Invoker:
        limits = {"concurrency": {"min": 1, "max": 1, "std": 1}, **self.row.get("system", {})}
        level = self.row.get("levels", "STORE_ALWAYS")
        return Invoker(
            an_instance(self.number),
            self.bus,
            self.store,
            ActionCache(self.store, time.monotonic),
            self.containers,
            pool=PoolConfig(memory=2048),
            manifest=MANIFEST,
            limits=msgspec.convert(limits, SystemLimits),
            levels=StoreLevels(level, level),
        )

    def _send(self, id: str, revision: str) -> None:
        message = {**self.case.message, "activationId": id, "revision": revision}
        message["rootControllerIndex"] = {"asString": str(self.number), "instanceType": "controller"}
        told = decode("activation", json.dumps(message).encode())
        assert isinstance(told, ActivationMessage)
        self.bus.send(invoker_topic(self.number), told)

    def _normal(self, record: dict[str, Any]) -> dict[str, Any]:
        """With names in the place of times and ids; how the times must relate is checked here (spec: store.md §6)."""
        notes = {entry["key"]: entry["value"] for entry in record["annotations"]}
        assert len(notes) == len(record["annotations"])
        assert all(set(entry) == {"key", "value"} for entry in record["annotations"])
        start, end = record["start"], record["end"]
        assert self.sent <= start <= end <= time.time() * 1000
        assert record["duration"] == end - start
        if "waitTime" in notes:
            assert notes["waitTime"] == start - self.case.message["transid"][1]
            notes["waitTime"] = "$waited"
        else:
            assert start == end
        if "initTime" in notes:
            assert 0 <= notes["initTime"] <= record["duration"]
            notes["initTime"] = "$init"
        if "limits" in notes and notes["timeout"]:
            assert record["duration"] >= notes["limits"]["timeout"]
        logs = [_STAMP.sub("$time ", line) for line in record["logs"]]
        found = {**record, "annotations": notes, "logs": logs, "start": "$start", "end": "$end"}
        found |= {"duration": "$duration", "activationId": "$id" if record["activationId"] == self.id else "?"}
        if "_id" in found:
            assert start <= found["updated"] <= time.time() * 1000
            found |= {"_id": record["_id"].replace(self.id, "$id"), "updated": "$updated"}
        return found


def _failing(get: Callable[..., Any], failure: Exception) -> Callable[..., Any]:
    async def failing(kind: Any, id: str, rev: str | None = None) -> Any:
        if kind is Action:
            raise failure
        return await get(kind, id, rev)

    return failing
