"""Design documents: the views of CouchDB that lists, counts and logins go by (spec: entities.md §8, store.md §7).

Names, keys and values are upstream's, so that upstream's controllers and ours can share databases; the functions are
ours. One that is there is used as it is, whoever made it. Each variable is declared: servers that run functions in
strict mode swallow the error and show an empty view.
"""

from collections.abc import Mapping

from upcall.model.store_url import CouchUrl, Designs

IDENTITIES, BLOCKED = "identities", "blockedNamespaces"
THROTTLINGS = "namespaceThrottlings"
ACTIVATIONS = "activations"
BY_DATE = "byDate"
VIEWS = {"action": "actions", "package": "packages", "trigger": "triggers", "rule": "rules"}
"""Of entities, by their type."""

_Views = Mapping[str, Mapping[str, str]]

_COMMON = "namespace: doc.namespace, name: doc.name, version: doc.version, publish: doc.publish, annotations: "


def _entities(test: str, members: str, before: str = "") -> str:
    """Packaged entities are in the list of their package and in that of their namespace."""
    return (
        "function (doc) { "
        f"if (!({test})) return; {before}"
        f"var value = {{{_COMMON}doc.annotations, {members}updated: doc.updated}}; "
        "emit([doc.namespace, doc.updated], value); "
        "var root = String(doc.namespace).split('/')[0]; "
        "if (root !== doc.namespace) emit([root, doc.updated], value); }"
    )


_ACTION = "doc.exec !== undefined"
_PACKAGE = "doc.binding !== undefined"
_PUBLIC = f"{_PACKAGE} && doc.publish && Object.keys(doc.binding || {{}}).length === 0"
_RULE = "doc.trigger !== undefined"
_TRIGGER = "doc.exec === undefined && doc.binding === undefined && doc.parameters !== undefined && !doc.activationId"
_BINDING = "var binding = Object.keys(doc.binding || {}).length > 0 ? doc.binding : false; "

_SUMMARY = (
    "var summary = function (doc) { "
    f"var value = {{{_COMMON}doc.annotations, activationId: doc.activationId, start: doc.start, cause: doc.cause}}; "
    "if (doc.end) { value.end = doc.end; value.duration = doc.end - doc.start; "
    "if (doc.response) value.statusCode = doc.response.statusCode; } "
    "return value; }; "
)
_BY_NAMESPACE = (
    f"function (doc) {{ {_SUMMARY}"
    "if (doc.activationId !== undefined) emit([doc.namespace, doc.start], summary(doc)); }"
)
_BY_ACTION = (
    f"function (doc) {{ {_SUMMARY}if (doc.activationId === undefined) return; "
    "var find = function (key) { "
    "var found = (doc.annotations || []).filter(function (each) { return each.key === key; }); "
    "return found.length > 0 ? String(found[found.length - 1].value) : ''; }; "
    "var binding = find('binding').split('/'), path = find('path').split('/'), name = doc.name; "
    "if (binding.length === 2) name = binding[1] + '/' + doc.name; "
    "else if (path.length === 3) name = path[1] + '/' + doc.name; "
    "emit([doc.namespace + '/' + name, doc.start], summary(doc)); }"
)
_IDENTITIES = (
    "function (doc) { "
    "if (doc.blocked) return; "
    "var own = doc.uuid && doc.key ? [{name: doc.subject, uuid: doc.uuid, key: doc.key}] : []; "
    "own.concat(doc.namespaces || []).forEach(function (each) { "
    "var value = {_id: each.name + '/limits', namespace: each.name, uuid: each.uuid, key: each.key}; "
    "emit([each.name], value); emit([each.uuid, each.key], value); }); }"
)
_BLOCKED = (
    "function (doc) { "
    "if (/\\/limits$/.test(doc._id) && (doc.concurrentInvocations === 0 || doc.invocationsPerMinute === 0)) "
    "emit(doc._id.slice(0, -'/limits'.length), 1); "
    "if (doc.blocked) (doc.namespaces || []).forEach(function (each) { emit(each.name, 1); }); }"
)


def designs(url: CouchUrl) -> dict[str, dict[str, _Views]]:
    """By database and name of the design document, its views."""
    names: Designs = url.designs
    whole: dict[str, dict[str, _Views]] = {url.subjects: {}, url.entities: {}, url.activations: {}}
    whole[url.subjects][names.subjects] = {IDENTITIES: {"map": _IDENTITIES}}
    whole[url.subjects][THROTTLINGS] = {BLOCKED: {"map": _BLOCKED, "reduce": "_sum"}}
    whole[url.entities][names.entities] = {
        "actions": _counted(_entities(_ACTION, "limits: doc.limits, exec: {binary: doc.exec.binary || false}, ")),
        "packages": _counted(_entities(_PACKAGE, "binding: binding, ", _BINDING)),
        "packages-public": _counted(_entities(_PUBLIC, "binding: false, ")),
        "triggers": _counted(_entities(_TRIGGER, "")),
        "rules": _counted(_entities(_RULE, "trigger: doc.trigger, action: doc.action, ")),
    }
    records = whole[url.activations]
    records[names.activations] = {ACTIVATIONS: _counted(_BY_NAMESPACE)}
    records[names.filters] = {ACTIVATIONS: _counted(_BY_ACTION)}
    records["activations"] = {
        BY_DATE: {"map": "function (doc) { if (doc.activationId !== undefined) emit(doc.start, 1); }"}
    }
    records["logCleanup"] = {
        "byDateWithLogs": {
            "map": "function (doc) { "
            "if (doc.activationId !== undefined && doc.logs && doc.logs.length > 0) emit(doc.start, 1); }"
        }
    }
    return whole


def _counted(function: str) -> Mapping[str, str]:
    return {"map": function, "reduce": "_count"}
