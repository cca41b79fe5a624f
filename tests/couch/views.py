"""Upstream's views in Python, over the documents of the tests' CouchDB (spec: entities.md §8, §9; store.md §6.4, §7).

The design documents that a client writes have to be there; their functions are not run: rows are what the spec says.
"""

from collections.abc import Callable, Iterator
from typing import Any

Doc = dict[str, Any]
Emit = Iterator[tuple[Any, Any]]

_COMMON = ("namespace", "name", "version", "publish", "annotations", "updated")


def _entity(kind: str, value: Callable[[Doc], Doc]) -> Callable[[Doc], Emit]:
    def rows(doc: Doc) -> Emit:
        if doc.get("entityType") != kind:
            return
        summary = {member: doc[member] for member in _COMMON if member in doc} | value(doc)
        namespace = doc["namespace"]
        yield [namespace, doc["updated"]], summary
        if "/" in namespace:
            yield [namespace.partition("/")[0], doc["updated"]], summary

    return rows


def _action(doc: Doc) -> Doc:
    return {"limits": doc["limits"], "exec": {"binary": doc["exec"].get("binary", False)}}


def _rule(doc: Doc) -> Doc:
    return {"trigger": doc.get("trigger"), "action": doc.get("action")}


def _package(doc: Doc) -> Doc:
    return {"binding": doc.get("binding") or False}


def _summary(doc: Doc) -> Doc:
    members = ("namespace", "name", "version", "publish", "annotations", "activationId", "start", "end", "cause")
    value = {member: doc[member] for member in members if member in doc}
    if doc.get("end"):
        value["duration"] = doc["end"] - doc["start"]
        value["statusCode"] = doc["response"]["statusCode"]
    return value


def _activations(doc: Doc) -> Emit:
    if doc.get("entityType") == "activation":
        yield [doc["namespace"], doc["start"]], _summary(doc)


def _filtered(doc: Doc) -> Emit:
    if doc.get("entityType") != "activation":
        return
    said = {each["key"]: each["value"] for each in doc["annotations"]}
    name, parts = doc["name"], said.get("path", "").split("/")
    if "binding" in said:
        name = f"{said['binding'].rpartition('/')[2]}/{name}"
    elif len(parts) == 3:
        name = f"{parts[1]}/{name}"
    yield [f"{doc['namespace']}/{name}", doc["start"]], _summary(doc)


def _by_date(doc: Doc) -> Emit:
    if doc.get("entityType") == "activation":
        yield doc["start"], None


def _with_logs(doc: Doc) -> Emit:
    if doc.get("entityType") == "activation" and doc.get("logs"):
        yield doc["start"], None


def _identities(doc: Doc) -> Emit:
    for each in [] if doc.get("blocked") else doc.get("namespaces", []):
        value = {"_id": f"{each['name']}/limits", "namespace": each["name"], "uuid": each["uuid"], "key": each["key"]}
        yield [each["name"]], value
        yield [each["uuid"], each["key"]], value


def _blocked(doc: Doc) -> Emit:
    if 0 in (doc.get("concurrentInvocations"), doc.get("invocationsPerMinute")):
        yield doc["_id"].removesuffix("/limits"), 1
    for each in doc.get("namespaces", []) if doc.get("blocked") else []:
        yield each["name"], 1


VIEWS: dict[tuple[str, str], Callable[[Doc], Emit]] = {
    ("whisks.v2.1.0", "actions"): _entity("action", _action),
    ("whisks.v2.1.0", "packages"): _entity("package", _package),
    ("whisks.v2.1.0", "triggers"): _entity("trigger", lambda doc: {}),
    ("whisks.v2.1.0", "rules"): _entity("rule", _rule),
    ("whisks.v2.1.0", "activations"): _activations,
    ("whisks-filters.v2.1.1", "activations"): _filtered,
    ("activations", "byDate"): _by_date,
    ("logCleanup", "byDateWithLogs"): _with_logs,
    ("subjects.v2.0.0", "identities"): _identities,
    ("namespaceThrottlings", "blockedNamespaces"): _blocked,
}


def order(value: Any) -> Any:
    """CouchDB's: null, false, true, numbers, strings, arrays, objects."""
    if value is None or isinstance(value, bool):
        return ({None: 0, False: 1, True: 2}[value],)
    if isinstance(value, int | float):
        return 3, value
    if isinstance(value, str):
        return 4, value
    if isinstance(value, list):
        return 5, [order(each) for each in value]
    return 6, [(key, order(each)) for key, each in value.items()]
