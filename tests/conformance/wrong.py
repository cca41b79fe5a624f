"""An Invoker of some sixty lines that runs nothing: it answers each activation with its own arguments, and on demand it
does one thing wrong. A check that passes with it and with its fault cannot fail."""

import json
import threading
import time
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from upcall.model.entities import Action
from upcall.testing.conformance.documents import Documents

Json = dict[str, Any]


class _Reading(Documents):
    def logs(self, id: str) -> int:
        action = self._do(self._store.get(Action, id)).doc
        assert isinstance(action, Action)
        return action.limits.logs


class Wrong:
    """Answers until `close`; `fault` names what it does wrong."""

    def __init__(self, kafka: str, store: str, prefix: str, fault: str = "") -> None:
        self.fault = fault
        self._documents = _Reading(store)
        self._prefix = prefix
        topic, settings = f"{prefix}invoker0", {"bootstrap.servers": kafka, "group.id": f"{prefix}invoker0"}
        self._instance: Json = {"instance": 0, "userMemory": "536870912 B", "instanceType": "invoker"}
        self._instance |= {"tags": [], "dedicatedNamespaces": []}
        new = NewTopic(topic, 2 if fault == "partitions" else 1, 1)
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.create_topics([new])[topic].result(10)
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0})
        self._consumer = Consumer({**settings, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20})
        self._consumer.subscribe([topic])
        self._over = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._consumer.close()
        self._documents.close()

    def _work(self) -> None:
        period, last = (0.3 if self.fault == "period" else 1.0), 0.0
        while not self._over:
            if time.monotonic() - last >= period:
                last = time.monotonic()
                self._send("health", self._ping())
            message = self._consumer.poll(0.02)
            if message is not None and message.error() is None:
                self._answer(json.loads(message.value() or b""))

    def _ping(self) -> Json:
        name = {k: v for k, v in self._instance.items() if k != "tags" or self.fault != "tags"}
        if self.fault == "unit":
            name["userMemory"] = "512 MB"
        return {"name": name, "isEnabled": True}

    def _answer(self, message: Json) -> None:
        id, blocking = message["activationId"], message["blocking"]
        name = message["action"]
        logs = self._documents.logs(f"{name['path']}/{name['name']}")
        first, start, *rest = message["transid"]
        transid = [first, start + (self.fault == "transid"), *rest]
        record = self._record(message)
        free: Json = {"transid": transid, "isSystemError": False, "instance": dict(self._instance)}
        if self.fault == "system":
            free["isSystemError"] = "false"
        if self.fault == "instance":
            free["instance"]["userMemory"] = "1 B"
        completion, result = {**free, "activationId": id}, {"transid": transid, "response": record}
        whole = [{**free, "response": record}]
        split = [completion, result] if self.fault == "order" else [result, completion]
        acks = (split if logs or self.fault == "split" else whole) if blocking else [completion]
        if self.fault == "whole" and not blocking:
            acks = whole
        if self.fault == "twice":
            acks = [*acks, completion]
        for ack in acks:
            self._send(f"completed{message['rootControllerIndex']['asString']}", ack)

    def _record(self, message: Json) -> Json:
        space, name, now = message["user"]["namespace"]["name"], message["action"], int(time.time() * 1000)
        response = {"statusCode": 0, "result": message.get("content", {}), "size": 2}
        record = {
            "namespace": space, "name": name["name"], "subject": space, "activationId": message["activationId"],
            "start": now, "end": now, "duration": 0, "response": response, "logs": [], "version": "0.0.1",
            "publish": False, "annotations": [{"key": "path", "value": f"{name['path']}/{name['name']}"}],
        }  # fmt: skip
        if self.fault == "publish":
            del record["publish"]
        return record

    def _send(self, topic: str, value: Json) -> None:
        self._producer.produce(f"{self._prefix}{topic}", json.dumps(value), key="k" if self.fault == "key" else None)
        self._producer.flush(10)
