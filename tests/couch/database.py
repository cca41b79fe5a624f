"""One database of the tests' CouchDB: documents with revisions, tombstones and attachments, as CouchDB 3 keeps them."""

import asyncio
import base64
import copy
import hashlib
import json
from typing import Any

from tests.couch.views import VIEWS, Doc, order


class Refusal(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.error, self.reason = status, error, reason


CONFLICT = (409, "conflict", "Document update conflict.")
MISSING, DELETED = (404, "not_found", "missing"), (404, "not_found", "deleted")


class Database:
    """`docs` has tombstones, too. `largest` is the bound of one document in bytes; ids of `refused` may not be
    written."""

    def __init__(self) -> None:
        self.docs: dict[str, Doc] = {}
        self.attached: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.refused: dict[str, str] = {}
        self.changes: list[tuple[str, str]] = []
        self.changed = asyncio.Condition()
        self._indexes: dict[tuple[str, str], list[Doc]] = {}

    def live(self) -> list[Doc]:
        return [doc for doc in self.docs.values() if not doc.get("_deleted")]

    def get(self, id: str, rev: str | None = None) -> Doc:
        doc = self.docs.get(id)
        if doc is None or (rev is not None and rev != doc["_rev"]):
            raise Refusal(*MISSING)
        if doc.get("_deleted"):
            raise Refusal(*DELETED)
        return doc

    def shown(self, id: str, rev: str | None = None, inline: bool = False) -> Doc:
        """With stubs of its attachments, or their data."""
        doc = copy.deepcopy(self.get(id, rev))
        attached = self.attached.get(id, {})
        if attached:
            doc["_attachments"] = {name: _stub(*each, inline=inline) for name, each in attached.items()}
        return doc

    def write(self, doc: Doc, rev: str | None) -> Doc:
        """`{ok,id,rev}`. A document that was deleted may be made again without a revision, or with its tombstone's."""
        id, old = doc["_id"], self.docs.get(doc["_id"])
        if id in self.refused:
            raise Refusal(403, "forbidden", self.refused[id])
        current = old["_rev"] if old is not None else None
        gone = old is not None and old.get("_deleted", False)
        if rev != current and not (rev is None and gone):
            raise Refusal(*CONFLICT)
        attachments = doc.pop("_attachments", {})
        kept = self.attached.get(id, {}) if not gone else {}
        self.attached[id] = {
            name: kept[name] if each.get("stub") else _given(each) for name, each in attachments.items()
        }
        count = int(current.partition("-")[0]) + 1 if current else 1
        text = json.dumps([doc, sorted(self.attached[id]), current], sort_keys=True)
        new = f"{count}-{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"
        self.docs[id] = {**doc, "_rev": new}
        self.changes.append((id, new))
        return {"ok": True, "id": id, "rev": new}

    def attach(self, id: str, name: str, kind: str, data: bytes, rev: str | None) -> Doc:
        doc: Doc = self.shown(id) if id in self.docs else {"_id": id}
        kept: Doc = doc.pop("_attachments", {})
        doc.pop("_rev", None)
        given = {"content_type": kind, "data": base64.b64encode(data).decode()}
        return self.write({**doc, "_attachments": {**kept, name: given}}, rev)

    def bulk(self, docs: list[Doc]) -> list[Doc]:
        """In the order of the request."""
        rows = []
        for doc in docs:
            given = {key: value for key, value in doc.items() if key != "_rev"}
            try:
                rows.append(self.write(given, doc.get("_rev")))
            except Refusal as error:
                rows.append({"id": doc["_id"], "error": error.error, "reason": error.reason})
        return rows

    def all(self, query: dict[str, Any]) -> Doc:
        rows = [{"id": doc["_id"], "key": doc["_id"], "value": {"rev": doc["_rev"]}} for doc in self.live()]
        if "keys" in query:
            found = {row["id"]: row for row in rows}
            listed = [found.get(key, {"key": key, "error": "not_found"}) for key in query["keys"]]
            return {"total_rows": len(rows), "offset": 0, "rows": listed}
        return {"total_rows": len(rows), "offset": 0, "rows": self._chosen(rows, query)}

    def view(self, design: str, name: str, query: dict[str, Any]) -> Doc:
        """`stale` answers with what the index had; one that was never asked for is empty then."""
        views = self.get(f"_design/{design}").get("views", {})
        if name not in views:
            raise Refusal(404, "not_found", "missing_named_view")
        stale = query.get("stale")
        before = self._indexes.get((design, name), [])
        if stale != "ok":
            self._indexes[design, name] = self._rows(design, name)
        rows = before if stale else self._indexes[design, name]
        if query.get("reduce", "reduce" in views[name]):
            chosen = self._chosen(rows, {**query, "include_docs": False})
            return {"rows": [{"key": None, "value": len(chosen)}] if chosen else []}
        return {"total_rows": len(rows), "offset": 0, "rows": self._chosen(rows, query)}

    def _rows(self, design: str, name: str) -> list[Doc]:
        emit = VIEWS[design, name]
        docs = [doc for doc in self.live() if not doc["_id"].startswith("_design/")]
        return [{"id": doc["_id"], "key": key, "value": value} for doc in docs for key, value in emit(doc)]

    def _chosen(self, rows: list[Doc], query: dict[str, Any]) -> list[Doc]:
        down = query.get("descending", False)
        sign = -1 if down else 1
        rows = sorted(rows, key=lambda row: (order(row["key"]), row["id"]), reverse=down)
        if "key" in query:
            rows = [row for row in rows if row["key"] == query["key"]]
        for end, side in (("startkey", sign), ("endkey", -sign)):
            if end in query:
                rows = [row for row in rows if _beyond(row, query[end], query.get(f"{end}_docid"), side)]
        rows = rows[query.get("skip", 0) :][: query.get("limit", len(rows))]
        return [self._with_document(row) for row in rows] if query.get("include_docs") else rows

    def _with_document(self, row: Doc) -> Doc:
        """A value may name another one."""
        value = row["value"]
        id: Any = value.get("_id", row["id"]) if isinstance(value, dict) else row["id"]
        doc = self.docs.get(id)
        return {**row, "doc": None if doc is None or doc.get("_deleted") else self.shown(id)}


def _beyond(row: Doc, key: Any, docid: str | None, side: int) -> bool:
    """Whether it is not before (side 1) or not behind (-1) a key."""
    mine: Any = order(row["key"])
    its: Any = order(key)
    if docid is not None:
        mine, its = (mine, row["id"]), (its, docid)
    return bool(mine >= its if side > 0 else mine <= its)


def _given(each: Doc) -> tuple[str, bytes]:
    return each.get("content_type", "application/octet-stream"), base64.b64decode(each["data"])


def _stub(kind: str, data: bytes, *, inline: bool) -> Doc:
    digest = "md5-" + base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    stub: Doc = {"content_type": kind, "revpos": 1, "digest": digest}
    return stub | ({"data": base64.b64encode(data).decode()} if inline else {"length": len(data), "stub": True})
