"""The API described in its own words: a Swagger 2.0 document (OpenAPI 2.0), because OpenWhisk's clients look for the
`definitions` of that version (spec: rest-api.md §3, §16; system-tests.md §5).

It describes every route of this version. `x-links` say how one answer leads to the next request; the tests follow them.
"""

from collections.abc import Sequence
from typing import Literal

from upcall import __version__
from upcall.controller.schemas import (
    ANYTHING,
    DEFINITIONS,
    INTEGER,
    LISTED_ACTIVATION,
    NAME,
    STRING,
    Schema,
    action_put,
    closed,
    list_of,
    ref,
)
from upcall.model.sizes import SystemLimits

Method = Literal["get", "put", "post", "delete"]

_SPACE = "/api/v1/namespaces/{namespace}"
_ACTION = f"{_SPACE}/actions/{{actionName}}"
_PACKAGED = f"{_SPACE}/actions/{{packageName}}/{{actionName}}"
_PACKAGE = f"{_SPACE}/packages/{{packageName}}"
_RECORD = f"{_SPACE}/activations/{{activationId}}"

TEXTS = {
    200: "OK",
    202: "Accepted: the activation has this id.",
    308: "The page lies elsewhere.",
    400: "A name, the query, the body or a limit is wrong.",
    401: "No credentials, or none that are known.",
    403: "The credentials do not allow it.",
    404: "It does not exist.",
    409: "It exists, is of another kind, or was changed meanwhile.",
    413: "Larger than allowed.",
    415: "The body is not application/json.",
    422: "The binding leads back to itself.",
    429: "Too many requests in the last minute, or at a time.",
    500: "The platform failed.",
    502: "The action failed.",
    503: "No Invoker is up.",
}
_PATH: dict[str, Schema] = {
    "namespace": {"type": "string", "pattern": NAME, "description": "`_` is the caller's own."},
    "actionName": {"type": "string", "pattern": NAME},
    "packageName": {"type": "string", "pattern": NAME},
    "activationId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": description, **schema}


def _flag(name: str, description: str, default: bool = False) -> Schema:
    return _query(name, {"type": "boolean", "default": default}, description)


LIST = (
    _query("limit", {"type": "integer", "minimum": 0, "maximum": 200}, "Entries at most; 0 is the most there may be."),
    _query("skip", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "Entries to leave out."),
    _flag("count", "The number of entries instead of them."),
)
INVOKE = (
    _flag("blocking", "Wait for the result."),
    _flag("result", "With blocking: the result alone."),
    _query("timeout", {"type": "integer", "minimum": 1, "maximum": 60_000}, "With blocking: ms to wait."),
    {"name": "payload", "in": "body", "required": False, "schema": {"type": "object"}, "description": "Arguments."},
)
PUT = (
    _flag("overwrite", "Update what exists."),
    {"name": "action", "in": "body", "required": True, "schema": ref("ActionPut")},
)
PACKAGE_PUT = (
    _flag("overwrite", "Update what exists."),
    {"name": "package", "in": "body", "required": True, "schema": ref("PackagePut")},
)
SINCE = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1}
RECORDS = (
    *LIST,
    _flag("docs", "Whole records; not with count."),
    _query("name", {"type": "string", "pattern": r"^\w+(/\w+)?$"}, "Of this action: `name` or `package/name`."),
    _query("since", SINCE, "Started at this epoch ms or later."),
    _query("upto", SINCE, "Started at this epoch ms or earlier."),
)


def _operation(
    id: str,
    summary: str,
    answer: Schema,
    refusals: Sequence[int],
    parameters: Sequence[Schema] = (),
    *,
    open_: bool = False,
    media: str = "application/json",
) -> Schema:
    """`answer` is the body of 200; `refusals` are the other statuses, whose body is the error message."""
    responses: dict[str, Schema] = {"200": {"description": TEXTS[200], "schema": answer}}
    for status in refusals:
        responses[str(status)] = {"description": TEXTS[status], "schema": ref("ErrorMessage")}
    operation: Schema = {"operationId": id, "summary": summary, "produces": [media], "responses": responses}
    if parameters:
        operation["parameters"] = list(parameters)
    if any(parameter["in"] == "body" for parameter in parameters):
        operation["consumes"] = ["application/json"]
    if open_:
        operation["security"] = []
    return operation


def _at(path: str, **operations: Schema) -> tuple[str, Schema]:
    names = [name for name in _PATH if f"{{{name}}}" in path]
    parameters = [{"name": name, "in": "path", "required": True, **_PATH[name]} for name in names]
    return path, ({"parameters": parameters} if parameters else {}) | operations


def _action(suffix: str) -> dict[str, Schema]:
    """The operations of one action."""
    missing = [400, 401, 403, 404, 409, 422, 500, 503]
    invoke = _operation(
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
        response["x-links"] = _links({"activationId": "$response.header.x-openwhisk-activation-id"}, "getActivation")
    put = _operation(
        f"putAction{suffix}",
        "Create or update an action",
        ref("Action"),
        [400, 401, 403, 404, 409, 413, 415, 500, 503],
        PUT,
    )
    if not suffix:
        name = {"actionName": "$request.path.actionName"}
        put["responses"]["200"]["x-links"] = _links(name, "getAction", "invokeAction", "deleteAction")
    code = _flag("code", "With the code.", default=True)
    return {
        "get": _operation(f"getAction{suffix}", "Read an action", ref("Action"), missing, [code]),
        "put": put,
        "delete": _operation(f"deleteAction{suffix}", "Delete an action", ref("Action"), missing),
        "post": invoke,
    }


def _links(parameters: dict[str, str], *operations: str) -> Schema:
    given = {"namespace": "$request.path.namespace", **parameters}
    return {operation: {"operationId": operation, "parameters": given} for operation in operations}


def _list(collection: str, item: Schema) -> Schema:
    """A list, or with `count` its length: no `type` says which, and each member binds one of the two."""
    number = {"properties": {collection: INTEGER}, "required": [collection], "additionalProperties": False}
    return {"items": item, **number}


def _open(
    id: str, summary: str, answer: Schema, media: str = "application/json", refusals: Sequence[int] = (500,)
) -> Schema:
    return {"get": _operation(id, summary, answer, refusals, open_=True, media=media)}


def _paths() -> dict[str, Schema]:
    read, found = [400, 401, 403, 500, 503], [400, 401, 403, 404, 500, 503]
    record = _operation("getActivation", "Read an activation", ref("Activation"), found)
    same = {"activationId": "$request.path.activationId"}
    record["responses"]["200"]["x-links"] = _links(same, "getActivationResult", "getActivationLogs")
    result = _operation("getActivationResult", "Read an activation's result", ref("ActivationResult"), found)
    logs = _operation("getActivationLogs", "Read an activation's logs", ref("ActivationLogs"), found)
    limits = _operation("getLimits", "Limits of a namespace", ref("UserLimits"), read)
    spaces = _operation("listNamespaces", "The caller's namespace", list_of(STRING), [401, 500, 503])
    return dict(
        [
            *_open_paths(),
            _at("/api/v1/namespaces", get=spaces),
            _at(f"{_SPACE}/limits", get=limits),
            _at(
                f"{_SPACE}/actions",
                get=_operation("listActions", "List actions", _list("actions", ref("ActionMeta")), read, LIST),
            ),
            _at(_ACTION, **_action("")),
            _at(_PACKAGED, **_action("InPackage")),
            *_packages(),
            _at(
                f"{_SPACE}/activations",
                get=_operation(
                    "listActivations", "List activations", _list("activations", LISTED_ACTIVATION), read, RECORDS
                ),
            ),
            _at(_RECORD, get=record),
            _at(f"{_RECORD}/result", get=result),
            _at(f"{_RECORD}/logs", get=logs),
        ]
    )


def _packages() -> list[tuple[str, Schema]]:
    read = [400, 401, 403, 500, 503]
    found = [400, 401, 403, 404, 409, 422, 500, 503]
    put = _operation(
        "putPackage",
        "Create or update a package or a binding",
        ref("Package"),
        [400, 401, 403, 409, 413, 415, 422, 500, 503],
        PACKAGE_PUT,
    )
    put["responses"]["200"]["x-links"] = _links({"packageName": "$request.path.packageName"}, "getPackage")
    force = _flag("force", "With the actions in it.")
    inside = _operation("listPackage", "List a package's actions", _list("actions", ref("ActionMeta")), found, LIST)
    return [
        _at(f"{_SPACE}/actions/{{packageName}}/", get=inside),
        _at(
            f"{_SPACE}/packages",
            get=_operation("listPackages", "List packages", _list("packages", ref("PackageMeta")), read, LIST),
        ),
        _at(
            _PACKAGE,
            get=_operation("getPackage", "Read a package", ref("Package"), found),
            put=put,
            delete=_operation(
                "deletePackage", "Delete a package", ref("Package"), [400, 401, 403, 404, 409, 500, 503], [force]
            ),
        ),
    ]


def _open_paths() -> list[tuple[str, Schema]]:
    ready = _open("isReady", "Whether all Invokers are up", closed({"healthy": STRING}, "healthy"))
    ready["get"]["responses"]["500"] = {
        "description": "Not all Invokers are up.",
        "schema": closed(dict.fromkeys(("unhealthy", "error", "code"), STRING)),
    }
    states = {"type": "object", "additionalProperties": {"enum": ["up", "unhealthy", "unresponsive", "down"]}}
    return [
        _at("/", **_open("getInfo", "About this deployment", {"type": "object"})),
        _at("/ping", **_open("ping", "Whether it answers", STRING, "text/plain")),
        _at("/metrics", **_open("getMetrics", "Figures for Prometheus", STRING, "text/plain", (404, 500))),
        _at("/invokers", **_open("listInvokers", "Invokers and their states", states)),
        _at("/invokers/healthy/count", **_open("countHealthyInvokers", "Invokers that are up", INTEGER)),
        _at("/invokers/ready", **ready),
        _at(
            "/activation",
            **_open("listInFlight", "Id and action of each activation in flight", list_of(list_of(STRING))),
        ),
        _at("/activation/count", **_open("countInFlight", "Activations in flight", INTEGER)),
        _at("/api/v1", **_open("getApiInfo", "About this API", {"type": "object"})),
        _at("/api/v1/api-docs", **_open("getApiDocs", "This document", {"type": "object"})),
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
