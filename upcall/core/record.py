"""Activation records: how they are put together, and which are stored (spec: store.md §5, §6).

All that "ran or tried to" has the annotations `limits`, `timeout` and `waitTime`; what ended before the pool saw it (no
such action, limits violated) gets the fallback record, whose kind is `unknown`.
"""

from copy import copy
from typing import Literal

import msgspec
from msgspec import Raw

from upcall.core.run import Recipe
from upcall.model import texts
from upcall.model.activation import APPLICATION_ERROR, SUCCESS, Activation, Response
from upcall.model.entities import ActionLimits
from upcall.model.messages import ActivationMessage
from upcall.model.names import FIRST_VERSION
from upcall.model.sizes import SystemLimits

_encode = msgspec.json.Encoder().encode
_CAUSED = {"key": "causedBy", "value": "sequence"}

StoreLevel = Literal["STORE_ALWAYS", "STORE_FAILURES", "STORE_FAILURES_NOT_APPLICATION_ERRORS"]


class StoreLevels(msgspec.Struct, frozen=True):
    """Which records are kept (spec: store.md §6.2)."""

    blocking: StoreLevel = "STORE_ALWAYS"
    non_blocking: StoreLevel = "STORE_ALWAYS"
    told: bool = False
    """Whether the log tells of each that is not kept."""


class Times(msgspec.Struct, eq=False, gc=False):
    """When things happened to one activation, in epoch ms; durations in ms."""

    asked: int
    """Start of the first call to the container, or the moment when it became clear that there is none."""
    start: int
    """What the record calls start: of /run less the time that /init took."""
    end: int
    """Before `start` where the clock was set back; the record's is not."""
    init: int | None = None
    timeout: bool = False
    waited: int = 0
    """From acceptance to `asked`: `activation_record` works it out."""


def activation_record(recipe: Recipe, message: ActivationMessage, response: Response, times: Times) -> Activation:
    """The record of an activation that ran, or tried to; without logs. Sets `times.waited`."""
    transid = message.transid
    accepted = transid[1] if len(transid) > 1 and type(transid[1]) is int else times.asked  # spec: bus.md §6.1
    waited = times.waited = times.asked - accepted
    annotations = b'%b%b},{"key":"waitTime","value":%d}%b]' % (
        recipe.annotations,
        b"true" if times.timeout else b"false",
        waited,
        b"" if times.init is None else b',{"key":"initTime","value":%d}' % times.init,
    )
    if isinstance(message.cause, str) or message.action.binding is not None:
        annotations = _with_origin(annotations, message)
    user = message.user
    start = times.start
    end = max(start, times.end)
    return Activation(  # positional: by name it takes three times as long
        user.namespace.name,
        recipe.name,
        user.subject,
        message.activation_id,
        start,
        end,
        end - start,
        message.cause,
        response,
        [],
        recipe.version,
        False,
        Raw(annotations),
    )


def fallback_record(message: ActivationMessage, response: Response, now: int) -> Activation:
    """The record of an activation that never reached the pool; `now` in epoch ms. As upstream's, it does not tell the
    binding."""
    action, user = message.action, message.user
    known = [{"key": "path", "value": action.id}, {"key": "kind", "value": "unknown"}]
    if isinstance(message.cause, str):
        known.append(_CAUSED)
    return Activation(
        namespace=user.namespace.name,
        name=action.name,
        subject=user.subject,
        activation_id=message.activation_id,
        start=now,
        end=now,
        duration=0,
        cause=message.cause,
        response=response,
        version=action.version or FIRST_VERSION,
        annotations=Raw(_encode(known)),
    )


def is_stored(message: ActivationMessage, response: Response, levels: StoreLevels) -> bool:
    """Whether the record is kept."""
    if message.user.limits.store_activations is False:
        return False
    level = levels.blocking if message.blocking else levels.non_blocking
    if level == "STORE_ALWAYS":
        return True
    if len(message.transid) > 2 and message.transid[2] is True:
        return True
    return response.status_code > (SUCCESS if level == "STORE_FAILURES" else APPLICATION_ERROR)


def limit_error(limits: ActionLimits, allowed: SystemLimits) -> str | None:
    """The first limit of an action that its caller's namespace does not allow (spec: invoker.md §6)."""
    for what, value, bounds in (
        ("duration", limits.timeout, allowed.timeout),
        ("memory size", limits.memory, allowed.memory),
        ("concurrency", limits.concurrency, allowed.concurrency),
        ("log size", limits.logs, allowed.logs),
    ):
        if value > bounds.max:
            return texts.limit_exceeded(what, value, bounds.max)
        if value < bounds.min:
            return texts.limit_undercut(what, value, bounds.min)
    return None


def _with_origin(annotations: bytes, message: ActivationMessage) -> bytes:
    """Adds what tells where the call came from: a sequence, a package binding."""
    if isinstance(message.cause, str):
        annotations = annotations[:-1] + b",%b]" % _encode(_CAUSED)
    if message.action.binding is not None:
        annotations = annotations[:-1] + b',{"key":"binding","value":%b}]' % _encode(message.action.binding)
    return annotations


def with_logs(activation: Activation, lines: list[str]) -> Activation:
    """The same record with its logs; what was sent on the bus without them stays as it is."""
    logged = copy(activation)  # a tenth of what `structs.replace` takes
    logged.logs = lines
    return logged
