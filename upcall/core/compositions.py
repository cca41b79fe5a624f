"""Sequences and conductors, as far as they decide nothing by themselves: what goes from one component to the next, and
the records that are written of them (spec: sequences-conductors.md §2, §3)."""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from upcall.core.params import Defaults, merge
from upcall.model.activation import SUCCESS, Activation, Response
from upcall.model.entities import ActionLimits, Identity
from upcall.model.names import FullyQualifiedName, Json

CONDUCTOR = "conductor"
ERROR = "error"
Arguments = tuple[Raw, dict[str, str]]

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Run:
    """What becomes of a composition while it runs."""

    def __init__(self, limits: ActionLimits) -> None:
        self.logs: list[str] = []
        """Ids of what it has called."""
        self.duration = 0
        """ms, of all of them."""
        self.limits = limits
        self.memory = 0
        """MB of the largest of them."""

    def ended(self, record: Activation, memory: int) -> None:
        """One of them has ended."""
        self.logs.append(record.activation_id)
        self.duration += record.duration if isinstance(record.duration, int) else record.end - record.start
        self.memory = max(self.memory, memory)


class Step(msgspec.Struct, frozen=True):
    """What a conductor says: which action is next, if one is, and with what."""

    action: Json
    params: bytes | None
    state: bytes | None


def is_truthy(value: Json) -> bool:
    """Of an annotation: an empty object or array counts."""
    return bool(value) or isinstance(value, dict | list)


def next_arguments(defaults: Defaults, result: Raw | UnsetType) -> Arguments:
    """Those of the next component, from the result of the one before: an object over its defaults; an array as it is;
    anything else is none."""
    body = b"" if result is UNSET else bytes(result).strip()
    if body.startswith(b"["):
        return Raw(body), {}
    return merge(without_final(defaults), body if body.startswith(b"{") else b"")


def without_final(defaults: Defaults) -> Defaults:
    """Results of others' making may name what a caller may not."""
    return msgspec.structs.replace(defaults, final=frozenset()) if defaults.final else defaults


def is_error(response: Response) -> bool:
    """Whether a sequence ends with it."""
    return response.status_code != SUCCESS or ERROR in members(response.result)


def members(result: Raw | UnsetType) -> dict[str, Raw]:
    """Of an object; none of anything else."""
    if result is UNSET or not bytes(result).lstrip().startswith(b"{"):
        return {}
    return _members(result)


def read_step(result: Raw | UnsetType) -> Step | None:
    """None where there is no next action."""
    found = members(result)
    if "action" not in found:
        return None
    return Step(
        msgspec.json.decode(found["action"]), _object(found, "params", "value"), _object(found, "state", "state")
    )


def final_result(result: Raw | UnsetType) -> Raw | UnsetType:
    """What a composition comes to, by what its conductor said at last."""
    found = members(result)
    params = _object(found, "params", "value")
    return result if params is None else Raw(params)


def with_state(params: bytes, state: bytes | None) -> bytes:
    """What the conductor is called with: a component's result under the state, which wins."""
    if state is None:
        return params
    return _encode({**_members(params), **_members(state)})


def boxed(result: Raw | UnsetType) -> bytes:
    """A component's result for the conductor, which takes objects alone."""
    if result is UNSET:
        return b"{}"
    body = bytes(result).strip()
    return body if body.startswith(b"{") else b'{"value":%b}' % body


def error_body(text: str) -> bytes:
    """An error as payload of the conductor."""
    return _encode({ERROR: text})


class Call(msgspec.Struct, frozen=True):
    """Which composition runs, for whom."""

    user: Identity
    name: FullyQualifiedName
    id: str
    cause: str | UnsetType
    start: int
    """Epoch ms."""
    waited: int
    """ms from the arrival of the request."""
    conductor: bool = False


def composition_record(call: Call, run: Run, response: Response, *, now: int) -> Activation:
    """The record of a sequence, or of a composition that a conductor has made; `now` is epoch ms."""
    limits, nested = run.limits, isinstance(call.cause, str)
    annotations: dict[str, Json] = {"topmost": not nested, "path": call.name.id, "kind": "sequence"}
    if call.conductor:
        annotations[CONDUCTOR] = True
    if nested:
        annotations["causedBy"] = "sequence"
    if call.name.binding is not None:
        annotations["binding"] = call.name.binding
    annotations["waitTime"] = call.waited
    annotations["limits"] = {
        "timeout": limits.timeout,
        "memory": run.memory or limits.memory,
        "logs": limits.logs,
        "concurrency": 1 if call.conductor else limits.concurrency,
    }
    return Activation(
        namespace=call.user.namespace.name,
        name=call.name.name,
        subject=call.user.subject,
        activation_id=call.id,
        start=call.start,
        end=max(call.start, now),
        duration=run.duration,
        cause=call.cause,
        response=response,
        logs=run.logs,
        version=call.name.version or "0.0.1",
        annotations=Raw(_encode([{"key": key, "value": value} for key, value in annotations.items()])),
    )


def _object(found: dict[str, Raw], member: str, box: str) -> bytes | None:
    if member not in found:
        return None
    value = bytes(found[member]).strip()
    return value if value.startswith(b"{") else b'{"%b":%b}' % (box.encode(), value)
