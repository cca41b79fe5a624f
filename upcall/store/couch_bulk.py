"""One group of activation records to a CouchDB: `POST /<db>/_bulk_docs`, and what its answer says of each of them.

| answer | so |
|---|---|
| none: the connection broke | at once again, three times |
| 201 or 202, of a document `ok` or `conflict` | it is there; an answer that got lost makes conflicts |
| of a document that it may not be, for itself | it is refused, and the others stand |
| of a document another error | it has to be tried again: a node of the server may be away |
| 413, 400 | each half for itself, down to the one document that is meant |
| 413 or 400 of one document | without its logs, then without its result: what is left is worth more than nothing |
| 400 in other words than CouchDB's | the whole group has to be tried again |
| any other | the whole group has to be tried again |

A document without its result stays a whole record to every reader: status, times and annotations are what they were
(spec: store.md §6; a result may be missing), and a line in its logs says what was left out.
"""

import logging
import time
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from upcall.errors import Unavailable
from upcall.store.couch_http import FAILURES, UNREADABLE, Answer, CouchHttp, cause, fault
from upcall.store.couch_spill import Record

AGAIN = 3
"""Times that a broken connection is tried again at once (spec: store.md §6.3)."""
PATIENCE = 20.0
"""Seconds for one request."""
FINAL = ("forbidden", "unauthorized", "bad_request", "doc_validation", "illegal_docid", "invalid_json")
"""What is said of a document by who has looked at it."""
TOO_LARGE = ("document_too_large", "too_large", "request_entity_too_large")
"""What a document's own error may say of its size."""

STRANGE = "the database's answer is not that of a CouchDB"
LARGE = (
    "the database takes no document of %d bytes: the record of %s is stored without its %s; raise max_document_size "
    "and max_http_request_size there, or the bound of a proxy before it"
)
ODD = "the database cannot read the record of %s: it is stored without its %s"

log = logging.getLogger(__name__)


class Told(msgspec.Struct):
    """What became of a group, by ids. `trouble` says why some have to be tried again."""

    stored: list[str] = []
    refused: dict[str, str] = {}
    again: list[str] = []
    trouble: str | None = None

    def __add__(self, other: "Told") -> "Told":
        return Told(
            self.stored + other.stored,
            self.refused | other.refused,
            self.again + other.again,
            self.trouble or other.trouble,
        )


class _Row(msgspec.Struct):
    id: str = ""
    rev: str = ""
    error: str | None = None
    reason: str | None = None

    @property
    def stands(self) -> bool:
        """Whether the document is there."""
        return self.error == "conflict" or (self.error is None and bool(self.rev))

    @property
    def words(self) -> str:
        if self.error is None:
            return STRANGE
        return f"{self.error}: {self.reason}" if self.reason else self.error


_rows = msgspec.json.Decoder(list[_Row]).decode


class Bulk:
    """Writes to `database` on `http`."""

    def __init__(self, http: CouchHttp, database: str) -> None:
        self._http = http
        self._database = database

    async def send(self, records: Sequence[Record]) -> Told:
        """Never raises: what goes wrong is in what it tells."""
        try:
            answer = await self._posted(records)
        except (*FAILURES, Unavailable) as error:
            return Told(again=[record.id for record in records], trouble=_why(error))
        if answer.fine:
            return await self._judged(records, answer)
        if answer.status != 413 and (answer.status != 400 or not fault(answer)):
            return Told(again=[record.id for record in records], trouble=self._words(answer))
        if len(records) > 1:
            half = len(records) // 2
            return await self.send(records[:half]) + await self.send(records[half:])
        return await self._smaller(records[0], self._words(answer) if answer.status == 400 else "")

    async def _posted(self, records: Sequence[Record]) -> Answer:
        """Raises FAILURES, Unavailable."""
        body = b'{"docs":[' + b",".join(record.doc for record in records) + b"]}"
        self._http.calls.batches.observe(len(records))
        for left in range(AGAIN, -1, -1):
            try:
                return await self._http.call("POST", self._database, "_bulk_docs", body=body, patience=PATIENCE)
            except TimeoutError:
                raise
            except FAILURES:
                if not left:
                    raise
        raise AssertionError

    async def _judged(self, records: Sequence[Record], answer: Answer) -> Told:
        """Of what the answer does not speak, nobody knows whether it is there."""
        rows, told = _by_id(answer), Told()
        for record in records:
            row = rows.get(record.id)
            if row is None:
                told += Told(again=[record.id], trouble=STRANGE)
            elif row.stands:
                told.stored.append(record.id)
            elif row.error in TOO_LARGE:
                told += await self._smaller(record)
            else:
                told += _failed(row, record)
        return told

    async def _smaller(self, record: Record, odd: str = "") -> Told:
        """One that is too large as it is, or `odd`, in words, without what makes it so."""
        for left_out in ("logs", "logs and result"):
            smaller = _without(left_out, record, odd)
            try:
                answer = await self._posted([smaller])
            except (*FAILURES, Unavailable) as error:
                return Told(again=[record.id], trouble=_why(error))
            row = _by_id(answer).get(record.id) if answer.fine else None
            if answer.status in (400, 413) or (row is not None and row.error in TOO_LARGE):
                continue
            if row is None:
                return Told(again=[record.id], trouble=STRANGE if answer.fine else self._words(answer))
            words = record.id, left_out
            if row.stands:
                log.warning("%s", ODD % words if odd else LARGE % (len(record.doc), *words))
                return Told(stored=[record.id])
            return _failed(row, record)
        return Told(refused={record.id: odd or f"it is too large ({len(record.doc)} bytes)"})

    def _words(self, answer: Answer) -> str:
        if answer.status == 404:
            return f"the database '{self._database}' does not exist"
        return self._http.refusal(answer)


def _failed(row: _Row, record: Record) -> Told:
    """Of a document that is not there."""
    if row.error in FINAL:
        return Told(refused={record.id: row.words})
    return Told(again=[record.id], trouble=row.words)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable) else cause(error)


def _by_id(answer: Answer) -> dict[str, _Row]:
    """Empty where this is no answer of a CouchDB."""
    try:
        return {row.id: row for row in _rows(answer.body)}
    except UNREADABLE:
        return {}


def _without(part: str, record: Record, odd: str) -> Record:
    """Other members stay as they are written."""
    doc = msgspec.json.decode(record.doc, type=dict[str, Raw])
    end = msgspec.json.decode(doc["end"], type=int)
    if part != "logs":
        response = msgspec.json.decode(doc["response"], type=dict[str, Raw])
        response.pop("result", None)
        doc["response"] = Raw(msgspec.json.encode(response))
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end / 1000)) + f".{end % 1000:03d}000000Z"
    why = "cannot read this record" if odd else f"takes no record of {len(record.doc)} bytes"
    line = f"{moment} stderr: Left out, as the database {why}: {part}."
    doc["logs"] = Raw(msgspec.json.encode([line]))
    return Record(record.id, msgspec.json.encode(doc))
