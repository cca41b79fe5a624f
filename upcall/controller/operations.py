"""How the API's description says what an operation takes and gives: the pieces that all its paths are made of."""

from collections.abc import Sequence

from upcall.controller.schemas import INTEGER, NAME, Schema, ref

TEXTS = {
    200: "OK",
    202: "Accepted: the activation has this id.",
    204: "None of its rules is active.",
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
SPACE = "/api/v1/namespaces/{namespace}"

_PATH: dict[str, Schema] = {
    "namespace": {"type": "string", "pattern": NAME, "description": "`_` is the caller's own."},
    "actionName": {"type": "string", "pattern": NAME},
    "packageName": {"type": "string", "pattern": NAME},
    "triggerName": {"type": "string", "pattern": NAME},
    "ruleName": {"type": "string", "pattern": NAME},
    "activationId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}


def query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": description, **schema}


def flag(name: str, description: str, default: bool = False) -> Schema:
    return query(name, {"type": "boolean", "default": default}, description)


LIST = (
    query("limit", {"type": "integer", "minimum": 0, "maximum": 200}, "Entries at most; 0 is the most there may be."),
    query("skip", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "Entries to leave out."),
    flag("count", "The number of entries instead of them."),
)


def operation(
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


def at(path: str, **operations: Schema) -> tuple[str, Schema]:
    names = [name for name in _PATH if f"{{{name}}}" in path]
    parameters = [{"name": name, "in": "path", "required": True, **_PATH[name]} for name in names]
    return path, ({"parameters": parameters} if parameters else {}) | operations


def links(parameters: dict[str, str], *operations: str) -> Schema:
    given = {"namespace": "$request.path.namespace", **parameters}
    return {operation: {"operationId": operation, "parameters": given} for operation in operations}


def list_(collection: str, item: Schema) -> Schema:
    """A list, or with `count` its length: no `type` says which, and each member binds one of the two."""
    number = {"properties": {collection: INTEGER}, "required": [collection], "additionalProperties": False}
    return {"items": item, **number}
