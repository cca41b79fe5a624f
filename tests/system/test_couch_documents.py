"""Documents in CouchDB as upstream writes them, and ours as upstream reads them (spec: store.md §3, §6, §7)."""

import base64
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import structs

from tests.contract.documents import action, activation, subject
from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.entities import Action, Exec, Limits, Subject, UserLimits
from upcall.model.names import Json
from upcall.model.runtimes import parse_manifest
from upcall.ports import Query
from upcall.store.couch import CouchStore

if TYPE_CHECKING:
    from tests.system.pouchdb import Server

pytest_plugins = ["tests.system.pouchdb"]

MANIFEST = parse_manifest(
    '{"runtimes":{"python":[{"kind":"python:3.11","default":true,"image":{"name":"p"},'
    '"attached":{"attachmentName":"codefile","attachmentType":"text/plain"}},{"kind":"python:3","image":{"name":"q"}}],'
    '"java":[{"kind":"java:8","image":{"name":"j"},'
    '"attached":{"attachmentName":"codefile","attachmentType":"text/plain"}}]}}'
)
ZIP = b"PK\x03\x04\x00\xff\xfe"
BASE64 = base64.b64encode(ZIP).decode()


@pytest.fixture
async def store(pouchdb: "Server") -> AsyncIterator[CouchStore]:
    async with CouchStore(pouchdb.databases(), manifest=MANIFEST) as store:
        yield store


async def put(store: CouchStore, id: str, members: dict[str, Json], database: str = "") -> str:
    """As somebody else does it."""
    body = msgspec.json.encode(members)
    answer = await store.http.write("PUT", database or store.http.url.entities, id, body=body)
    assert answer.fine, answer
    return str(msgspec.json.decode(answer.body)["rev"])


async def raw(store: CouchStore, id: str, database: str = "") -> dict[str, Json]:
    answer = await store.http.read(database or store.http.url.entities, id)
    found: dict[str, Json] = msgspec.json.decode(answer.body)
    return found


def document(exec_: dict[str, Json], **more: Json) -> dict[str, Json]:
    """An action as upstream writes it."""
    whole: dict[str, Json] = {
        "entityType": "action",
        "namespace": "guest",
        "name": "a",
        "version": "0.0.3",
        "publish": False,
        "updated": 1764000000000,
        "exec": exec_,
        "parameters": [
            {"key": "name", "value": "x"},
            {"key": "S", "value": "y", "init": True, "encryption": "aes-256"},
        ],
        "limits": {"timeout": 60000, "memory": 256},
        "annotations": [{"key": "provide-api-key", "value": False}],
        "somethingNew": {"a": 1},
    }
    return whole | more


def attached(name: str, kind: str = "text/plain; charset=UTF-8") -> dict[str, Json]:
    return {"attachmentName": name, "attachmentType": kind}


def held(name: str, data: bytes, kind: str = "text/plain; charset=UTF-8") -> dict[str, Json]:
    return {name: {"content_type": kind, "data": base64.b64encode(data).decode()}}


TEXT = "def main(a):\n    return {'ä': 1}\n"
IN_MEMORY = "mem:" + base64.urlsafe_b64encode(TEXT.encode()).decode()
OCTETS = "application/octet-stream"

PY, INLINE, JAVA, BOX = "python:3.11", "python:3", "java:8", "blackbox"
Form = tuple[dict[str, Json], dict[str, Json], Exec]


def form(exec_: dict[str, Json], expected: Exec, attachments: dict[str, Json] | None = None) -> Form:
    """An exec as it is stored, what it is read as, and the document's attachments."""
    return exec_, attachments or {}, expected


MEM = attached(IN_MEMORY)
HELD = held("u1", TEXT.encode())
AS_TEXT = Exec(PY, TEXT, binary=False)
FORMS: dict[str, Form] = {
    "inline": form({"kind": INLINE, "code": TEXT, "binary": True}, Exec(INLINE, TEXT, binary=False)),
    "inline base64": form({"kind": INLINE, "code": BASE64}, Exec(INLINE, BASE64, binary=True)),
    "in memory": form({"kind": PY, "binary": False, "code": MEM}, AS_TEXT),
    "without padding": form({"kind": PY, "code": attached(IN_MEMORY.rstrip("="))}, AS_TEXT),
    "couch": form({"kind": PY, "binary": False, "code": attached("couch:u1")}, AS_TEXT, HELD),
    "couch binary": form(
        {"kind": PY, "binary": True, "main": "go", "code": attached("couch:u1", OCTETS)},
        Exec(PY, BASE64, main="go", binary=True),
        held("u1", ZIP, OCTETS),
    ),
    "a bare name": form({"kind": PY, "code": attached("u1")}, AS_TEXT, HELD),
    "old code": form({"kind": PY, "code": TEXT, "main": None}, AS_TEXT),
    "jar": form(
        {"kind": JAVA, "jar": attached("jarfile", OCTETS), "main": "Hello"},
        Exec(JAVA, BASE64, main="Hello", binary=True),
        held("jarfile", ZIP, OCTETS),
    ),
    "inline jar": form(
        {"kind": JAVA, "jar": "UEsDBA==", "main": "Hello"}, Exec(JAVA, "UEsDBA==", main="Hello", binary=True)
    ),
    "blackbox": form({"kind": BOX, "image": "me/i:1", "binary": False}, Exec(BOX, image="me/i:1", binary=False)),
    "blank blackbox": form({"kind": BOX, "image": "me/i", "code": " "}, Exec(BOX, image="me/i", binary=False)),
    "blackbox's code": form({"kind": BOX, "image": "me/i", "code": MEM}, Exec(BOX, TEXT, image="me/i", binary=False)),
    "sequence": form({"kind": "sequence", "components": ["/guest/b"]}, Exec("sequence", components=["/guest/b"])),
    "default": form({"kind": " Python:Default ", "code": MEM}, AS_TEXT),
}


@pytest.mark.parametrize(("exec_", "attachments", "expected"), FORMS.values(), ids=FORMS.keys())
async def test_every_form_of_an_exec_is_read(
    store: CouchStore, exec_: dict[str, Json], attachments: dict[str, Json], expected: Exec
) -> None:
    more: dict[str, Json] = {"_attachments": attachments} if attachments else {}
    rev = await put(store, "guest/a", document(exec_, **more))
    for asked in (None, rev):
        found = await store.get(Action, "guest/a", asked)
        assert isinstance(found.doc, Action)
        assert found.doc.exec == expected
        assert found.rev == rev
        assert (found.doc.limits.logs, found.doc.limits.concurrency) == (10, 1)
        assert [each.key for each in found.doc.parameters] == ["name", "S"]


async def test_an_old_document_without_a_type_is_judged_by_its_members(store: CouchStore) -> None:
    old = document({"kind": "python:3", "code": TEXT})
    del old["entityType"]
    await put(store, "guest/a", old)
    assert (await store.get(Action, "guest/a")).doc.id == "guest/a"
    await put(store, "guest/t", {"namespace": "guest", "name": "t", "parameters": []})
    with pytest.raises(errors.Conflict, match=texts.CONFORMANCE):
        await store.get(Action, "guest/t")


BROKEN: dict[str, dict[str, Json]] = {
    "unknown kind": document({"kind": "cobol:85", "code": "x"}),
    "no limits": document({"kind": "python:3", "code": "x"}, limits=None),
    "no exec": document({}, exec=None),
    "no base64": document({"kind": "python:3.11", "code": attached("mem:é")}),
    "another attachment": document(
        {"kind": "python:3.11", "code": attached("couch:u2")}, _attachments=held("u1", b"x")
    ),
    "two attachments": document(
        {"kind": "python:3.11", "code": attached("couch:u1")}, _attachments=held("u1", b"x") | held("u2", b"y")
    ),
    "code of another type": document({"kind": "python:3.11", "code": 7}),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_cannot_be_read_is_unreadable_and_left_out_of_lists(store: CouchStore, name: str) -> None:
    await put(store, "guest/a", BROKEN[name])
    await store.put(action("good", at=1))
    with pytest.raises(errors.Unreadable):
        await store.get(Action, "guest/a")
    assert "good" in [each.name for each in await store.list(Action, Query(namespace="guest"))]


async def test_code_in_a_store_that_is_not_known_here_is_told(store: CouchStore) -> None:
    await put(store, "guest/a", document({"kind": "python:3.11", "code": attached("s3:abc")}))
    with pytest.raises(errors.Internal, match="another store, which is not known here: s3:"):
        await store.get(Action, "guest/a")


async def test_small_code_is_written_into_its_attachments_name(store: CouchStore) -> None:
    await store.put(action(code=TEXT))
    found = await raw(store, "guest/hello")
    assert found["entityType"] == "action"
    assert "_attachments" not in found
    assert found["exec"]["code"] == {
        "attachmentName": IN_MEMORY,
        "attachmentType": "text/plain; charset=UTF-8",
        "length": len(TEXT.encode()),
        "digest": f"sha256-{sha256(TEXT.encode()).hexdigest()}",
    }


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024])
async def test_from_sixteen_kilobytes_on_code_is_an_attachment(store: CouchStore, size: int) -> None:
    doc = action(code="x" * size)
    await store.put(doc)
    found = await raw(store, "guest/hello")
    name = found["exec"]["code"]["attachmentName"]
    assert name.startswith("mem:" if size < 16 * 1024 else "couch:")
    if size == 16 * 1024:
        (stub,) = found["_attachments"].items()
        assert stub[0] == name.removeprefix("couch:")
        assert (stub[1]["content_type"], stub[1]["length"]) == ("text/plain; charset=UTF-8", size)
    assert (await store.get(Action, "guest/hello")).doc == doc


async def test_binary_code_is_stored_as_its_bytes_and_an_update_leaves_nothing_of_the_old(store: CouchStore) -> None:
    doc, data = action(), bytes(range(256)) * 100
    doc.exec = Exec("python:3.11", base64.b64encode(data).decode(), binary=True)
    rev = await store.put(doc)
    (name,) = (await raw(store, doc.id))["_attachments"]
    answer = await store.http.read(store.http.url.entities, doc.id, name)
    assert answer.body == data
    assert (await store.get(Action, doc.id)).doc == doc
    doc.exec = Exec("python:3.11", base64.b64encode(data + b"!").decode(), binary=True)
    await store.put(doc, rev)
    assert [*(await raw(store, doc.id))["_attachments"]] != [name]
    assert (await store.get(Action, doc.id)).doc == doc


async def test_code_of_a_kind_that_is_not_attached_stays_inside(store: CouchStore) -> None:
    doc = action(code="# x " * 5000)
    doc.exec = structs.replace(doc.exec, kind="python:3")
    await store.put(doc)
    assert (await raw(store, doc.id))["exec"] == {"kind": "python:3", "code": "# x " * 5000, "binary": False}
    assert (await store.get(Action, doc.id)).doc == doc


async def test_what_calls_itself_base64_and_is_none_comes_back_as_it_is(store: CouchStore) -> None:
    doc = action()
    doc.exec = Exec("python:3.11", "no base64", binary=True)
    await store.put(doc)
    found = (await store.get(Action, doc.id)).doc
    assert isinstance(found, Action)
    assert found.exec.code == "no base64"


async def test_subjects_limits_and_records_have_upstreams_shapes(store: CouchStore) -> None:
    url = store.http.url
    await store.put(subject("alice-s", ("alice", "u1", "k1")))
    found = await raw(store, "alice-s", url.subjects)
    assert {name: found[name] for name in found if name != "_rev"} == {
        "_id": "alice-s",
        "subject": "alice-s",
        "namespaces": [{"name": "alice", "uuid": "u1", "key": "k1"}],
        "blocked": False,
    }
    await store.put(Limits("alice", UserLimits(invocations_per_minute=7)))
    limits = await raw(store, "alice/limits", url.subjects)
    assert limits == {"_id": "alice/limits", "_rev": limits["_rev"], "invocationsPerMinute": 7}
    record = activation(1)
    assert store.record(record)
    await store.put(activation(2))
    await store.flush()
    for each in (record, activation(2)):
        kept = await raw(store, each.id, url.activations)
        assert (kept["_id"], kept["entityType"]) == (each.id, "activation")
        assert kept["updated"] > 1_700_000_000_000
        assert kept["response"] == {"statusCode": 0, "result": {"n": 1}, "size": 7}


async def test_accounts_as_upstream_writes_them(store: CouchStore) -> None:
    subjects = store.http.url.subjects
    await put(store, "anna", {"subject": "anna", "namespaces": [{"name": "anna", "uuid": "u", "key": "k"}]}, subjects)
    await put(store, "anna/limits", {"concurrentInvocations": 3, "allowedKinds": ["python:3"], "new": 1}, subjects)
    await put(store, "old", {"subject": "old", "uuid": "v", "key": "l"}, subjects)
    found = await store.identity("u", "k")
    assert found is not None
    assert (found.subject, found.limits) == ("anna", UserLimits(concurrent_invocations=3, allowed_kinds=["python:3"]))
    old = await store.identity("v", "l")
    assert old is not None
    assert (old.subject, old.namespace.name) == ("old", "old")
    assert [doc.subject for doc in await store.list(Subject, Query(namespace=""))] == ["old", "anna"]


async def test_names_that_couchdb_keeps_for_itself_are_nobodys(store: CouchStore) -> None:
    for id in ("_all_docs", "_design/whisks.v2.1.0", "", "\ud800"):
        with pytest.raises(errors.NotFound):
            await store.get(Action, id)
    with pytest.raises(ValueError, match="cannot hold a document of this name"):
        await store.put(action(namespace="_hidden"))


async def test_ids_with_odd_signs_are_one_segment(store: CouchStore) -> None:
    for name in ("a b", "ä+b@c", "..", "%2F", "q?x#y"):
        doc = action(name, namespace="guest/pkg")
        rev = await store.put(doc)
        assert (await store.get(Action, doc.id)).doc == doc
        await store.delete(Action, doc.id, rev)


async def test_records_of_one_moment_come_once_each_over_many_pages(store: CouchStore) -> None:
    for number in range(1, 101):
        store.record(structs.replace(activation(number), start=7, end=8))
    await store.flush()
    found = await store.list(Activation, Query(namespace="guest", name="hello", limit=0, whole=False))
    assert len({doc.activation_id for doc in found}) == len(found) == 100
    assert {doc.duration for doc in found} == {1}
