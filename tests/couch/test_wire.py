"""Each operation's requests, byte for byte as CouchDB is to get them (spec: store.md §1, §3, §7; entities.md §8)."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from msgspec import structs

from tests.contract.documents import action, activation, subject
from tests.couch.database import Database
from tests.couch.server import PASSWORD, USER, Cut, Seen, Server
from upcall import errors
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Limits, Subject, UserLimits
from upcall.ports import Query
from upcall.store.couch import CouchStore

BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
ODD = "a b/ö@+%"
ODD_PATH = "a%20b%2F%C3%B6%40%2B%25"
ODD_SUBJECT = {"_id": ODD, "subject": ODD, "namespaces": [], "blocked": False}
LARGE = "x = 1\n" * 4000
"""Not inside the document."""


@pytest.fixture
async def store(couch: Server) -> AsyncIterator[CouchStore]:
    """Of a controller, that has made what it needs; nothing of that is in `couch.seen`, nor how it follows changes."""
    async with CouchStore(couch.url()) as store:
        await store.put(action())
        await store.put(subject("guest", ("guest", "u" * 36, "k" * 64)))
        store.record(activation(1))
        await store.flush()
        couch.seen.clear()
        yield store


class Request(NamedTuple):
    """`rev` stands for the revision that the document had before."""

    method: str
    path: str
    query: str = ""
    match: str | None = None
    body: Any = None


Run = Callable[[CouchStore, str], Awaitable[object]]


def hello(store: CouchStore) -> Awaitable[Any]:
    return store.get(Action, "guest/hello")


DOC = "/test_whisks/guest%2Fhello"
RANGE = "endkey=%5B%22guest%22%2C0%5D&startkey=%5B%22guest%22%2C%22%EF%BF%B0%22%2C%22%EF%BF%B0%22%5D"
LIST = f"descending=true&reduce=false&{RANGE}&include_docs="

TABLE: dict[str, tuple[Run, list[Request]]] = {
    "read": (lambda store, rev: hello(store), [Request("GET", DOC)]),
    "read a revision": (
        lambda store, rev: store.get(Action, "guest/hello", rev),
        [Request("GET", DOC, match='"rev"')],
    ),
    "read a record": (
        lambda store, rev: store.get(Activation, activation(1).id),
        [Request("GET", f"/test_activations/guest%2F{1:032x}")],
    ),
    "create": (
        lambda store, rev: store.put(Subject(ODD)),
        [Request("PUT", f"/test_subjects/{ODD_PATH}", body=ODD_SUBJECT)],
    ),
    "limits": (
        lambda store, rev: store.put(Limits("guest", UserLimits(invocations_per_minute=3))),
        [Request("PUT", "/test_subjects/guest%2Flimits", body={"_id": "guest/limits", "invocationsPerMinute": 3})],
    ),
    "update": (
        lambda store, rev: store.put(structs.replace(action(), version="0.0.2"), rev),
        [Request("GET", DOC), Request("PUT", DOC, match='"rev"', body={"_rev": "rev", "version": "0.0.2"})],
    ),
    "delete": (
        lambda store, rev: store.delete(Action, "guest/hello", rev),
        [Request("GET", DOC), Request("DELETE", DOC, "rev=rev", '"rev"')],
    ),
    "list records": (
        lambda store, rev: store.list(Activation, Query(namespace="guest", whole=False)),
        [
            Request(
                "GET",
                "/test_activations/_design/whisks.v2.1.0/_view/activations",
                f"{LIST}false&skip=0&limit=30",
            )
        ],
    ),
    "list an action's records": (
        lambda store, rev: store.list(
            Activation, Query(namespace="guest", name="p/hello", since=5, upto=9, skip=2, limit=7)
        ),
        [
            Request(
                "GET",
                "/test_activations/_design/whisks-filters.v2.1.1/_view/activations",
                "descending=true&reduce=false&endkey=%5B%22guest%2Fp%2Fhello%22%2C5%5D"
                "&startkey=%5B%22guest%2Fp%2Fhello%22%2C9%2C%22%EF%BF%B0%22%5D&include_docs=true&skip=2&limit=7",
            )
        ],
    ),
    "count": (
        lambda store, rev: store.count(Action, Query(namespace="guest")),
        [
            Request(
                "GET",
                "/test_whisks/_design/whisks.v2.1.0/_view/actions",
                "reduce=true&startkey=%5B%22guest%22%2C0%5D"
                "&endkey=%5B%22guest%22%2C%22%EF%BF%B0%22%2C%22%EF%BF%B0%22%5D",
            )
        ],
    ),
    "identity": (
        lambda store, rev: store.owner("guest"),
        [
            Request(
                "GET",
                "/test_subjects/_design/subjects.v2.0.0/_view/identities",
                "startkey=%5B%22guest%22%5D&endkey=%5B%22guest%22%5D&include_docs=true",
            )
        ],
    ),
    "blacklist": (
        lambda store, rev: store.blocked(),
        [
            Request(
                "GET",
                "/test_subjects/_design/namespaceThrottlings/_view/blockedNamespaces",
                "stale=update_after&descending=true&reduce=false",
            )
        ],
    ),
}


@pytest.mark.parametrize("operation", TABLE)
async def test_requests_are_those_of_the_reference(store: CouchStore, couch: Server, operation: str) -> None:
    run, expected = TABLE[operation]
    rev = (await hello(store)).rev
    couch.seen.clear()
    await run(store, rev)
    seen = [each for each in couch.seen if not each.path.endswith("/_changes")]
    assert [_request(each, rev, want) for each, want in zip(seen, expected, strict=True)] == expected
    for each in seen:
        assert each.headers["Authorization"] == BASIC
        assert each.headers["Accept"] == "application/json"
        assert each.headers.get("Content-Type") == ("application/json" if each.body else None)


def _request(seen: Seen, rev: str, want: Request) -> Request:
    """Of the body the members that are wanted, or all where these are all of a small document."""
    match = seen.headers.get("If-Match")
    body = seen.json if seen.body else None
    if body is not None and "_rev" in want.body:
        body = {member: body[member] for member in want.body}
        body["_rev"] = body["_rev"].replace(rev, "rev")
    return Request(seen.method, seen.path, seen.query.replace(rev, "rev"), match and match.replace(rev, "rev"), body)


async def test_code_that_is_attached_is_read_at_the_documents_revision(store: CouchStore, couch: Server) -> None:
    rev = await store.put(action("large", code=LARGE))
    (written,) = couch.to("large")
    (name, stub), *_ = written.json["_attachments"].items()
    assert written.json["exec"]["code"]["attachmentName"] == f"couch:{name}"
    assert base64.b64decode(stub["data"]) == LARGE.encode()
    couch.seen.clear()
    found = (await store.get(Action, "guest/large", rev)).doc
    assert isinstance(found, Action)
    assert found.exec.code == LARGE
    document, attachment = couch.seen
    assert (document.method, document.path, document.query) == ("GET", "/test_whisks/guest%2Flarge", "")
    assert attachment.path == f"/test_whisks/guest%2Flarge/{name}"
    assert attachment.query == f"rev={rev}"
    assert attachment.headers["If-Match"] == f'"{rev}"'


async def test_a_blank_may_be_a_plus_in_a_path(couch: Server, store: CouchStore) -> None:
    """As upstream writes it; ours is `%20`. Both are one document."""
    couch.databases["test_subjects"].docs["a b"] = {"_id": "a b", "_rev": "1-a", "subject": "a b", "namespaces": []}
    assert (await store.get(Subject, "a b")).rev == "1-a"
    assert couch.to("a%20b")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("skip", [0, 20, 45, 60])
async def test_a_page_goes_on_behind_its_last_row(store: CouchStore, couch: Server, skip: int, chunked: bool) -> None:
    """Though many rows have one key."""
    couch.chunked = chunked
    for number in range(2, 122):
        store.record(activation(number, at=7 if number <= 100 else number))
    await store.flush()
    found = await store.list(Activation, Query(namespace="guest", limit=0, skip=skip))
    assert len({each.activation_id for each in found}) == len(found) == 121 - skip


@pytest.mark.parametrize("kind", [Action, Activation, Subject])
async def test_a_deleted_document_is_as_one_that_never_was(store: CouchStore, kind: type[Document]) -> None:
    id = {Action: "guest/hello", Activation: activation(1).id, Subject: "guest"}[kind]  # type: ignore[index]
    rev = (await store.get(kind, id)).rev
    await store.delete(kind, id, rev)
    with pytest.raises(errors.NotFound):
        await store.get(kind, id)
    if kind is Action:
        assert (await store.put(action())).startswith("3-"), "CouchDB counts on from the tombstone"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_other_answers_are_told_in_words_without_the_password(
    store: CouchStore, couch: Server, status: int
) -> None:
    async def refuse(seen: Seen) -> web.StreamResponse:
        return web.json_response({"error": "odd", "reason": "Database does not exist."}, status=status)

    couch.fault = refuse
    for asked in (hello(store), store.put(action("new")), store.list(Action, Query(namespace="guest"))):
        with pytest.raises(errors.Unavailable) as caught:
            await asked
        assert PASSWORD not in str(caught.value)
        assert str(couch.port) not in str(caught.value), "callers of the API read it"
    couch.fault = None


async def test_a_read_whose_connection_broke_is_tried_again(store: CouchStore, couch: Server) -> None:
    cut = 0

    async def once(seen: Seen) -> None:
        nonlocal cut
        if seen.path.endswith("guest%2Fhello"):
            cut += 1
            if cut == 1:
                raise Cut

    couch.fault = once
    await hello(store)
    assert cut == 2


async def test_a_write_that_was_not_answered_is_no_success(store: CouchStore, couch: Server) -> None:
    async def always(seen: Seen) -> None:
        raise Cut

    couch.fault = always
    with pytest.raises(errors.Unavailable, match="no connection to the database"):
        await store.put(action("new"))


@pytest.mark.parametrize("prepared", [True, False])
async def test_an_invoker_makes_nothing(couch: Server, prepared: bool) -> None:
    if not prepared:
        couch.databases.clear()
    store = CouchStore(couch.url(), part="invoker")
    if prepared:
        async with store:
            pass
    else:
        with pytest.raises(errors.Misconfigured, match="there is no database 'test_whisks'"):
            await store.open()
    assert {seen.method for seen in couch.seen} == {"GET"}


async def test_who_serves_makes_databases_and_upstreams_design_documents(couch: Server) -> None:
    couch.databases = {"test_whisks": Database()}
    theirs = {"_id": "_design/whisks.v2.1.0", "views": {"actions": {"map": "theirs", "reduce": "_count"}}}
    couch.databases["test_whisks"].write(theirs, None)
    async with CouchStore(couch.url()):
        pass
    assert sorted(seen.path for seen in couch.seen if seen.method == "PUT") == [
        "/test_activations",
        "/test_activations/_design/activations",
        "/test_activations/_design/logCleanup",
        "/test_activations/_design/whisks-filters.v2.1.1",
        "/test_activations/_design/whisks.v2.1.0",
        "/test_subjects",
        "/test_subjects/_design/namespaceThrottlings",
        "/test_subjects/_design/subjects.v2.0.0",
    ]
    assert couch.databases["test_whisks"].get("_design/whisks.v2.1.0")["views"]["actions"]["map"] == "theirs"
