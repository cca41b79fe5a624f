"""User events: what an activation was and what it came to, for whoever reads that topic (spec: bus.md §9.1).

One for each acknowledgement that frees a slot. Nobody waits for a send, and nothing comes of its failure.
"""

import logging
from collections.abc import Callable

import msgspec
from msgspec import Raw

from upcall.invoker.acks import Tell
from upcall.model.activation import Activation
from upcall.model.messages import ActivationMessage, EventMessage, Topic
from upcall.model.names import InvokerId, Json
from upcall.ports import Bus
from upcall.telemetry import about

log = logging.getLogger(__name__)

_NOT_CONVERTIBLE = 400
_INT = range(-(2**31), 2**31)


class _Annotation(msgspec.Struct):
    key: str
    value: Raw


class _Limits(msgspec.Struct):
    memory: int = 0


class _Status(msgspec.Struct, rename="camel"):
    status_code: Raw | msgspec.UnsetType = msgspec.UNSET


class _Result(_Status):
    error: Raw | msgspec.UnsetType = msgspec.UNSET


_annotations = msgspec.json.Decoder(list[_Annotation]).decode
_limits = msgspec.json.Decoder(_Limits).decode
_result = msgspec.json.Decoder(_Result).decode
_status = msgspec.json.Decoder(_Status).decode


class Events:
    """Of one Invoker. `clock` gives epoch ms."""

    def __init__(self, bus: Bus, instance: InvokerId, topic: Topic, clock: Callable[[], int]) -> None:
        self._bus = bus
        self._source = f"invoker{instance.instance}"
        self._topic = topic
        self._clock = clock

    async def ready(self) -> Tell:
        """`send`, when there is a topic for it."""
        await self._bus.ensure(self._topic)
        return self.send

    def send(self, message: ActivationMessage, record: Activation) -> None:
        """Tell of this activation; where it cannot be told, log it."""
        try:
            body = _body(record)
            space, now = message.user.namespace.uuid, self._clock()
            event = EventMessage(self._source, "Activation", record.subject, record.namespace, space, now, body)
            self._bus.send(self._topic, event)
        except Exception as error:  # noqa: BLE001 - no activation fails for want of an event
            log.error("no user event: %s", error, extra=about(message))


def _body(record: Activation) -> dict[str, Json]:
    """Raises KeyError where the annotations `path` or `kind` are missing."""
    notes = {each.key: each.value for each in _annotations(record.annotations)}
    response = record.response
    body: dict[str, Json] = {
        "name": msgspec.json.decode(notes["path"]),
        "activationId": record.activation_id,
        "statusCode": response.status_code,
        "duration": record.duration if isinstance(record.duration, int) else 0,
        "waitTime": msgspec.json.decode(notes.get("waitTime", b"0")),
        "initTime": msgspec.json.decode(notes.get("initTime", b"0")),
        "kind": msgspec.json.decode(notes["kind"]),
        "conductor": msgspec.json.decode(notes.get("conductor", b"false")),
        "memory": _limits(notes["limits"]).memory if "limits" in notes else 0,
    }
    if "causedBy" in notes:
        body["causedBy"] = msgspec.json.decode(notes["causedBy"])
    if isinstance(response.size, int):
        body["size"] = response.size
    status = user_status(response.result) if isinstance(response.result, Raw) else None
    return body if status is None else {**body, "userDefinedStatusCode": status}


def user_status(result: Raw) -> int | None:
    """The status that the action's result asks for: `error.statusCode`, else `statusCode`; None where there is none."""
    try:
        found = _result(result)
    except msgspec.MsgspecError:
        return None  # no object
    asked = found.status_code
    if isinstance(found.error, Raw):
        try:
            within = _status(found.error).status_code
        except msgspec.MsgspecError:
            within = msgspec.UNSET
        asked = within if isinstance(within, Raw) else asked
    return _number(asked) if isinstance(asked, Raw) else None


def _number(text: Raw) -> int:
    try:
        value: Json = msgspec.json.decode(text)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and int(value) == float(value):
            return int(value) if int(value) in _INT else _NOT_CONVERTIBLE
    except (ValueError, OverflowError):  # msgspec's errors are ValueErrors
        pass
    return _NOT_CONVERTIBLE
