"""What must be in a message or a record, member by member, as upstream's readers demand it (spec: bus.md §6.4–§9.1,
store.md §6). Each function gives the faults it finds, in words."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]

_SIZE = re.compile(r"\d+ ?(b|kb?|mb?|gb?)", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{32}")


def text(value: Any) -> bool:
    return isinstance(value, str)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(text, value))


def activation_id(value: Any) -> bool:
    return text(value) and _ID.fullmatch(value) is not None


def size(value: Any) -> bool:
    return text(value) and _SIZE.fullmatch(value) is not None


INSTANCE: dict[str, Test] = {
    "instance": lambda value: whole(value) and value >= 0,
    "userMemory": size,
    "instanceType": lambda value: value == "invoker",
    "tags": texts,
    "dedicatedNamespaces": texts,
}
RESPONSE: dict[str, Test] = {"statusCode": lambda value: whole(value) and 0 <= value <= 3}
RECORD: dict[str, Test] = {
    "namespace": text,
    "name": text,
    "subject": text,
    "activationId": activation_id,
    "start": whole,
    "end": whole,
    "duration": whole,
    "response": lambda value: isinstance(value, dict),
    "logs": texts,
    "version": lambda value: text(value) and re.fullmatch(r"\d+\.\d+\.\d+", value) is not None,
    "publish": lambda value: value is False,
    "annotations": lambda value: isinstance(value, list),
}
EVENT: dict[str, Test] = {
    "source": text,
    "eventType": lambda value: value == "Activation",
    "subject": text,
    "namespace": text,
    "userId": text,
    "timestamp": whole,
    "body": lambda value: isinstance(value, dict),
}
EVENT_BODY: dict[str, Test] = {
    "name": text,
    "activationId": activation_id,
    "statusCode": whole,
    "duration": whole,
    "waitTime": whole,
    "initTime": whole,
    "kind": text,
    "conductor": lambda value: value is False,
    "memory": whole,
}


def faults(value: Any, members: Mapping[str, Test], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is no object: {value!r}"]
    missing = [f"{where} lacks {name}" for name in members if name not in value]
    wrong = [
        f"{where}.{name} is {value[name]!r}"
        for name, test in members.items()
        if name in value and not test(value[name])
    ]
    return missing + wrong


def instance_faults(value: Any, where: str = "instance") -> list[str]:
    found = faults(value, INSTANCE, where)
    if isinstance(value, dict):
        found += [
            f"{where}.{name} is {value[name]!r}"
            for name in ("uniqueName", "displayedName")
            if name in value and not text(value[name])
        ]
    return found


def ping_faults(value: Any) -> list[str]:
    if not isinstance(value, dict) or "name" not in value:
        return [f"the ping has no member `name`: {value!r}"]
    found = instance_faults(value["name"], "name")
    return found + ([] if flag(value.get("isEnabled", True)) else [f"isEnabled is {value['isEnabled']!r}"])


def ack_faults(value: Any) -> list[str]:
    """Of any of the three."""
    if not isinstance(value, dict):
        return [f"the ack is no object: {value!r}"]
    found = [] if isinstance(value.get("transid"), list) else [f"transid is {value.get('transid')!r}"]
    if "instance" in value:
        found += instance_faults(value["instance"])
        found += [] if flag(value.get("isSystemError")) else [f"isSystemError is {value.get('isSystemError')!r}"]
    if "response" in value:
        response = value["response"]
        found += [] if activation_id(response) else record_faults(response)
    elif not activation_id(value.get("activationId")):
        found.append(f"activationId is {value.get('activationId')!r}")
    return found


def record_faults(value: Any) -> list[str]:
    """Of a record, in an ack or of the store."""
    found = faults(value, RECORD, "record")
    if found:
        return found
    found += faults(value["response"], RESPONSE, "response")
    found += [f"the record has {name}" for name in ("_id", "_rev", "updated", "entityType") if name in value]
    if not all(isinstance(entry, dict) and set(entry) == {"key", "value"} for entry in value["annotations"]):
        found.append(f"annotations are {value['annotations']!r}")
    if not found and value["duration"] != value["end"] - value["start"]:
        found.append("duration is not end less start")
    return found


def event_faults(value: Any) -> list[str]:
    found = faults(value, EVENT, "event")
    return found or faults(value["body"], EVENT_BODY, "body")
