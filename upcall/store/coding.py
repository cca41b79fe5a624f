"""What documents look like in a store, whatever the store: bytes, a place in the lists, an action's code apart.

An id belongs to one of three spaces, which are upstream's three databases: entities share one (an action and a trigger
cannot have one name), subjects and limits the second, activations have the third.
"""

import logging
import re
import secrets
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, structs

from upcall.errors import BadRequest, Unreadable
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Action, Limits, Subject
from upcall.ports import Query, Stored

Space = Literal["whisks", "subjects", "activations"]

LEAST, MOST = -(2**63), 2**63 - 1
"""What SQL databases and our sort keys can hold."""

LARGEST_LIST = 64 * 1024 * 1024
"""Bytes of the records of one list."""

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_decoders: dict[type[Document], msgspec.json.Decoder[Document]] = {}
_REV = re.compile(r"(\d+)-[0-9a-f]+", re.ASCII)


class Place(NamedTuple):
    """Where lists find a document. Subjects are in no namespace."""

    namespace: str
    package: str
    updated: int


class _Annotation(msgspec.Struct, gc=False):
    key: str
    value: Raw


_annotations = msgspec.json.Decoder(list[_Annotation]).decode
_text = msgspec.json.Decoder(str).decode
_names: dict[str, tuple[bytes, str]] = {}
"""By an action's name, how annotations begin and what lists call it."""
_NAMES = 1000
_NONE = b"", ""


def space_of(kind: type[Document]) -> Space:
    if kind is Activation:
        return "activations"
    return "subjects" if kind in (Subject, Limits) else "whisks"


def place_of(doc: Document) -> Place:
    """Packaged actions have `namespace/package` for a namespace (spec: entities.md §1)."""
    namespace, _, package = getattr(doc, "namespace", "").partition("/")
    return Place(namespace, package, getattr(doc, "updated", 0))


def encode(doc: Document) -> tuple[bytes, str | None]:
    """The document without an action's code, and the code."""
    if isinstance(doc, Action) and isinstance(doc.exec.code, str):
        return _encode(structs.replace(doc, exec=structs.replace(doc.exec, code=UNSET))), doc.exec.code
    return _encode(doc), None


def decode(kind: type[Document], data: bytes, code: str | None = None) -> Document:
    """Raises Unreadable."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        doc = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(texts.CORRUPTED) from error
    if code is not None and isinstance(doc, Action):
        doc.exec.code = code
    return doc


def decoded(kind: type[Document], rows: Iterable[tuple[str, bytes]], whole: bool = True) -> list[Document]:
    """For lists, ids with documents: one that is corrupted is left out, else it would take all others with it. Give it
    rows that are read as they are asked for: what is not to be whole is small. Raises BadRequest for more records than
    memory is for."""
    found: list[Document] = []
    size = 0
    for id, data in rows:
        size += len(data)
        if whole and kind is Activation and size > LARGEST_LIST and found:
            raise BadRequest(texts.list_too_large(len(found), LARGEST_LIST))
        try:
            doc = decode(kind, data)
            found.append(doc if whole else _outline(doc))
        except Unreadable as error:
            log.error("%s is corrupted and left out of lists: %s", id, error.__cause__)
    return found


def _outline(doc: Document) -> Document:
    """A copy that shares nothing with the bytes that it was decoded from."""
    if isinstance(doc, Activation):
        response = structs.replace(doc.response, result=UNSET)
        return structs.replace(doc, logs=[], response=response, annotations=doc.annotations.copy())
    return structs.replace(doc, parameters=[]) if isinstance(doc, Action) else doc


def next_rev(rev: str | None) -> str:
    """Random behind the count, so that a document that was deleted and made again has no revision it had before."""
    match = _REV.fullmatch(rev or "")
    return f"{int(match[1]) + 1 if match else 1}-{secrets.token_hex(8)}"


def exactly(found: Stored, id: str, rev: str | None) -> Stored:
    """What was found, if it is the revision that was asked for. Raises Unreadable."""
    if rev is not None and found.rev != rev:
        raise Unreadable(f"Revision {rev} of {id} is not the current one, {found.rev} is.")
    return found


def record_rev(id: str) -> str:
    """Records are written once: their revision follows from their id."""
    return f"1-{id.rpartition('/')[2]}"


def record_name(name: str, annotations: Raw) -> str:
    """What lists of activations filter by: `action`, or `package/action`, where the binding's name goes before the
    package's own (spec: entities.md §8).

    Records of one action have the same annotations up to `waitTime`, so what the last one said is remembered: 0.3 us
    for 1.6.
    """
    data = bytes(annotations)
    begin, found = _names.get(name, _NONE)
    rest = len(begin)
    if rest and data.startswith(begin) and data.find(b'"path"', rest) < 0 and data.find(b'"binding"', rest) < 0:
        return found
    found = _record_name(name, annotations)
    before, mark, after = data.partition(b'"waitTime"')
    if mark and b'"path"' not in after and b'"binding"' not in after:
        if len(_names) >= _NAMES:
            _names.clear()
        _names[name] = before + mark, found
    return found


def _record_name(name: str, annotations: Raw) -> str:
    path = binding = ""
    for annotation in _annotations(annotations):
        if annotation.key == "path":
            path = _as_text(annotation.value)
        elif annotation.key == "binding":
            binding = _as_text(annotation.value)
    if binding:
        return f"{binding.rpartition('/')[2]}/{name}"
    parts = path.split("/")
    return f"{parts[1]}/{name}" if len(parts) == 3 else name


def _as_text(value: Raw) -> str:
    return _text(value) if bytes(value).startswith(b'"') else ""


def checked(query: Query) -> tuple[int, int, int, int]:
    """`since`, `upto`, `skip`, `limit`, each within what a database can hold; no limit (0) is as much as there can be.
    Raises ValueError for negative ones."""
    since, upto = query.since or 0, MOST if query.upto is None else query.upto
    if min(since, upto, query.skip, query.limit) < 0:
        raise ValueError(f"negative argument: {query}")
    return (
        LEAST if query.since is None else min(since, MOST),
        min(upto, MOST),
        min(query.skip, MOST),
        min(query.limit or MOST, MOST),
    )
