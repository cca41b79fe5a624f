"""The API described in its own words: a Swagger 2.0 document (OpenAPI 2.0), because OpenWhisk's clients look for the
`definitions` of that version (spec: rest-api.md §3, §16; system-tests.md §5).

It describes every route of this version but web actions, whose answers are their own; `openapi_entities` those of
packages, triggers and rules. `x-links` say how
one answer leads to the next request; the tests follow them.
"""

from collections.abc import Sequence
from typing import Literal

from upcall import __version__
from upcall.controller.openapi_entities import entity_paths
from upcall.controller.operations import LIST, SPACE, TEXTS, at, flag, links, list_, operation, query
from upcall.controller.schemas import (
    ANYTHING,
    DEFINITIONS,
    INTEGER,
    LISTED_ACTIVATION,
    STRING,
    Schema,
    action_put,
    closed,
    list_of,
    ref,
)
from upcall.model.sizes import SystemLimits

Method = Literal["get", "put", "post", "delete"]

_ACTION = f"{SPACE}/actions/{{actionName}}"
_PACKAGED = f"{SPACE}/actions/{{packageName}}/{{actionName}}"
_RECORD = f"{SPACE}/activations/{{activationId}}"

INVOKE = (
    flag("blocking", "Wait for the result."),
    flag("result", "With blocking: the result alone."),
    query("timeout", {"type": "integer", "minimum": 1, "maximum": 60_000}, "With blocking: ms to wait."),
    {"name": "payload", "in": "body", "required": False, "schema": {"type": "object"}, "description": "Arguments."},
)
PUT = (
    flag("overwrite", "Update what exists."),
    {"name": "action", "in": "body", "required": True, "schema": ref("ActionPut")},
)
SINCE = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1}
RECORDS = (
    *LIST,
    flag("docs", "Whole records; not with count."),
    query("name", {"type": "string", "pattern": r"^\w+(/\w+)?$"}, "Of this action: `name` or `package/name`."),
    query("since", SINCE, "Started at this epoch ms or later."),
    query("upto", SINCE, "Started at this epoch ms or earlier."),
)


def _action(suffix: str) -> dict[str, Schema]:
    """The operations of one action."""
    missing = [400, 401, 403, 404, 409, 422, 500, 503]
    invoke = operation(
        f"invokeAction{suffix}",
        "Invoke an action",
        ANYTHING,
        [400, 401, 403, 404, 409, 413, 415, 422, 429, 503],
        INVOKE,
    )
    for status in (202, 500, 502):
        schema = ref("ActivationId") if status == 202 else ANYTHING
        invoke["responses"][str(status)] = {"description": TEXTS[status], "schema": schema}
    for known in ("200", "202", "502"):
        response = invoke["responses"][known]
        response["headers"] = {"x-openwhisk-activation-id": {"type": "string"}}
        response["x-links"] = links({"activationId": "$response.header.x-openwhisk-activation-id"}, "getActivation")
    put = operation(
        f"putAction{suffix}",
        "Create or update an action",
        ref("Action"),
        [400, 401, 403, 404, 409, 413, 415, 500, 503],
        PUT,
    )
    if not suffix:
        name = {"actionName": "$request.path.actionName"}
        put["responses"]["200"]["x-links"] = links(name, "getAction", "invokeAction", "deleteAction")
    code = flag("code", "With the code.", default=True)
    return {
        "get": operation(f"getAction{suffix}", "Read an action", ref("Action"), missing, [code]),
        "put": put,
        "delete": operation(f"deleteAction{suffix}", "Delete an action", ref("Action"), missing),
        "post": invoke,
    }


def _open(
    id: str, summary: str, answer: Schema, media: str = "application/json", refusals: Sequence[int] = (500,)
) -> Schema:
    return {"get": operation(id, summary, answer, refusals, open_=True, media=media)}


def _paths() -> dict[str, Schema]:
    read, found = [400, 401, 403, 500, 503], [400, 401, 403, 404, 500, 503]
    record = operation("getActivation", "Read an activation", ref("Activation"), found)
    same = {"activationId": "$request.path.activationId"}
    record["responses"]["200"]["x-links"] = links(same, "getActivationResult", "getActivationLogs")
    result = operation("getActivationResult", "Read an activation's result", ref("ActivationResult"), found)
    logs = operation("getActivationLogs", "Read an activation's logs", ref("ActivationLogs"), found)
    limits = operation("getLimits", "Limits of a namespace", ref("UserLimits"), read)
    spaces = operation("listNamespaces", "The caller's namespace", list_of(STRING), [401, 500, 503])
    return dict(
        [
            *_open_paths(),
            at("/api/v1/namespaces", get=spaces),
            at(f"{SPACE}/limits", get=limits),
            at(
                f"{SPACE}/actions",
                get=operation("listActions", "List actions", list_("actions", ref("ActionMeta")), read, LIST),
            ),
            at(_ACTION, **_action("")),
            at(_PACKAGED, **_action("InPackage")),
            *entity_paths(),
            at(
                f"{SPACE}/activations",
                get=operation(
                    "listActivations", "List activations", list_("activations", LISTED_ACTIVATION), read, RECORDS
                ),
            ),
            at(_RECORD, get=record),
            at(f"{_RECORD}/result", get=result),
            at(f"{_RECORD}/logs", get=logs),
        ]
    )


def _open_paths() -> list[tuple[str, Schema]]:
    ready = _open("isReady", "Whether all Invokers are up", closed({"healthy": STRING}, "healthy"))
    ready["get"]["responses"]["500"] = {
        "description": "Not all Invokers are up.",
        "schema": closed(dict.fromkeys(("unhealthy", "error", "code"), STRING)),
    }
    states = {"type": "object", "additionalProperties": {"enum": ["up", "unhealthy", "unresponsive", "down"]}}
    return [
        at("/", **_open("getInfo", "About this deployment", {"type": "object"})),
        at("/ping", **_open("ping", "Whether it answers", STRING, "text/plain")),
        at("/metrics", **_open("getMetrics", "Figures for Prometheus", STRING, "text/plain", (404, 500))),
        at("/invokers", **_open("listInvokers", "Invokers and their states", states)),
        at("/invokers/healthy/count", **_open("countHealthyInvokers", "Invokers that are up", INTEGER)),
        at("/invokers/ready", **ready),
        at(
            "/activation",
            **_open("listInFlight", "Id and action of each activation in flight", list_of(list_of(STRING))),
        ),
        at("/activation/count", **_open("countInFlight", "Activations in flight", INTEGER)),
        at("/api/v1", **_open("getApiInfo", "About this API", {"type": "object"})),
        at("/api/v1/api-docs", **_open("getApiDocs", "This document", {"type": "object"})),
    ]


def make_document(kinds: Sequence[str], limits: SystemLimits) -> Schema:
    """The whole, for a deployment with these kinds and limits."""
    return {
        "swagger": "2.0",
        "info": {
            "title": "upcall",
            "version": __version__,
            "description": "Actions and activations by the REST API of Apache OpenWhisk.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "basePath": "/",
        "securityDefinitions": {"basic": {"type": "basic", "description": "The namespace's UUID and key."}},
        "security": [{"basic": []}],
        "paths": _paths(),
        "definitions": {**DEFINITIONS, "ActionPut": action_put(kinds, limits)},
    }
