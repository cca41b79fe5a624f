"""Who and what this deployment is: info, health, namespaces and limits (spec: rest-api.md §12, §14).

The info document's members are compared by clients as they are: sizes in bytes, times in ms. It has limits twice, those
of the system and those of namespaces that have none of their own.
"""

import msgspec

from upcall.controller.call import Call, Parts, ok
from upcall.core.limits import effective, limits_view
from upcall.core.rights import check_right
from upcall.errors import BadRequest
from upcall.http.envelope import COMPLETED, CORS_ROOT, JSON, TEXT, Answer
from upcall.model import texts
from upcall.model.entities import UserLimits
from upcall.model.names import Json
from upcall.model.runtimes import Runtime
from upcall.model.sizes import MB, SystemLimits

UP = "up"
API_PATH = "/api/v1"


async def info(parts: Parts) -> Answer:
    """`GET /`."""
    document = {
        "description": "OpenWhisk",
        "support": {
            "github": "https://github.com/apache/openwhisk/issues",
            "slack": "http://slack.openwhisk.org",
        },
        "api_paths": [API_PATH],
        "limits": _info_limits(parts.limits),
        "runtimes": {family: list(map(_info_runtime, kinds)) for family, kinds in parts.manifest.runtimes.items()},
    }
    return 200, JSON + CORS_ROOT, msgspec.json.encode(document)


async def api_info(parts: Parts) -> Answer:
    """`GET /api/v1`; `wsk property get` reads the build."""
    document = {
        "description": "OpenWhisk API",
        "api_version": "1.0.0",
        "api_version_path": "v1",
        "build": parts.build,
        "buildno": parts.build_number,
        "swagger_paths": {"ui": "/docs", "api-docs": "/api-docs"},
    }
    return 200, COMPLETED, msgspec.json.encode(document)


async def ping(parts: Parts) -> Answer:
    return 200, TEXT, b"pong"


async def invokers(parts: Parts) -> Answer:
    return _admin(parts.invokers())


async def healthy_count(parts: Parts) -> Answer:
    return _admin(_healthy(parts))


async def ready(parts: Parts) -> Answer:
    """Ready means that there are Invokers, and enough of them are up. Upstream divides whole numbers, so that any share
    means all of them there."""
    healthy, all_ = _healthy(parts), len(parts.invokers())
    if all_ and healthy >= all_ * parts.readiness - 1e-9:
        return _admin({"healthy": f"{healthy}/{all_}"})
    return _admin({"unhealthy": f"{healthy}/{all_}"}, 500)


async def in_flight(parts: Parts) -> Answer:
    return _admin(parts.in_flight())


async def in_flight_count(parts: Parts) -> Answer:
    return _admin(len(parts.in_flight()))


async def list_namespaces(call: Call) -> Answer:
    """One: the credentials choose it."""
    return ok([call.identity.namespace.name])


async def get_limits(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace)
    return ok(limits_view(call.parts.limits, call.identity.limits))


async def get_inner_limits(call: Call) -> Answer:
    check_right(call.identity, "READ", call.namespace, call.path["name"])
    raise BadRequest(texts.INNER_LIMITS)


def _admin(value: Json, status: int = 200) -> Answer:
    return status, JSON + CORS_ROOT, msgspec.json.encode(value)


def _healthy(parts: Parts) -> int:
    return sum(state == UP for state in parts.invokers().values())


def _info_limits(limits: SystemLimits) -> dict[str, int]:
    defaults = _info_bounds(effective(limits, UserLimits()))
    return {
        "actions_per_minute": limits.invocations_per_minute,
        "triggers_per_minute": limits.fires_per_minute,
        "concurrent_actions": limits.concurrent_invocations,
        "sequence_length": limits.sequence_length,
        **{f"default_{name}": value for name, value in defaults.items()},
        **_info_bounds(limits),
    }


def _info_bounds(limits: SystemLimits) -> dict[str, int]:
    return {
        "min_action_duration": limits.timeout.min,
        "max_action_duration": limits.timeout.max,
        "min_action_memory": limits.memory.min * MB,
        "max_action_memory": limits.memory.max * MB,
        "min_action_logs": limits.logs.min * MB,
        "max_action_logs": limits.logs.max * MB,
    }


def _info_runtime(runtime: Runtime) -> dict[str, Json]:
    return {
        "kind": runtime.kind,
        "image": str(runtime.image),
        "deprecated": runtime.deprecated,
        "default": runtime.default,
        "attached": bool(runtime.attached),
        "requireMain": runtime.require_main,
    }
