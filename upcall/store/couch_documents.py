"""Documents as upstream keeps them in CouchDB (spec: store.md §3, §6, §7, entities.md §1).

A document is its JSON with `_id`, `_rev`, `entityType` and, for records, `updated`; subjects and limits have no type,
and limits lie flat beside `_id`. Documents from before there was an `entityType` are judged by their members.

What we write of an action has its code taken out (`upcall.store.couch_code`); what we read has it put back, or lists
would drag it along. Members that are null count as left out: whoever wrote them meant that.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from upcall.errors import Conflict, Unreadable
from upcall.model import texts
from upcall.model.activation import Activation, Response
from upcall.model.documents import Document
from upcall.model.entities import Action, Limits, Subject, UserLimits
from upcall.store import coding
from upcall.store.couch_http import UNREADABLE
from upcall.store.couch_others import OTHER, gathered, spread

log = logging.getLogger(__name__)

LIMITS = "/limits"
"""How the ids of limits end."""

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str).decode
_NULL = b"null"


class Parts(NamedTuple):
    """A document that was read: its revision, its members without those of CouchDB, an action's exec apart."""

    rev: str
    members: dict[str, Raw]
    exec: dict[str, Raw]
    attachments: dict[str, Raw]


class _Summary(msgspec.Struct, rename="camel"):
    """What views of activations give of each (spec: store.md §6.4)."""

    namespace: str
    name: str
    activation_id: str
    start: int
    version: str = "0.0.1"
    publish: bool = False
    annotations: Raw = Raw(b"[]")
    end: int | None = None
    duration: int | None = None
    cause: str | None = None
    status_code: int | None = None


def encoded(doc: Document, rev: str | None, more: Mapping[str, object]) -> bytes:
    """The body of a request that writes `doc`, an action without its code; `more` joins its members, and its `exec`
    an action's."""
    members: dict[str, object] = {"_id": doc.id}
    if rev is not None:
        members["_rev"] = rev
    if not isinstance(doc, Subject | Limits):
        members["entityType"] = doc.entity_type
    members.update(spread(_members(_encode(doc.limits) if isinstance(doc, Limits) else coding.encode(doc)[0])))
    exec_ = more.get("exec")
    if isinstance(exec_, Mapping):
        members["exec"] = {**_members(_as_raw(members["exec"])), **exec_}
        more = {name: value for name, value in more.items() if name != "exec"}
    return _encode({**members, **more})


def parts(kind: type[Document], id: str, body: bytes) -> Parts:
    """Raises Conflict where it is of another kind, Unreadable."""
    try:
        members = _members(body)
        rev, found = _text(members.pop("_rev")), _kind(id, members, kind)
        exec_ = _members(members["exec"]) if found == Action.entity_type == kind.entity_type else {}
        attachments = _members(members.get("_attachments", Raw(b"{}")))
    except (*UNREADABLE, KeyError) as error:
        raise Unreadable(texts.CORRUPTED) from error
    if found != kind.entity_type:
        raise Conflict(texts.CONFORMANCE)
    return Parts(rev, members, _given(exec_), attachments)


def assembled(kind: type[Document], id: str, read: Parts, code: str | None = None) -> Document:
    """Raises Unreadable."""
    if kind is Limits:
        return Limits(id.removesuffix(LIMITS), _limits(read.members))
    return gathered(coding.decode(kind, _cleaned(read), code), read.members)


def listable(kind: type[Document], id: str, body: bytes) -> bytes:
    """The same document for a list: as `coding.decoded` reads it, without an action's code."""
    if kind is not Action:
        return body
    try:
        return _cleaned(parts(kind, id, body))
    except (Unreadable, Conflict):
        return body  # the list says what is wrong with it


def kind_of(id: str, body: bytes, kind: type[Document]) -> str:
    """The document's entity type, as far as `kind` is concerned; empty where it cannot be told."""
    try:
        return _kind(id, _members(body), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def summaries(rows: Iterable[tuple[str, bytes]]) -> list[Activation]:
    """Of ids and what a view gives of each; one that is corrupted is left out, else it would take all others with
    it."""
    found: list[Activation] = []
    for id, value in rows:
        try:
            found.append(_summary(value))
        except UNREADABLE as error:
            log.error("%s is corrupted and left out of lists: %s", id, error)
    return found


def _summary(value: bytes) -> Activation:
    """A record without result, logs and subject, which views do not give. Raises UNREADABLE."""
    row = msgspec.json.decode(value, type=_Summary)
    duration: int | UnsetType = UNSET if row.duration is None else row.duration
    return Activation(
        namespace=row.namespace,
        name=row.name,
        subject="",
        activation_id=row.activation_id,
        start=row.start,
        end=row.end or 0,
        duration=duration,
        cause=UNSET if row.cause is None else row.cause,
        response=Response(row.status_code or 0),
        version=row.version,
        publish=row.publish,
        annotations=row.annotations.copy(),
    )


def _cleaned(read: Parts) -> bytes:
    members: dict[str, object] = {name: value for name, value in read.members.items() if name != OTHER}
    if read.exec:
        members["exec"] = {name: value for name, value in read.exec.items() if name not in ("code", "jar")}
    limits = read.members.get("limits")
    if read.exec and limits is not None and bytes(limits).startswith(b"{"):
        members["limits"] = _given(_members(limits))
    return _encode(members)


def _given(members: dict[str, Raw]) -> dict[str, Raw]:
    return {name: value for name, value in members.items() if bytes(value) != _NULL}


def _as_raw(value: object) -> Raw:
    assert isinstance(value, Raw)
    return value


def _limits(members: dict[str, Raw]) -> UserLimits:
    try:
        return msgspec.json.decode(_encode(members), type=UserLimits)
    except msgspec.MsgspecError as error:
        raise Unreadable(texts.CORRUPTED) from error


def _kind(id: str, members: Mapping[str, Raw], kind: type[Document]) -> str:
    """Subjects and limits are told apart by their ids."""
    if coding.space_of(kind) == "subjects":
        return Limits.entity_type if id.endswith(LIMITS) and "subject" not in members else Subject.entity_type
    given = members.get("entityType")
    if given is not None:
        return _text(given)
    marks = {"exec": "action", "binding": "package", "trigger": "rule", "activationId": "activation"}
    return next((type_ for mark, type_ in marks.items() if mark in members), "trigger")
