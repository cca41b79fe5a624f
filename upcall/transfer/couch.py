"""An existing OpenWhisk's databases as the source of a transfer (spec: store.md, entities.md).

Ids come in pages of `_all_docs`, documents one by one: they may be large. What is read is tolerant where upstream is,
and where its older releases wrote otherwise: no `entityType`, a subject with one key beside its name, rules that name
trigger and action in text. Members that packages, triggers and rules have and we do not know are kept.

A document that the server does not give, while it answers otherwise, is a problem of that document; where it answers
nothing any more the transfer ends.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from msgspec import Raw, structs

from upcall.errors import Conflict, Internal, Unavailable, Unreadable
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Limits, NamespaceKey, Subject, Trigger
from upcall.model.names import Json
from upcall.store import couch_code, couch_documents
from upcall.store.couch_designs import BY_DATE
from upcall.store.couch_http import NOTHING, CouchHttp, decoded
from upcall.transfer.copying import Damaged, Stage
from upcall.transfer.own import KINDS

PAGE = 1000

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode
_NULL = b"null"


class CouchSource:
    """Implements `upcall.transfer.copying.Source`; records from `since` (epoch ms) on."""

    def __init__(self, http: CouchHttp, since: int = 0) -> None:
        self._http, self._since = http, since

    def database(self, stage: Stage) -> str:
        url = self._http.url
        return {"whisks": url.entities, "activations": url.activations}.get(stage, url.subjects)

    async def pages(self, stage: Stage) -> AsyncIterator[Sequence[str]]:
        view = ["_all_docs"]
        if stage == "activations" and self._since and await self._has_dates():
            view = ["_design", "activations", "_view", BY_DATE]
        last: Mapping[str, Json] = {"key": self._since, "id": ""} if len(view) > 1 else {}
        while True:
            rows = await self._rows(stage, view, last)
            if last.get("id") and rows and rows[0]["id"] == last["id"]:
                rows = rows[1:]
            if not rows:
                return
            last = rows[-1]
            yield [row["id"] for row in rows if _is_of(stage, row["id"])]

    async def load(self, stage: Stage, id: str) -> Document | None:
        database = self.database(stage)
        body = await self._get(database, id)
        if body is None:
            return None
        try:
            members = _tolerated(body, id)
            kind = _kind(stage, id, members)
            read = couch_documents.parts(kind, id, _encode(members))
            code = couch_code.found(read.exec, read.attachments) if kind is Action else None
            text = None if code is None else await self._text(database, read, code)
            doc = couch_documents.assembled(kind, id, read, text)
        except (Unreadable, Conflict, Internal, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Damaged(f"it cannot be read: {error.__cause__ or error}") from None
        if isinstance(doc, Action):
            couch_code.settled(doc.exec, None, code)
        if isinstance(doc, Subject):
            return _with_own_key(doc, members)
        return None if isinstance(doc, Activation) and doc.start < self._since else doc

    async def _rows(self, stage: Stage, view: Sequence[str], last: Mapping[str, Json]) -> list[dict[str, Json]]:
        """From `last` on, itself among them where it is still there. Raises Unavailable."""
        query = {"limit": str(PAGE)}
        if len(view) > 1:
            query |= {"startkey": _text(last["key"])} | ({"startkey_docid": last["id"]} if last["id"] else {})
        elif last:
            query["startkey"] = _text(last["id"])
        answer = decoded(await self._http.read(self.database(stage), *view, query=query, absent=False))
        rows = answer.get("rows") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
            raise Unavailable(f"{self.database(stage)}/{'/'.join(view)} is no list of a CouchDB's")
        return rows

    async def _has_dates(self) -> bool:
        answer = await self._http.read(self.database("activations"), "_design", "activations")
        return answer.fine

    async def _get(
        self, *segments: str, query: Mapping[str, str] = NOTHING, headers: Mapping[str, str] = NOTHING
    ) -> bytes | None:
        """None where there is no such thing. Raises Damaged, Unavailable."""
        try:
            answer = await self._http.read(*segments, query=query, headers=headers)
        except Unavailable as error:
            await self._http.read(segments[0], absent=False)
            raise Damaged(f"it is not given: {error}") from None
        return answer.body if answer.fine else None

    async def _text(self, database: str, read: couch_documents.Parts, code: couch_code.Code) -> str:
        if code.text is not None:
            return code.text
        id, query = str(_loosely(read.members["_id"])), {"rev": read.rev}
        data = await self._get(database, id, code.name, query=query, headers={"Accept": "*/*"})
        if data is None:
            raise Damaged("its code is missing: the attachment is not there")
        return couch_code.text_of(data, code.binary)


def _is_of(stage: Stage, id: str) -> bool:
    """Designs are none; limits and subjects share a database."""
    if id.startswith("_design/"):
        return False
    return stage in ("whisks", "activations") or id.endswith(couch_documents.LIMITS) == (stage == "limits")


def _tolerated(body: bytes, id: str) -> dict[str, Raw]:
    """The members that say something. Raises Damaged, msgspec.MsgspecError."""
    members = {name: value for name, value in _members(body).items() if bytes(value) != _NULL}
    if _loosely(members.get("_id")) != id:
        raise Damaged("the server gives something else for this id")
    for name in ("trigger", "action"):
        if "trigger" in members and name in members:
            members[name] = _named(members[name], members)
    return members


def _loosely(value: Raw | None) -> Json:
    return None if value is None else msgspec.json.decode(value)


def _named(value: Raw, members: Mapping[str, Raw]) -> Raw:
    """Path and name, also of `/guest/door` and of `door`, which is in the rule's own namespace."""
    text = msgspec.json.decode(value)
    if not isinstance(text, str):
        return value
    path, _, name = text.strip("/").rpartition("/")
    own = _loosely(members.get("namespace"))
    return Raw(_encode({"path": path or own, "name": name}))


def _kind(stage: Stage, id: str, members: Mapping[str, Raw]) -> type[Document]:
    """Raises Damaged."""
    if stage in ("limits", "subjects"):
        return Limits if stage == "limits" else Subject
    name = couch_documents.kind_of(id, _encode(members), Activation if stage == "activations" else Action)
    kind = KINDS.get(name)
    if kind is None or (kind is Activation) != (stage == "activations") or kind in (Subject, Limits):
        raise Damaged("its entityType is none that belongs here")
    if kind is Trigger and "entityType" not in members and "parameters" not in members:
        raise Damaged("it is neither action, package, trigger nor rule")
    return kind


def _with_own_key(doc: Subject, members: Mapping[str, Raw]) -> Subject:
    """A subject of the first releases has one key, for the namespace of its own name."""
    pair = [_loosely(members.get(name)) for name in ("uuid", "key")]
    if not all(isinstance(part, str) and part for part in pair):
        return doc
    return structs.replace(doc, namespaces=[NamespaceKey(doc.subject, *pair), *doc.namespaces])


def _text(value: Json) -> str:
    return _encode(value).decode()
