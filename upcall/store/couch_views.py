"""Lists and counts over CouchDB's views (spec: entities.md §8): pages of rows, newest first, as upstream asks for them.

    list     descending from [namespace, upto, "￰"] to [namespace, since]
    count    the same range, reduced

A page begins at the key of the last row that was read, behind as many rows as were read with that key: keys are not
unique, and not every server heeds `startkey_docid`. So new rows, which come in front, shift nothing. A page that is
larger than an answer may be is asked for again, with half the rows.

Kinds that upstream has no view of are found by their ids, which begin with the namespace: there are few of them.
"""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from upcall.errors import Unavailable
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.names import Json
from upcall.model.sizes import MB
from upcall.ports import Query
from upcall.store.coding import MOST, checked
from upcall.store.couch_designs import ACTIVATIONS, VIEWS
from upcall.store.couch_http import UNREADABLE, Answer, CouchHttp, Oversized, fault

T = TypeVar("T")

FIRST, MOST_ROWS = 30, 1000
"""Rows of a first page, and of a later one at most."""
CHUNK = 4 * MB
"""Bytes that a later page should have."""
LAST = "\ufff0"
"""Comes after each number in an order of keys."""
LARGEST_SKIP = 2**53 - 1


class Row(msgspec.Struct):
    """Of a view, or of all documents; what is not there is null."""

    id: str = ""
    key: Raw = Raw(b"null")
    value: Raw = Raw(b"null")
    doc: Raw = Raw(b"null")

    @property
    def document(self) -> bytes | None:
        """Where it was asked for, and is there."""
        found = bytes(self.doc)
        return None if found == b"null" else found


class _Page(msgspec.Struct):
    rows: list[Row]


class Range(NamedTuple):
    """A view and what is wanted of it, from high to low."""

    database: str
    design: str
    view: str
    high: Json
    low: Json


_page = msgspec.json.Decoder(_Page).decode
_encode = msgspec.json.Encoder().encode


def key(value: Json) -> str:
    """As a parameter of a query. Raises UnicodeEncodeError, a ValueError, for what is no text."""
    return _encode(value).decode()


def range_of(http: CouchHttp, kind: type[Document], query: Query) -> Range | None:
    """Where the documents of a list are; None where no view has them. Raises ValueError."""
    since, upto, _, _ = checked(query)
    url, begin = http.url, query.namespace
    if kind is Activation:
        design = url.designs.activations
        if query.name is not None:
            begin, design = f"{begin}/{query.name}", url.designs.filters
        place = url.activations, design, ACTIVATIONS
    elif kind.entity_type in VIEWS:
        if query.package is not None:
            begin = f"{begin}/{query.package}"
        place = url.entities, url.designs.entities, VIEWS[kind.entity_type]
    else:
        return None
    high: list[Json] = [begin, LAST if upto == MOST else upto, LAST]
    return Range(*place, high, [begin, max(since, 0)])


async def rows(http: CouchHttp, place: Range, query: Query, *, documents: bool) -> AsyncIterator[Row]:
    """Raises Unavailable."""
    _, _, skip, limit = checked(query)
    asked = {"descending": "true", "reduce": "false", "endkey": key(place.low), "startkey": key(place.high)}
    asked["include_docs"] = "true" if documents else "false"
    skip = min(skip, LARGEST_SKIP)
    wanted, seen = FIRST, set[str]()
    while limit > 0:
        size = min(wanted, limit)
        asked |= {"skip": str(skip), "limit": str(size)}
        try:
            answer = await view(http, place.database, place.design, place.view, asked)
        except Oversized:
            if size == 1:
                raise
            wanted = size // 2
            continue
        found = page(answer)
        for row in [row for row in found if row.id not in seen]:
            yield row
            seen.add(row.id)
            limit -= 1
        if len(found) < size:
            return
        first, last = (bytes(found[at].key) for at in (0, -1))
        if first == last:  # nobody knows whether others with this key were skipped
            skip += size
        else:
            asked["startkey"] = last.decode()
            skip = sum(bytes(row.key) == last for row in found)
        wanted = max(1, min(MOST_ROWS, CHUNK * len(found) // len(answer.body)))


async def count(http: CouchHttp, place: Range, skip: int) -> int:
    """Raises Unavailable."""
    asked = {"reduce": "true", "startkey": key(place.low), "endkey": key(place.high)}
    found = page(await view(http, place.database, place.design, place.view, asked))
    return max(0, (valued(found[0].value, int) if found else 0) - skip)


async def view(http: CouchHttp, database: str, design: str, name: str, query: Mapping[str, str]) -> Answer:
    """Raises Unavailable."""
    answer = await http.view(database, design, name, query)
    if answer.status == 404:
        why = f"its view {design}/{name} in {database} is not there ({fault(answer)})"
        raise Unavailable(texts.store_silent(why))
    return answer


async def below(http: CouchHttp, database: str, begin: str, after: str = "") -> AsyncIterator[Row]:
    """Documents whose ids begin so, in the order of ids; none of CouchDB's own, and none up to `after`. Raises
    Unavailable."""
    asked = {"include_docs": "true", "limit": str(MOST_ROWS)}
    if begin:
        asked |= {"startkey": key(begin), "endkey": key(f"{begin}{LAST}")}
    if after:
        asked["startkey"] = key(after)
    while True:
        answer = await http.read(database, "_all_docs", query=asked, absent=False)
        found = page(answer)
        for row in found:
            if row.id != after and not row.id.startswith("_"):
                yield row
        if len(found) < MOST_ROWS:
            return
        after = found[-1].id
        asked["startkey"] = key(after)  # it may be gone by then


def page(answer: Answer) -> list[Row]:
    """Raises Unavailable where the answer is none."""
    try:
        return _page(answer.body).rows
    except UNREADABLE as error:
        raise Unavailable(texts.store_silent("the database's answer cannot be read")) from error


def valued(value: Raw, type_: type[T]) -> T:
    """Of a row. Raises Unavailable where it is something else."""
    try:
        return msgspec.json.decode(value, type=type_)
    except UNREADABLE as error:
        raise Unavailable(texts.store_silent("the database's answer cannot be read")) from error
