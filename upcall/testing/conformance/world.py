"""The small controller: it sends activations and probes to one Invoker, and reads its pings and acks.

`advance` takes in what has come: pings and outcomes go through `Health`, whose probes are sent at once. Everything that
waits calls it. One thread uses a World at a time.
"""

import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from upcall.testing.conformance.activation import Ack, Activation, Json, read_ack
from upcall.testing.conformance.check import Failed, NotInReach
from upcall.testing.conformance.code import ECHO
from upcall.testing.conformance.documents import Document, Documents
from upcall.testing.conformance.health import Health
from upcall.testing.conformance.target import Target
from upcall.testing.conformance.wire import Heard, Wire

PROBE_PATH = "whisk.system"
ABSENT: Any = object()


class Action(NamedTuple):
    """A document that the store has."""

    document: Document
    revision: str

    @property
    def name(self) -> dict[str, Json]:
        """As messages have it."""
        document = self.document
        return {"path": document["namespace"], "name": document["name"], "version": document["version"]}


class World:
    """Close it in the end."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.wire = Wire(target.kafka, target.prefix)
        self.invoker_topic = f"{target.prefix}invoker{target.invoker}"
        self.ack_topic = f"{target.prefix}completed{target.controller}"
        self.health_topic = f"{target.prefix}health"
        self.tag = secrets.token_hex(3)
        self.namespace = f"conformance-{self.tag}"
        self.health = Health()
        self.pings: list[tuple[Heard, Any]] = []
        """Of this Invoker, decoded."""
        self.probes: list[str] = []
        self.probe_acks: list[Ack] = []
        self._probe_transid = ["sid_invokerHealth", int(time.time() * 1000)]
        self._probed: Action | None = None
        self._acks: dict[str, list[Ack]] = {}
        self._sent: set[str] = set()
        self._read = {self.ack_topic: 0, self.health_topic: 0}
        self._documents = Documents(target.store) if target.store else None
        self._count = 0
        for topic, kind in ((self.ack_topic, "completed"), (self.health_topic, "health")):
            self.wire.ensure(topic, kind)
            self.wire.listen(topic)

    def close(self) -> None:
        self.wire.close()
        if self._documents is not None:
            self._documents.close()

    @property
    def documents(self) -> Documents:
        return self._stored()

    def _stored(self) -> Documents:
        if self._documents is None:
            raise NotInReach("the Invoker's store is not known: --store URL")
        return self._documents

    # --- what is sent

    def action(
        self,
        code: str = ECHO,
        *,
        kind: str = "",
        name: str = "",
        path: str = "",
        limits: dict[str, int] | None = None,
        annotations: dict[str, Json] | None = None,
        version: str = "0.0.1",
        exec: Document | None = None,
        after: Action | None = None,
    ) -> Action:
        """Write an action's document; `after` is the revision that it replaces. Least memory, 1 MB of logs and 20 s
        where `limits` says nothing else."""
        self._count += 1
        document: Document = {
            "namespace": path or self.namespace,
            "name": name or f"a{self._count}",
            "version": version,
            "publish": False,
            "updated": int(time.time() * 1000),
            "exec": exec or {"kind": kind or self.target.python, "code": code, "binary": False},
            "parameters": [],
            "limits": {"timeout": 20_000, "memory": 128, "logs": 1, "concurrency": 1, **(limits or {})},
            "annotations": [
                {"key": k, "value": v} for k, v in ({"provide-api-key": False} | (annotations or {})).items()
            ],
        }
        return Action(document, self.documents.put(document, after.revision if after else None))

    def node(self, code: str, **members: Any) -> Action:
        """The same in Node.js."""
        if not self.target.node:
            raise NotInReach("no Node.js kind of it is known: --node KIND")
        return self.action(code, kind=self.target.node, **members)

    def message(
        self, action: Action, content: Json = ABSENT, *, blocking: bool = True, namespace: str = "", **members: Json
    ) -> dict[str, Json]:
        """As a controller of today sends it; `members` replace or add, ABSENT takes away."""
        space, uuid = namespace or self.namespace, str(uuid4())
        message = {
            "transid": [secrets.token_hex(16), int(time.time() * 1000)],
            "action": action.name,
            "revision": action.revision,
            "user": {
                "subject": space,
                "namespace": {"name": space, "uuid": uuid},
                "authkey": {"api_key": f"{uuid}:{'k' * 64}"},
                "rights": ["READ", "PUT", "DELETE", "ACTIVATE"],
                "limits": {},
            },
            "activationId": secrets.token_hex(16),
            "rootControllerIndex": {"asString": self.target.controller, "instanceType": "controller"},
            "blocking": blocking,
            "content": content,
            "initArgs": [],
            "lockedArgs": {},
            **members,
        }
        return {name: value for name, value in message.items() if value is not ABSENT}

    def send(self, message: dict[str, Json]) -> Activation:
        """To the Invoker's topic."""
        self._sent.add(str(message["activationId"]))
        self.wire.send(self.invoker_topic, json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())
        return Activation(message, self._acks_of, self._record, self.wait)

    def begin(self, action: Action, content: Json = ABSENT, **members: Any) -> Activation:
        """Make a message and send it."""
        return self.send(self.message(action, content, **members))

    def run(self, action: Action, content: Json = ABSENT, **members: Any) -> dict[str, Json]:
        """Blocking, to its end: the record that its caller gets."""
        activation = self.begin(action, content, **members)
        record = activation.told()
        activation.ended()
        return record

    def result(self, action: Action, content: Json = ABSENT, **members: Any) -> Json:
        """The result of a run. Raises Failed where it is no success."""
        record = self.run(action, content, **members)
        response = record["response"]
        if response["statusCode"] != 0:
            raise Failed(f"an activation of {action.document['name']} ended with {response}")
        return response["result"]

    def probe(self) -> None:
        """Send a test action (spec: bus.md §8.1)."""
        if self._probed is None:
            name = f"invokerHealthTestAction{self.target.controller}-{self.tag}"
            self._probed = self.action(ECHO, name=name, path=PROBE_PATH)
        user = {
            "subject": PROBE_PATH,
            "namespace": {"name": PROBE_PATH, "uuid": str(uuid4())},
            "authkey": {"api_key": f"{uuid4()}:{'p' * 64}"},
            "rights": [],
            "limits": {},
        }
        message = self.message(self._probed, blocking=False, user=user, revision=None, transid=self._probe_transid)
        self.probes.append(message["activationId"])
        self.wire.send(self.invoker_topic, json.dumps(message).encode())

    # --- what comes

    def advance(self) -> None:
        """Take in pings, acks and the time."""
        now = time.monotonic()
        ask = [self._ping(heard) for heard in self._new(self.health_topic)]
        ask += [self._ack(heard) for heard in self._new(self.ack_topic)]
        if any([*ask, self.health.tick(now)]) and self._documents is not None:
            self.probe()

    def wait(self, what: str, met: Callable[[], bool], patience: float | None = None) -> None:
        """Raises Failed."""

        def look() -> bool:
            self.advance()
            return met()

        self.wire.wait(what, look, patience or self.target.patience)

    def sleep(self, seconds: float) -> None:
        """Go on reading meanwhile. Raises NotInReach where that is longer than anybody wants to wait."""
        if seconds > self.target.wait_at_most:
            raise NotInReach(f"that takes {seconds:g} s: --wait-at-most SECONDS")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self.advance()

    def up(self) -> None:
        """Wait until the Invoker is healthy; probes need a document."""
        self._stored()
        self.wait("a healthy Invoker", lambda: self.health.state == "up", 2 * self.target.patience)

    def ping(self) -> Any:
        """The newest one, decoded; waits for the first."""
        self.wait(f"a ping of invoker{self.target.invoker}", lambda: bool(self.pings))
        return self.pings[-1][1]

    @property
    def memory(self) -> int:
        """MB of its pool, by its pings."""
        return _megabytes(self.ping()["name"]["userMemory"])

    def acks(self) -> Sequence[tuple[Heard, Ack]]:
        """All that have come, with what the wire says of them."""
        return [(heard, read_ack(heard.offset, heard.value)) for heard in self.wire.heard(self.ack_topic)]

    def _new(self, topic: str) -> list[Heard]:
        found = self.wire.heard(topic, self._read[topic])
        self._read[topic] += len(found)
        return found

    def _ping(self, heard: Heard) -> bool:
        try:
            ping = json.loads(heard.value)
            number, enabled = ping["name"]["instance"], ping.get("isEnabled", True)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failed(f"no ping: {heard.value[:200]!r}") from error
        if number != self.target.invoker:
            return False
        self.pings.append((heard, ping))
        return self.health.ping(heard.seen, enabled)

    def _ack(self, heard: Heard) -> bool:
        ack = read_ack(heard.offset, heard.value)
        self._acks.setdefault(ack.id, []).append(ack)
        if "instance" not in ack.body:
            return False
        if ack.id in self.probes:
            self.probe_acks.append(ack)
            ours = ack.body["transid"] == self._probe_transid
        else:
            ours = ack.id in self._sent
        return ours and self.health.outcome(heard.seen, "system error" if ack.body["isSystemError"] else "success")

    def _acks_of(self, id: str) -> list[Ack]:
        self.advance()
        return self._acks.get(id, [])

    def _record(self, namespace: str, id: str) -> Document | None:
        return self.documents.record(namespace, id)


def _megabytes(size: str) -> int:
    number, _, unit = size.partition(" ")
    return int(number) * {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[unit.upper()] >> 20
