"""What the API's documents look like to clients, as definitions of Swagger 2.0 (spec: entities.md §11).

Clients validate against definitions of these names, so a document has these members and no others.
"""

from collections.abc import Sequence

from upcall.model.entities import BLACKBOX, SEQUENCE
from upcall.model.names import Json
from upcall.model.sizes import SystemLimits

Schema = dict[str, Json]

NAME = r"^([A-Za-z0-9_]|[A-Za-z0-9_][A-Za-z0-9_@ .&-]{0,254}[A-Za-z0-9_@.&-])$"
ANYTHING: Schema = {}
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def closed(properties: dict[str, Schema], required: str = "", description: str = "") -> Schema:
    """An object with these members and no others; `required` are names with blanks between."""
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = required.split()
    if description:
        schema["description"] = description
    return schema


def _integer(description: str, **bounds: int) -> Schema:
    return {"type": "integer", "description": description, **bounds}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


NAMED = {
    "namespace": _text("The namespace, and the package of what lies in one."),
    "name": _text("Unique among all entities of the namespace or package."),
    "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$", "description": "Grows with each update."},
    "publish": {"type": "boolean", "description": "Kept, and without effect on actions."},
    "annotations": list_of(ref("KeyValue")),
    "updated": _integer("Epoch ms of the last write."),
}
_PACKAGE = {
    **NAMED,
    "namespace": _text("The namespace."),
    "publish": {"type": "boolean", "description": "Whether all may use it."},
}
_RULE = {**NAMED, "trigger": ref("PathName"), "action": ref("PathName")}
_REQUIRED = "namespace name version publish"
_LIMITS = {
    "timeout": _integer("ms", minimum=0),
    "memory": _integer("MB", minimum=0),
    "logs": _integer("MB", minimum=0),
    "concurrency": _integer("Activations in one container at a time.", minimum=0),
    "instances": _integer("Containers at a time.", minimum=0),
}
_EXEC = {
    "kind": _text("The runtime, as in `python:3`; of the family's default, `python:default`."),
    "code": _text("Source text, or base64 of an archive or executable."),
    "image": _text("Of a blackbox."),
    "main": _text("The entry point."),
    "binary": {"type": "boolean", "description": "Whether the code is base64."},
    "components": {**list_of(STRING), "description": "Of a sequence: `/namespace/[package/]name`."},
}
_PARAMETER = {
    "key": STRING,
    "value": ANYTHING,
    "init": {"type": "boolean", "description": "Given to the container at its start, as environment."},
    "encryption": STRING,
}
_TIMES = {
    "start": _integer("Epoch ms."),
    "end": _integer("Epoch ms."),
    "duration": _integer("ms"),
    "cause": _text("The activation that caused this one."),
    "statusCode": {"type": "integer", "enum": [0, 1, 2, 3]},
}
_ACTIVATION = {
    **{key: schema for key, schema in NAMED.items() if key != "updated"},
    "activationId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    **_TIMES,
}
_NUMBERS = (
    "invocationsPerMinute concurrentInvocations firesPerMinute minActionMemory maxActionMemory minActionLogs"
    " maxActionLogs minActionTimeout maxActionTimeout minActionConcurrency maxActionConcurrency maxActionInstances"
)

_WHOLE = {**_ACTIVATION, "subject": STRING, "response": ref("ActivationResult"), "logs": list_of(STRING)}
_BRIEF = f"{_REQUIRED} activationId start annotations"
LISTED_ACTIVATION = closed(_WHOLE, _BRIEF)
"""What lists have: the brief form, or with `docs` the whole."""

DEFINITIONS: dict[str, Schema] = {
    "ErrorMessage": closed(
        {"error": STRING, "code": _text("The transaction's id, as in the X-Request-ID header.")}, "error code"
    ),
    "KeyValue": closed({"key": STRING, "value": ANYTHING}, "key value"),
    "Parameter": closed(_PARAMETER, "key value"),
    "ActionLimits": closed(_LIMITS),
    "ActionExec": closed(_EXEC, "kind"),
    "ActionExecMeta": closed({"binary": BOOLEAN}, "binary"),
    "Action": closed(
        {**NAMED, "exec": ref("ActionExec"), "limits": ref("ActionLimits"), "parameters": list_of(ref("Parameter"))},
        f"{_REQUIRED} exec limits parameters annotations updated",
    ),
    "ActionMeta": closed(
        {**NAMED, "exec": ref("ActionExecMeta"), "limits": ref("ActionLimits")},
        f"{_REQUIRED} exec limits annotations updated",
        "An action in a list.",
    ),
    "PackageBinding": closed({"namespace": STRING, "name": STRING}),
    "PackageAction": closed(
        {"name": STRING, "version": NAMED["version"], "annotations": NAMED["annotations"]}, "name version"
    ),
    "Package": closed(
        {
            **_PACKAGE,
            "parameters": list_of(ref("Parameter")),
            "binding": ref("PackageBinding"),
            "actions": list_of(ref("PackageAction")),
            "feeds": list_of(ref("PackageAction")),
        },
        f"{_REQUIRED} annotations parameters binding updated",
    ),
    "PackageMeta": closed(
        {**_PACKAGE, "binding": {"description": "What a binding stands for; else false."}},
        f"{_REQUIRED} annotations updated binding",
        "A package in a list.",
    ),
    "PackagePut": {
        "type": "object",
        "description": "What a package shall be; all of it may be left out. Other members are passed over.",
        "properties": {
            "binding": {
                "type": "object",
                "description": "The package that this one stands for; empty for one with actions of its own.",
                "properties": {name: {"type": "string", "pattern": NAME} for name in ("namespace", "name")},
            },
            "parameters": list_of(ref("Parameter")),
            "version": NAMED["version"],
            "publish": BOOLEAN,
            "annotations": list_of(ref("KeyValue")),
        },
    },
    "ActivationId": closed({"activationId": _ACTIVATION["activationId"]}, "activationId"),
    "ActivationBrief": closed(_ACTIVATION, _BRIEF, "An activation in a list."),
    "ActivationResult": closed(
        {
            "status": {
                "type": "string",
                "enum": ["success", "application error", "action developer error", "whisk internal error"],
            },
            "success": BOOLEAN,
            "result": ANYTHING,
            "size": _integer("Length of the result's text."),
        },
        "status success",
    ),
    "ActivationLogs": closed({"logs": list_of(STRING)}, "logs"),
    "Activation": closed(_WHOLE, f"{_BRIEF} subject response logs"),
    "UserLimits": closed(
        {
            **dict.fromkeys(_NUMBERS.split(), INTEGER),
            "maxParameterSize": STRING,
            "allowedKinds": list_of(STRING),
            "storeActivations": BOOLEAN,
        },
        f"{_NUMBERS} maxParameterSize",
    ),
    "PathName": closed({"path": STRING, "name": STRING}),
    "Rule": closed({**_RULE, "status": {"enum": ["active", "inactive"]}}, f"{_REQUIRED} trigger action status"),
    "RuleMeta": closed(_RULE, f"{_REQUIRED} trigger action", "A rule in a list."),
    "RulePut": {
        "type": "object",
        "description": "What a rule shall be; a new one takes trigger and action.",
        "properties": {
            **{key: {"description": "`/namespace/[package/]name`, or path and name."} for key in ("trigger", "action")},
            "version": NAMED["version"],
            "publish": BOOLEAN,
            "annotations": list_of(ref("KeyValue")),
        },
    },
    "RuleStatusPut": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"enum": ["active", "inactive"]}},
    },
    "Trigger": closed(
        {
            **NAMED,
            "parameters": list_of(ref("Parameter")),
            "limits": {"type": "object", "description": "Empty."},
            "rules": {"type": "object", "description": "Action and status of each rule, by `namespace/name`."},
        },
        f"{_REQUIRED} annotations parameters limits updated",
    ),
    "TriggerMeta": closed(NAMED, f"{_REQUIRED} annotations updated", "A trigger in a list."),
    "TriggerPut": {
        "type": "object",
        "description": "What a trigger shall be; all of it may be left out. Other members are passed over.",
        "properties": {
            "parameters": list_of(ref("Parameter")),
            "version": NAMED["version"],
            "publish": BOOLEAN,
            "annotations": list_of(ref("KeyValue")),
        },
    },
}


def action_put(kinds: Sequence[str], limits: SystemLimits) -> Schema:
    """The body of a PUT where these kinds and limits hold."""
    families = dict.fromkeys(f"{kind.partition(':')[0]}:default" for kind in kinds)
    bounds = {
        name: {**_LIMITS[name], "minimum": bound.min, "maximum": bound.max}
        for name, bound in (
            ("timeout", limits.timeout),
            ("memory", limits.memory),
            ("logs", limits.logs),
            ("concurrency", limits.concurrency),
        )
    }
    properties: dict[str, Schema] = {
        "exec": {
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {**_EXEC["kind"], "enum": [*kinds, *families, SEQUENCE, BLACKBOX]},
                **{name: _EXEC[name] for name in ("code", "main", "image", "components")},
            },
        },
        "parameters": list_of(ref("Parameter")),
        "limits": {"type": "object", "properties": bounds},
        "version": NAMED["version"],
        "publish": BOOLEAN,
        "annotations": list_of(ref("KeyValue")),
        "delAnnotations": list_of(STRING),
    }
    description = "What an action shall be; an update may leave out all of it. Other members are passed over."
    return {"type": "object", "description": description, "properties": properties}
