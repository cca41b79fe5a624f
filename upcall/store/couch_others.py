"""Members of packages, triggers and rules that this release does not know: they lie among the others in CouchDB, and
under `other` with us, so that a document that goes through us comes out whole."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw

from upcall.model.documents import Document
from upcall.model.entities import Package, Rule, Trigger

OTHER = "other"


def gathered(doc: Document, members: Mapping[str, Raw]) -> Document:
    """The document with what its struct has no place for. Raises msgspec.MsgspecError."""
    if isinstance(doc, Package | Trigger | Rule):
        known = {*doc.__struct_fields__, "entityType"} - {OTHER}
        other = {
            name: msgspec.json.decode(value)
            for name, value in members.items()
            if name not in known and not name.startswith("_")
        }
        doc.other = other or UNSET
    return doc


def spread(members: Mapping[str, Raw]) -> dict[str, object]:
    """The members of a document as CouchDB has them."""
    if OTHER not in members:
        return dict(members)
    others = msgspec.json.decode(members[OTHER], type=dict[str, Raw])
    return {**others, **{name: value for name, value in members.items() if name != OTHER}}
