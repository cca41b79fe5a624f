"""The databases of an existing OpenWhisk, with documents as its releases have written them (spec: store.md,
entities.md, triggers-rules.md)."""

import base64
import json
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from tests.system.operating import Outcome, upcall
from upcall.model.store_url import CouchUrl

Json = dict[str, Any]

USER, PASSWORD = "admin", "sec ret"
"""Of the server's administrator."""


GUEST_UUID, GUEST_KEY = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502", "g" * 64
TEAM_KEY = "t" * 64
OLD_KEY = "o" * 64
PYTHON = "def main(args):\n    return {'greeting': 'Grüße, ' + args.get('name', 'nobody')}\n"
LARGE = "def main(args):\n    return {}\n" + "# long line of a comment\n" * 700_000
"""Source text of 17 MB."""
ZIP = bytes(range(256)) * 100
PARAMETERS = [{"key": "site", "value": "north"}, {"key": "TOKEN", "value": {"a": [1.5, None]}, "init": True}]


class Databases:
    """Written to over HTTP, by the administrator."""

    def __init__(self, url: CouchUrl) -> None:
        self.url = url
        pair = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {pair}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }

    def make(self) -> "Databases":
        for name in (self.url.subjects, self.url.entities, self.url.activations):
            self.call("PUT", name)
        return self

    def call(self, method: str, *segments: str, body: Any = None, query: str = "", type_: str = "") -> Any:
        path = "/".join(quote(segment, safe="") for segment in segments)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {**self._headers, **({"Content-Type": type_} if type_ else {})}
        request = urllib.request.Request(f"{self.url.url}/{path}{query}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return text if answer.headers.get_content_type() == "text/plain" else json.loads(text)

    def subject(self, doc: Json) -> None:
        self.call("PUT", self.url.subjects, doc["_id"], body=doc)

    def entity(self, doc: Json) -> str:
        """The revision."""
        return str(self.call("PUT", self.url.entities, doc["_id"], body=doc)["rev"])

    def attached(self, doc: Json, name: str, data: bytes, type_: str) -> None:
        """As upstream does it: the document, then its attachment."""
        rev = self.entity(doc)
        self.call("PUT", self.url.entities, doc["_id"], name, body=data, query=f"?rev={rev}", type_=type_)

    def bulk(self, database: str, docs: list[Json]) -> None:
        assert all("ok" in each for each in self.call("POST", database, "_bulk_docs", body={"docs": docs}))

    def read(self, database: str, id: str) -> Any:
        return self.call("GET", database, id)

    def ids(self, database: str) -> set[str]:
        rows = self.call("GET", database, "_all_docs")["rows"]
        return {row["id"] for row in rows if not row["id"].startswith("_design/")}


def entity(id: str, type_: str | None, **members: Any) -> Json:
    namespace, _, name = id.rpartition("/")
    doc = {"_id": id, "namespace": namespace, "name": name, "version": "0.0.3", "publish": False, "annotations": []}
    return {**doc, **({"entityType": type_} if type_ else {}), "updated": 1764000000000, **members}


def action(id: str, exec_: Json, type_: str | None = "action", **members: Any) -> Json:
    limits = {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1}
    given = {"parameters": PARAMETERS, "limits": limits, "exec": exec_, **members}
    return entity(id, type_, **given)


def record(namespace: str, number: int, start: int) -> Json:
    id = f"{number:032x}"
    return {
        "_id": f"{namespace}/{id}",
        "entityType": "activation",
        "namespace": namespace,
        "name": "greet",
        "subject": "guest",
        "activationId": id,
        "version": "0.0.3",
        "publish": False,
        "start": start,
        "end": start + 30,
        "duration": 30,
        "logs": ["2026-11-23T04:00:00.123456789Z stdout: hi"],
        "response": {"statusCode": 0, "result": {"greeting": "Grüße"}, "size": 21},
        "annotations": [{"key": "path", "value": f"{namespace}/pkg/greet"}, {"key": "kind", "value": "python:3.10"}],
        "updated": start + 100,
    }


def pointer(name: str, data: bytes, type_: str) -> Json:
    digest = f"sha256-{sha256(data).hexdigest()}"
    return {"attachmentName": name, "attachmentType": type_, "length": len(data), "digest": digest}


def memory(data: bytes) -> Json:
    name = "mem:" + base64.urlsafe_b64encode(data).decode()
    return pointer(name, data, "text/plain; charset=UTF-8")


def fill(databases: Databases) -> None:
    """Something of everything; all of it is well."""
    _subjects(databases)
    _actions(databases)
    _others(databases)
    for number, start in enumerate((1000, 1795400000200, 1795500000200)):
        doc = record("guest", number, start)
        databases.call("PUT", databases.url.activations, doc["_id"], body=doc)


def _subjects(databases: Databases) -> None:
    guest = {"name": "guest", "uuid": GUEST_UUID, "key": GUEST_KEY}
    team = {"name": "team", "uuid": str(uuid4()), "key": TEAM_KEY}
    databases.subject({"_id": "guest-subject", "subject": "guest-subject", "namespaces": [guest, team]})
    blocked = {"name": "mallory", "uuid": str(uuid4()), "key": "m" * 64}
    databases.subject({"_id": "mallory", "subject": "mallory", "namespaces": [blocked], "blocked": True})
    databases.subject({"_id": "jürgen", "subject": "jürgen", "namespaces": [], "blocked": None})
    databases.subject({"_id": "oldest", "subject": "oldest", "uuid": str(uuid4()), "key": OLD_KEY})
    databases.subject({"_id": "guest/limits", "invocationsPerMinute": 60, "maxPayloadSize": "1048576 B"})
    databases.subject({"_id": "team/limits", "concurrentInvocations": 0, "allowedKinds": ["nodejs:20", "blackbox"]})
    rev = databases.call("PUT", databases.url.subjects, "gone", body={"subject": "gone"})["rev"]
    databases.call("DELETE", databases.url.subjects, "gone", query=f"?rev={rev}")
    _design(databases, databases.url.subjects, "subjects.v2.0.0")


def _actions(databases: Databases) -> None:
    text, octets = "text/plain; charset=UTF-8", "application/octet-stream"
    python = {"kind": "python:3.10", "binary": False}
    greet = action("guest/pkg/greet", {**python, "code": memory(PYTHON.encode())})
    databases.entity(greet)
    databases.entity(action("guest/hello", {**python, "code": memory(PYTHON.encode())}))
    databases.entity(action("guest/inline", {"kind": "nodejs:20", "code": "function main(p){return p}"}))
    databases.entity(action("guest/nokind", {"kind": "swift:3", "code": "let a = 1", "binary": False}, None))
    name = str(uuid4())
    large = action("guest/large", {**python, "code": pointer(f"couch:{name}", LARGE.encode(), text)})
    databases.attached(large, name, LARGE.encode(), text)
    zipped = {"kind": "nodejs:20", "binary": True, "main": "run", "code": {"attachmentName": "codefile"}}
    zipped["code"] = {"attachmentName": "codefile", "attachmentType": octets}
    databases.attached(action("guest/zipped", zipped), "codefile", ZIP, octets)
    jar = {"kind": "java:8", "main": "Hello", "jar": {"attachmentName": "jarfile", "attachmentType": octets}}
    databases.attached(action("guest/jar", jar), "jarfile", ZIP, octets)
    databases.entity(action("guest/image", {"kind": "blackbox", "image": "alice/img:1.2", "binary": False}))
    parameters = [{"key": "_actions", "value": ["/guest/hello", "/guest/pkg/greet"]}]
    sequence = {"kind": "sequence", "components": ["/guest/hello", "/guest/pkg/greet"]}
    databases.entity(action("guest/both", sequence, parameters=parameters))
    old = action("guest/old", {"kind": "python:3.10", "code": "def main(a): return a"}, None)
    old["limits"] = {"timeout": 60000, "memory": 256}
    del old["annotations"], old["publish"]
    databases.entity(old)
    rev = databases.entity(action("guest/deleted", {"kind": "python:3.10", "code": ""}))
    databases.call("DELETE", databases.url.entities, "guest/deleted", query=f"?rev={rev}")
    _design(databases, databases.url.entities, "whisks.v2.1.0")


def _others(databases: Databases) -> None:
    provider = entity("guest/pkg", "package", parameters=PARAMETERS, binding={}, publish=True, color={"of": "mind"})
    databases.entity(provider)
    binding = {"namespace": "guest", "name": "pkg"}
    annotations = [{"key": "binding", "value": binding}]
    databases.entity(entity("team/bound", None, parameters=[], binding=binding, annotations=annotations))
    for one, other in (("round", "about"), ("about", "round")):
        databases.entity(entity(f"team/{one}", "package", parameters=[], binding={"namespace": "team", "name": other}))
    rules = {"guest/r1": {"action": {"path": "guest/pkg", "name": "greet"}, "status": "inactive"}}
    databases.entity(entity("guest/door", "trigger", parameters=PARAMETERS, limits={}, rules=rules))
    databases.entity(entity("guest/bell", None, parameters=[], limits={}, other="a member with our own name"))
    link = {"trigger": {"path": "guest", "name": "door"}, "action": {"path": "guest/pkg", "name": "greet"}}
    databases.entity(entity("guest/r1", "rule", **link))
    databases.entity(entity("guest/r0", None, trigger="door", action="/guest/pkg/greet", status="active"))


def _design(databases: Databases, database: str, name: str) -> None:
    views = {"some": {"map": "function (doc) { emit(doc._id, 1); }"}}
    databases.call("PUT", database, "_design", name, body={"views": views, "language": "javascript"})


ALL = """\
limits       2 copied
packages     4 copied
actions      10 copied
triggers     2 copied
rules        2 copied
subjects     4 copied
"""
"""What an import says of it."""


def url_of(databases: Databases, user: str = USER) -> str:
    """Without the password."""
    return f"couchdb://{user}@{databases.url.host}:{databases.url.port}/{databases.url.entities.removesuffix('whisks')}"


def run(
    databases: Databases, *words: str, data: Path | None = None, verb: str = "import", password: str = PASSWORD
) -> Outcome:
    secret = {"UPCALL_COUCHDB_PASSWORD": password}
    return upcall(verb, "couchdb", url_of(databases), *words, data=data, environment=secret)
