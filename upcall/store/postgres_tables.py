"""The SQL for PostgreSQL: functions over one connection to the tables of `migrations/postgres/`."""

import logging
from collections.abc import Iterable, Sequence

import msgspec

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Limits, Subject
from upcall.model.sizes import MB
from upcall.ports import Query, Stored
from upcall.store import coding
from upcall.store.batch import Record
from upcall.store.coding import (
    Space,
    checked,
    decode,
    decoded,
    encode,
    next_rev,
    place_of,
    record_name,
    record_rev,
    space_of,
)
from upcall.store.postgres_link import FAILURES, Connection, at_fault

_INSERT = (
    "INSERT INTO upcall.activations (id, namespace, start, name, doc)"
    " SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[])"
    " ON CONFLICT DO NOTHING"
)

FIRST, MOST_ROWS, CHUNK = 8, 1000, 4 * MB
"""Lists are read in pieces: rows of the first one and of any; bytes that later ones should have."""

_Row = tuple[bytes, bytes, int, bytes, bytes]

log = logging.getLogger(__name__)


async def read(connection: Connection, kind: type[Document], id: str) -> Stored:
    """The newest revision. Raises NotFound, Conflict, Unreadable."""
    if kind is Activation:
        doc = await connection.fetchval("SELECT doc FROM upcall.activations WHERE id = $1", _bytes(id))
        if doc is None:
            raise errors.NotFound
        return Stored(decode(Activation, doc), record_rev(id))
    row = await connection.fetchrow(
        "SELECT kind, rev, doc, text FROM upcall.documents LEFT JOIN upcall.code USING (n)"
        " WHERE space = $1 AND id = $2",
        space_of(kind),
        _bytes(id),
    )
    if row is None:
        raise errors.NotFound
    found, rev, data, code = row
    if found != kind.entity_type:
        raise errors.Conflict(texts.CONFORMANCE)
    return Stored(decode(kind, data, None if code is None else code.decode()), rev)


async def write(connection: Connection, doc: Document, rev: str | None) -> str:
    """Create, or replace `rev`; in a transaction. Raises Conflict."""
    data, code = encode(doc)
    space, kind, id = space_of(type(doc)), doc.entity_type, _bytes(doc.id)
    found = await _revision(connection, space, kind, id)
    if (None if found is None else found[1]) != rev:
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    new = next_rev(rev)
    namespace, package, updated = place_of(doc)
    if found is None:
        n = await connection.fetchval(
            "INSERT INTO upcall.documents (space, id, kind, namespace, package, updated, rev, doc)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING n",
            *(space, id, kind, _bytes(namespace), _bytes(package), updated, new, data),
        )
        if n is None:  # another process was first
            raise errors.Conflict(texts.CONCURRENT_UPDATE)
    else:
        n = found[0]
        update = "UPDATE upcall.documents SET updated = $2, rev = $3, doc = $4 WHERE n = $1"
        await connection.execute(update, n, updated, new, data)
        await connection.execute("DELETE FROM upcall.code WHERE n = $1", n)
        await connection.execute("DELETE FROM upcall.credentials WHERE n = $1", n)
    if code is not None:
        await connection.execute("INSERT INTO upcall.code (n, text) VALUES ($1, $2)", n, code.encode())
    if isinstance(doc, Subject):
        entries = [(n, _bytes(entry.uuid), _bytes(entry.name)) for entry in doc.namespaces]
        await connection.executemany("INSERT INTO upcall.credentials (n, uuid, namespace) VALUES ($1, $2, $3)", entries)
    return new


async def remove(connection: Connection, kind: type[Document], id: str, rev: str) -> None:
    """In a transaction. Raises NotFound, Conflict."""
    if kind is Activation:
        await _remove_record(connection, id, rev)
        return
    found = await _revision(connection, space_of(kind), kind.entity_type, _bytes(id))
    if found is None:
        raise errors.NotFound
    n, current = found
    if current != rev:
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    await connection.execute("DELETE FROM upcall.documents WHERE n = $1", n)


async def select(connection: Connection, kind: type[Document], query: Query) -> list[Document]:
    """Newest first; of equals, what was made last. Without those that cannot be decoded. Raises BadRequest for more
    records than memory is for."""
    where, by, values = _where(kind, query)
    _, _, skip, limit = checked(query)
    at = len(values)
    sql = f"SELECT id, doc FROM {where} ORDER BY {by} DESC, n DESC LIMIT ${at + 1} OFFSET ${at + 2}"  # noqa: S608
    rows: list[tuple[str, bytes]] = []
    found: list[Document] = []
    size = 0
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(sql, *values, limit, skip)
        wanted = FIRST
        while chunk := await cursor.fetch(wanted):
            rows += ((id.decode(errors="replace"), doc) for id, doc in chunk)
            size += sum(len(doc) for _, doc in chunk)
            if not query.whole:
                found += decoded(kind, rows, False)
                rows.clear()
            elif kind is Activation and size > coding.LARGEST_LIST:
                break  # no more is needed to refuse it
            if len(chunk) < wanted:
                break
            wanted = max(1, min(MOST_ROWS, CHUNK * wanted // max(1, sum(len(doc) for _, doc in chunk))))
    return found + decoded(kind, rows, query.whole)


async def count(connection: Connection, kind: type[Document], query: Query) -> int:
    where, _, values = _where(kind, query)
    return max(0, int(await connection.fetchval(f"SELECT count(*) FROM {where}", *values)) - query.skip)  # noqa: S608


async def insert_record(connection: Connection, activation: Activation) -> str:
    """Raises Conflict where the id is taken."""
    name = record_name(activation.name, activation.annotations)
    row = _row(activation.id, activation.namespace, activation.start, name, encode(activation)[0])
    if await _insert(connection, [row]) == 0:
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    return record_rev(activation.id)


async def insert_records(connection: Connection, records: Sequence[Record]) -> None:
    """Add records; of two with one id the first one stays. Outside of a transaction: each statement is one."""
    try:
        written = await _insert(connection, [_record(each) for each in records])
    except (*FAILURES, ValueError, msgspec.MsgspecError) as error:
        if isinstance(error, FAILURES) and not at_fault(error):
            raise
        written = 0  # one of them is at fault; the others must not suffer for it
        for each in records:
            written += await _insert_alone(connection, each)
    if written < len(records):
        log.warning("%d activation records were stored already, or could not be", len(records) - written)


async def recorded(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that have a record."""
    wanted = {_bytes(id): id for id in ids}
    rows = await connection.fetch("SELECT id FROM upcall.activations WHERE id = ANY($1)", list(wanted))
    return {wanted[id] for (id,) in rows}


async def subjects_by(connection: Connection, column: str, value: str) -> list[Subject]:
    """Subjects with this `uuid` or `namespace` among their credentials."""
    having = f"SELECT n FROM upcall.credentials WHERE {column} = $1"  # noqa: S608
    sql = f"SELECT doc FROM upcall.documents WHERE n IN ({having}) ORDER BY n"  # noqa: S608
    rows = await connection.fetch(sql, _bytes(value))
    subjects = (decode(Subject, data) for (data,) in rows)
    return [subject for subject in subjects if isinstance(subject, Subject)]


async def ids(connection: Connection, space: Space, after: str, limit: int) -> list[tuple[str, str]]:
    """In the order of the ids, each with its document's kind."""
    if space == "activations":
        sql = "SELECT id, 'activation' FROM upcall.activations WHERE id > $1 ORDER BY id LIMIT $2"
        rows = await connection.fetch(sql, _bytes(after), limit)
    else:
        sql = "SELECT id, kind FROM upcall.documents WHERE space = $1 AND id > $2 ORDER BY id LIMIT $3"
        rows = await connection.fetch(sql, space, _bytes(after), limit)
    return [(id.decode("utf-8", "surrogatepass"), kind) for id, kind in rows]


async def accounts(connection: Connection) -> tuple[list[Subject], list[Limits]]:
    """Every subject and every namespace's limits."""
    rows = await connection.fetch("SELECT kind, doc FROM upcall.documents WHERE space = 'subjects'")
    docs = [decode(Subject if kind == Subject.entity_type else Limits, data) for kind, data in rows]
    return [doc for doc in docs if isinstance(doc, Subject)], [doc for doc in docs if isinstance(doc, Limits)]


async def _revision(connection: Connection, space: str, kind: str, id: bytes) -> tuple[int, str] | None:
    """Row number and revision, kept from others until the transaction's end. Raises Conflict where the id belongs to
    another kind."""
    row = await connection.fetchrow(
        "SELECT kind, n, rev FROM upcall.documents WHERE space = $1 AND id = $2 FOR UPDATE", space, id
    )
    if row is None:
        return None
    if row[0] != kind:
        raise errors.Conflict(texts.CONFORMANCE)
    return row[1], row[2]


async def _remove_record(connection: Connection, id: str, rev: str) -> None:
    deleted = "DELETE FROM upcall.activations WHERE id = $1 RETURNING n"
    if rev == record_rev(id):
        if await connection.fetchval(deleted, _bytes(id)) is None:
            raise errors.NotFound
        return
    there = await connection.fetchval("SELECT 1 FROM upcall.activations WHERE id = $1", _bytes(id))
    raise errors.Conflict(texts.CONCURRENT_UPDATE) if there else errors.NotFound


def _where(kind: type[Document], query: Query) -> tuple[str, str, list[object]]:
    """Table and conditions, the column that orders, the values."""
    since, upto, _, _ = checked(query)
    values: list[object] = [_bytes(query.namespace), since, upto]
    if kind is Activation:
        where, by, more, wanted = "upcall.activations WHERE namespace = $1", "start", "name", query.name
    else:
        values.append(kind.entity_type)
        where, by = "upcall.documents WHERE kind = $4 AND namespace = $1", "updated"
        more, wanted = "package", query.package
    where += f" AND {by} BETWEEN $2 AND $3"
    if wanted is not None:
        values.append(_bytes(wanted))
        where += f" AND {more} = ${len(values)}"
    return where, by, values


def _bytes(text: str) -> bytes:
    """Any text, what is no text elsewhere too: nothing has such a name, and that is found out by looking."""
    return text.encode("utf-8", "surrogatepass")


def _row(id: str, namespace: str, start: int, name: str, doc: bytes) -> _Row:
    return _bytes(id), _bytes(namespace), start, _bytes(name), doc


def _record(record: Record) -> _Row:
    id, namespace, start, name, annotations, doc = record
    return _row(id, namespace, start, record_name(name, annotations), doc)


async def _insert(connection: Connection, rows: Sequence[_Row]) -> int:
    """The number of rows that were not there."""
    status: str = await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)))
    return int(status.rpartition(" ")[2])


async def _insert_alone(connection: Connection, record: Record) -> int:
    try:
        return await _insert(connection, [_record(record)])
    except (*FAILURES, ValueError, msgspec.MsgspecError) as error:
        if isinstance(error, FAILURES) and not at_fault(error):
            raise
        log.exception("the record of activation %s cannot be stored", record[0])
        return 0
