"""The paths of packages, triggers and rules in the API's description."""

from upcall.controller.operations import LIST, SPACE, TEXTS, at, flag, links, list_, operation
from upcall.controller.schemas import ANYTHING, STRING, Schema, ref

READ = [400, 401, 403, 500, 503]
FOUND = [400, 401, 403, 404, 409, 500, 503]
WRITTEN = [400, 401, 403, 404, 409, 413, 415, 500, 503]
FOUND_PACKAGE = [400, 401, 403, 404, 409, 422, 500, 503]
WRITTEN_PACKAGE = [400, 401, 403, 409, 413, 415, 422, 500, 503]


def entity_paths() -> list[tuple[str, Schema]]:
    """Path and operations of each."""
    return [*_packages(), *_triggers(), *_rules()]


def _body(name: str) -> list[Schema]:
    return [
        flag("overwrite", "Update what exists."),
        {"name": name.lower(), "in": "body", "required": True, "schema": ref(f"{name}Put")},
    ]


def _collection(plural: str, item: str) -> tuple[str, Schema]:
    title = plural.capitalize()
    listed = operation(f"list{title}", f"List {plural}", list_(plural, ref(item)), READ, LIST)
    return at(f"{SPACE}/{plural}", get=listed)


def _put(name: str, refusals: list[int], also: str = "") -> Schema:
    put = operation(f"put{name}", f"Create or update a {name.lower()}{also}", ref(name), refusals, _body(name))
    key = f"{name.lower()}Name"
    put["responses"]["200"]["x-links"] = links({key: f"$request.path.{key}"}, f"get{name}")
    return put


def _packages() -> list[tuple[str, Schema]]:
    force = flag("force", "With the actions in it.")
    inside = operation(
        "listPackage", "List a package's actions", list_("actions", ref("ActionMeta")), FOUND_PACKAGE, LIST
    )
    return [
        at(f"{SPACE}/actions/{{packageName}}/", get=inside),
        _collection("packages", "PackageMeta"),
        at(
            f"{SPACE}/packages/{{packageName}}",
            get=operation("getPackage", "Read a package", ref("Package"), FOUND_PACKAGE),
            put=_put("Package", WRITTEN_PACKAGE, " or a binding"),
            delete=operation("deletePackage", "Delete a package", ref("Package"), FOUND, [force]),
        ),
    ]


def _triggers() -> list[tuple[str, Schema]]:
    payload: Schema = {
        "name": "payload",
        "in": "body",
        "required": False,
        "schema": {"type": "object"},
        "description": "Arguments for the actions of its rules.",
    }
    fire = operation(
        "fireTrigger", "Fire a trigger", ANYTHING, [400, 401, 403, 404, 409, 413, 415, 429, 500, 503], [payload]
    )
    del fire["responses"]["200"]
    fire["responses"]["202"] = {"description": TEXTS[202], "schema": ref("ActivationId")}
    fire["responses"]["204"] = {"description": TEXTS[204]}
    return [
        _collection("triggers", "TriggerMeta"),
        at(
            f"{SPACE}/triggers/{{triggerName}}",
            get=operation("getTrigger", "Read a trigger", ref("Trigger"), FOUND),
            put=_put("Trigger", WRITTEN),
            delete=operation("deleteTrigger", "Delete a trigger", ref("Trigger"), FOUND),
            post=fire,
        ),
    ]


def _rules() -> list[tuple[str, Schema]]:
    status: Schema = {"name": "status", "in": "body", "required": True, "schema": ref("RuleStatusPut")}
    set_ = operation("setRuleStatus", "Activate a rule, or not", STRING, WRITTEN, [status], media="text/plain")
    set_["produces"].append("application/json")  # of errors
    return [
        _collection("rules", "RuleMeta"),
        at(
            f"{SPACE}/rules/{{ruleName}}",
            get=operation("getRule", "Read a rule", ref("Rule"), FOUND),
            put=_put("Rule", WRITTEN),
            delete=operation("deleteRule", "Delete a rule", ref("Rule"), FOUND),
            post=set_,
        ),
    ]
