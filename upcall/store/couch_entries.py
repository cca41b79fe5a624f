"""Documents one by one: read, written, removed and listed in CouchDB's databases (spec: store.md §1, §3, §4).

A document is one request, its code included; an update reads first, for a document of another kind must not be
replaced. `_rev` goes in the body and as `?rev=`, which every server heeds, and in `If-Match` as upstream sends it.
Records have a revision of ours (`coding.record_rev`): they are written once, and who reads one before it is written
gets the same.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Subject
from upcall.model.runtimes import Manifest
from upcall.ports import Query, Stored
from upcall.store import coding, couch_code, couch_documents, couch_views
from upcall.store.couch_http import UNREADABLE, Answer, CouchHttp, fault

TRIES = 3
"""Times that a document is read anew whose attachment has gone meanwhile."""
_ABSENT = ("missing", "deleted")
"""What the reason of a 404 begins with where a document is meant: `missing_attachment` too, and no database."""


Documents = Sequence[Document]
_SPACES: Mapping[coding.Space, type[Document]] = {"whisks": Action, "subjects": Subject, "activations": Activation}


class Entries:
    """`manifest` says which kinds there are and whose code is attached; None: any, and all."""

    def __init__(self, http: CouchHttp, manifest: Manifest | None = None) -> None:
        self._http = http
        self._manifest = manifest

    async def read(self, kind: type[Document], id: str, rev: str | None = None) -> Stored:
        """The newest, or exactly `rev`. Raises NotFound, Unreadable, Conflict, Unavailable; Internal where the code is
        in a store that is not known here."""
        for _ in range(TRIES):
            read = couch_documents.parts(kind, id, await self._body(kind, id, rev))
            if kind is Activation:
                found = Stored(couch_documents.assembled(kind, id, read), coding.record_rev(id))
                return coding.exactly(found, id, rev)
            if rev is not None and read.rev != rev:
                raise errors.Unreadable(f"Revision {rev} of {id} is not the current one, {read.rev} is.")
            if kind is not Action:
                return Stored(couch_documents.assembled(kind, id, read), read.rev)
            code = couch_code.found(read.exec, read.attachments)
            text = None if code is None else await self._text(id, read.rev, code)
            if code is not None and text is None:
                continue  # another revision has come, or nobody can help it
            action = couch_documents.assembled(kind, id, read, text)
            assert isinstance(action, Action)
            couch_code.settled(action.exec, self._manifest, code)
            return Stored(action, read.rev)
        raise errors.NotFound

    async def write(self, doc: Document, rev: str | None) -> str:
        """Create, or replace `rev`; the new revision. Raises Conflict, Unavailable; ValueError for what no document can
        be called."""
        if not _possible(doc.id):
            raise ValueError(f"the database cannot hold a document of this name: {doc.id!r}")
        if rev is not None:
            await self._replaceable(type(doc), doc.id, rev)
        more: dict[str, object] = {}
        if isinstance(doc, Activation):
            more["updated"] = int(time.time() * 1000)
        elif isinstance(doc, Action):
            more.update(couch_code.written(doc.exec, self._manifest))
        body = couch_documents.encoded(doc, rev, more)
        database, match = self._database(type(doc)), _match(rev)
        answer = await self._http.write("PUT", database, doc.id, body=body, headers=match)
        return self._revision(answer)

    async def remove(self, kind: type[Document], id: str, rev: str) -> str:
        """Revision `rev`, as it is over there; the revision of what is left. Raises NotFound, Conflict, Unavailable."""
        answer = await self._http.write("DELETE", self._database(kind), id, query={"rev": rev}, headers=_match(rev))
        return self._revision(answer)

    async def current(self, kind: type[Document], id: str, rev: str) -> str:
        """The revision over there of the one that is `rev` here. Raises NotFound; Conflict, also where it is not the
        current one."""
        body = await self._body(kind, id, None)
        found = _revision_of(body)
        if couch_documents.kind_of(id, body, kind) != kind.entity_type:
            raise errors.Conflict(texts.CONFORMANCE)
        if rev != (coding.record_rev(id) if kind is Activation else found):
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        return found

    async def _replaceable(self, kind: type[Document], id: str, rev: str) -> None:
        try:
            await self.current(kind, id, rev)
        except errors.NotFound:
            raise errors.Conflict(texts.CONCURRENT_UPDATE) from None

    async def recorded(self, ids: Sequence[str]) -> set[str]:
        """Those of the activations that have a record. Raises Unavailable."""
        body = msgspec.json.encode({"keys": list(ids)})
        answer = await self._http.write("POST", self._http.url.activations, "_all_docs", body=body)
        try:
            rows = msgspec.json.decode(answer.body, type=_Current).rows
        except UNREADABLE as error:
            raise errors.Unavailable(texts.store_silent("the database's answer cannot be read")) from error
        if len(rows) != len(ids) or any(row.error not in (None, "not_found") for row in rows):
            raise errors.Unavailable(texts.store_silent("the database does not say which records it has"))
        return {row.id for row in rows if row.value is not None and not row.value.deleted}

    async def ids(self, space: coding.Space, after: str, limit: int) -> list[tuple[str, str]]:
        """In the order of the ids, each with its document's kind. Raises Unavailable."""
        found: list[tuple[str, str]] = []
        kind = _SPACES[space]
        async for row in couch_views.below(self._http, self._database(kind), "", after):
            found.append((row.id, couch_documents.kind_of(row.id, row.document or b"", kind)))
            if len(found) == limit:
                break
        return found

    async def _unviewed(self, kind: type[Document], query: Query) -> list[tuple[str, bytes]]:
        """Of a kind that no view has: subjects, which are in no namespace, and what upstream does not know."""
        since, upto, skip, limit = coding.checked(query)
        begin = "" if kind is Subject else f"{query.namespace}/"
        found: list[tuple[int, str, bytes]] = []
        async for row in couch_views.below(self._http, self._database(kind), begin):
            doc = row.document
            if doc is None or couch_documents.kind_of(row.id, doc, kind) != kind.entity_type:
                continue
            place = _place(doc)
            package = place.namespace.partition("/")[2]
            if since <= place.updated <= upto and query.package in (None, package):
                found.append((place.updated, row.id, doc))
        found.sort(key=lambda each: each[:2], reverse=True)
        return [(id, doc) for _, id, doc in found[skip : skip + limit]]

    async def _body(self, kind: type[Document], id: str, rev: str | None) -> bytes:
        """Of the newest, whatever `rev` says."""
        if not _possible(id):
            await self._http.read(self._database(kind), absent=False)  # who asks learns, too, whether the server is
            raise errors.NotFound
        headers = _match(rev) if kind is not Activation else {}
        answer = await self._http.read(self._database(kind), id, headers=headers)
        if answer.status == 404:
            raise _absence(self._http, answer)
        if not _revision_of(answer.body):  # each document of a CouchDB has one: this is somebody else's answer
            raise errors.Unavailable(texts.store_silent("the database's answer is no document"))
        return answer.body

    async def _text(self, id: str, rev: str, code: couch_code.Code) -> str | None:
        """None where the attachment is not there any more, or was never."""
        if code.text is not None:
            return code.text
        headers = {**_match(rev), "Accept": "*/*"}
        answer = await self._http.read(self._http.url.entities, id, code.name, query={"rev": rev}, headers=headers)
        return couch_code.text_of(answer.body, code.binary) if answer.fine else None

    async def list(self, kind: type[Document], query: Query) -> Documents:
        """Newest first. Raises ValueError, BadRequest, Unavailable."""
        try:
            place = couch_views.range_of(self._http, kind, query)
            if place is None:
                return coding.decoded(kind, await self._unviewed(kind, query), query.whole)
        except UnicodeEncodeError:
            return []
        if kind is Activation and not query.whole:
            rows = couch_views.rows(self._http, place, query, documents=False)
            return couch_documents.summaries([(row.id, bytes(row.value)) async for row in rows])
        found: list[tuple[str, bytes]] = []
        size = 0
        async for row in couch_views.rows(self._http, place, query, documents=True):
            if row.document is None:
                continue  # deleted since the view was read
            body = couch_documents.listable(kind, row.id, row.document)
            size += len(body)
            found.append((row.id, body))
            if kind is Activation and size > coding.LARGEST_LIST and len(found) > 1:
                break  # no more is needed to refuse it
        return coding.decoded(kind, found, query.whole)

    async def count(self, kind: type[Document], query: Query) -> int:
        """Raises ValueError, Unavailable."""
        try:
            place = couch_views.range_of(self._http, kind, query)
            if place is None:
                everything = msgspec.structs.replace(query, skip=0, limit=0)
                return max(0, len(await self._unviewed(kind, everything)) - query.skip)
            return await couch_views.count(self._http, place, query.skip)
        except UnicodeEncodeError:
            return 0

    def _database(self, kind: type[Document]) -> str:
        url = self._http.url
        return {"subjects": url.subjects, "activations": url.activations, "whisks": url.entities}[coding.space_of(kind)]

    def _revision(self, answer: Answer) -> str:
        if answer.status == 409:
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
        if answer.status == 404:
            raise _absence(self._http, answer)
        return _revision_of(answer.body)


class _Value(msgspec.Struct):
    deleted: bool = False


class _Existing(msgspec.Struct):
    id: str = ""
    error: str | None = None
    value: _Value | None = None


class _Current(msgspec.Struct):
    rows: list[_Existing]


class _Place(msgspec.Struct):
    namespace: str = ""
    updated: int = 0


class _Revision(msgspec.Struct):
    rev: str = ""
    old: str = msgspec.field(default="", name="_rev")


def _revision_of(body: bytes) -> str:
    """Of a document, or of an answer that tells of a write. Raises Unavailable."""
    try:
        found = msgspec.json.decode(body, type=_Revision)
    except UNREADABLE as error:
        raise errors.Unavailable(texts.store_silent("the database's answer cannot be read")) from error
    return found.old or found.rev


def _place(doc: bytes) -> _Place:
    try:
        return msgspec.json.decode(doc, type=_Place)
    except UNREADABLE:
        return _Place()


def _absence(http: CouchHttp, answer: Answer) -> Exception:
    """What a 404 means: no such document, or no such database."""
    said = fault(answer)
    reason = said.partition(": ")[2]
    if not said or reason.startswith(_ABSENT):
        return errors.NotFound()
    return errors.Unavailable(texts.store_silent(http.refusal(answer)))


def _match(rev: str | None) -> Mapping[str, str]:
    return {} if rev is None or not rev.isprintable() else {"If-Match": f'"{rev}"'}


def _possible(id: str) -> bool:
    """Whether a document can have this id: CouchDB has those for itself that begin with an underscore."""
    return bool(id) and not id.startswith("_") and not any("\ud800" <= sign <= "\udfff" for sign in id)
