"""The limits that hold for a namespace, and the check of an action's limits against them (spec: rest-api.md §12, §6.1).

A namespace's own limits count where they are set, else the deployment's defaults for namespaces, and are clamped to the
system's; the throttles are not clamped, a
namespace may be given more than the system's standard. Only limits that a request names are checked.
"""

from msgspec import UNSET, UnsetType, structs

from upcall.errors import BadRequest
from upcall.model import texts
from upcall.model.entities import ActionLimits, UserLimits
from upcall.model.sizes import Bounds, Range, SystemLimits, bytes_text, parse_size

_Number = int | UnsetType | None
_CHECKED = (("memory", "memory size"), ("logs", "log size"), ("timeout", "duration"), ("concurrency", "concurrency"))


def effective(system: SystemLimits, user: UserLimits) -> SystemLimits:
    """What holds for a namespace, in the shape of the system's limits."""
    defaults = system.defaults
    return structs.replace(
        system,
        timeout=_clamp(system.timeout, defaults.timeout, user.min_action_timeout, user.max_action_timeout),
        memory=_clamp(system.memory, defaults.memory, user.min_action_memory, user.max_action_memory),
        logs=_clamp(system.logs, defaults.logs, user.min_action_logs, user.max_action_logs),
        concurrency=_clamp(
            system.concurrency, defaults.concurrency, user.min_action_concurrency, user.max_action_concurrency
        ),
        parameters=_least(system.parameters, defaults.parameters, user.max_parameter_size),
        payload=payload_limit(system, user),
        truncation=_least(system.truncation, defaults.truncation, user.truncation_size),
        invocations_per_minute=_number(user.invocations_per_minute, system.invocations_per_minute),
        concurrent_invocations=_number(user.concurrent_invocations, system.concurrent_invocations),
        fires_per_minute=_number(user.fires_per_minute, system.fires_per_minute),
    )


def payload_limit(system: SystemLimits, user: UserLimits) -> int:
    """Bytes of an invoke's arguments."""
    return _least(system.payload, system.defaults.payload, user.max_payload_size)


def check_limits(given: dict[str, int], limits: SystemLimits) -> None:
    """Raises BadRequest for the first member of `given` that lies outside the namespace's `limits`."""
    for member, what in _CHECKED:
        bounds: Bounds = getattr(limits, member)
        value = given.get(member)
        if value is not None and value > bounds.max:
            raise BadRequest(texts.limit_exceeded(what, value, bounds.max))
        if value is not None and value < bounds.min:
            raise BadRequest(texts.limit_undercut(what, value, bounds.min))
    instances = given.get("instances", 0)
    if instances > limits.concurrent_invocations:
        raise BadRequest(texts.instances_exceeded(limits.concurrent_invocations))
    if instances < 0:
        raise BadRequest(texts.limit_undercut("concurrency", instances, 0))


def standard_limits(system: SystemLimits) -> ActionLimits:
    """An action's limits where the request names none."""
    return ActionLimits(system.timeout.std, system.memory.std, system.logs.std, system.concurrency.std)


def limits_view(system: SystemLimits, user: UserLimits) -> UserLimits:
    """The document that `GET /namespaces/_/limits` shows: exactly the members that clients know."""
    holds = effective(system, user)
    return UserLimits(
        invocations_per_minute=holds.invocations_per_minute,
        concurrent_invocations=holds.concurrent_invocations,
        fires_per_minute=holds.fires_per_minute,
        allowed_kinds=user.allowed_kinds or UNSET,
        store_activations=user.store_activations if isinstance(user.store_activations, bool) else UNSET,
        min_action_memory=holds.memory.min,
        max_action_memory=holds.memory.max,
        min_action_logs=holds.logs.min,
        max_action_logs=holds.logs.max,
        min_action_timeout=holds.timeout.min,
        max_action_timeout=holds.timeout.max,
        min_action_concurrency=holds.concurrency.min,
        max_action_concurrency=holds.concurrency.max,
        max_action_instances=min(
            holds.concurrent_invocations, _number(user.max_action_instances, holds.concurrent_invocations)
        ),
        max_parameter_size=bytes_text(holds.parameters),
    )


def _clamp(system: Bounds, default: Range, least: _Number, greatest: _Number) -> Bounds:
    low = max(system.min, _number(least, _number(default.min, system.min)))
    high = min(system.max, _number(greatest, _number(default.max, system.max)))
    return Bounds(low, high, system.std)


def _least(system: int, default: int | None, own: str | UnsetType | None) -> int:
    return min(system, parse_size(own) if isinstance(own, str) else _number(default, system))


def _number(own: _Number, otherwise: int) -> int:
    return own if isinstance(own, int) else otherwise
