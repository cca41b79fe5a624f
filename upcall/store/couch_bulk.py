"""One group of activation records to a CouchDB: `POST /<db>/_bulk_docs`, and what its answer says of each of them.

| answer | so |
|---|---|
| none: the connection broke | at once again, three times |
| 201 or 202, of a document `ok` or `conflict` | it is there; an answer that got lost makes conflicts |
| of a document another error | it is refused, and the others stand |
| 413, 400 | each half for itself, down to the one document that is meant |
| 413 of one document | without its logs, then without its result: what is left of it is worth more than nothing |
| 400 of one document | it is refused |
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
from upcall.store.couch_http import FAILURES, Answer, CouchHttp, cause
from upcall.store.couch_spill import Record

AGAIN = 3
"""Times that a broken connection is tried again at once (spec: store.md §6.3)."""
PATIENCE = 20.0
"""Seconds for one request."""
TOO_LARGE = ("document_too_large", "too_large", "request_entity_too_large")
"""What a document's own error may say of its size."""

STRANGE = "the database's answer is not that of a CouchDB"
LARGE = (
    "the database takes no document of %d bytes: the record of %s is stored without its %s; raise max_document_size "
    "and max_http_request_size there, or the bound of a proxy before it"
)

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
    error: str | None = None
    reason: str | None = None

    @property
    def stands(self) -> bool:
        """Whether the document is there."""
        return self.error in (None, "conflict")

    @property
    def words(self) -> str:
        return f"{self.error}: {self.reason}" if self.reason else str(self.error)


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
        if answer.status not in (400, 413):
            return Told(again=[record.id for record in records], trouble=self._words(answer))
        if len(records) > 1:
            half = len(records) // 2
            return await self.send(records[:half]) + await self.send(records[half:])
        if answer.status == 413:
            return await self._smaller(records[0])
        return Told(refused={records[0].id: self._words(answer)})

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
                told.refused[record.id] = row.words
        return told

    async def _smaller(self, record: Record) -> Told:
        """One that is too large as it is, without what makes it so."""
        for left_out in ("logs", "logs and result"):
            smaller = _without(left_out, record)
            try:
                answer = await self._posted([smaller])
            except (*FAILURES, Unavailable) as error:
                return Told(again=[record.id], trouble=_why(error))
            row = _by_id(answer).get(record.id) if answer.fine else None
            if answer.status == 413 or (row is not None and row.error in TOO_LARGE):
                continue
            if row is None:
                return Told(again=[record.id], trouble=STRANGE if answer.fine else self._words(answer))
            if row.stands:
                log.warning(LARGE, len(record.doc), record.id, left_out)
                return Told(stored=[record.id])
            return Told(refused={record.id: row.words})
        return Told(refused={record.id: f"it is too large ({len(record.doc)} bytes)"})

    def _words(self, answer: Answer) -> str:
        if answer.status == 404:
            return f"the database '{self._database}' does not exist"
        return self._http.refusal(answer)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable) else cause(error)


def _by_id(answer: Answer) -> dict[str, _Row]:
    """Empty where this is no answer of a CouchDB."""
    try:
        return {row.id: row for row in _rows(answer.body)}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def _without(part: str, record: Record) -> Record:
    """Other members stay as they are written."""
    doc = msgspec.json.decode(record.doc, type=dict[str, Raw])
    end = msgspec.json.decode(doc["end"], type=int)
    if part != "logs":
        response = msgspec.json.decode(doc["response"], type=dict[str, Raw])
        response.pop("result", None)
        doc["response"] = Raw(msgspec.json.encode(response))
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end / 1000)) + f".{end % 1000:03d}000000Z"
    line = f"{moment} stderr: Left out, as the database takes no record of {len(record.doc)} bytes: {part}."
    doc["logs"] = Raw(msgspec.json.encode([line]))
    return Record(record.id, msgspec.json.encode(doc))
