"""The SQL: functions over one connection to the tables of `migrations/`. They run in a worker's thread."""

import logging
import sqlite3
from collections.abc import Sequence
from itertools import chain

import msgspec

from upcall import errors
from upcall.model import texts
from upcall.model.activation import Activation
from upcall.model.documents import Document
from upcall.model.entities import Limits, Subject
from upcall.ports import Query, Stored
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

_CHUNKS = (128, 64, 32, 16, 8, 4, 2, 1)
_RECORD = "INSERT OR IGNORE INTO activations (id, namespace, start, name, doc) VALUES "
_INSERT = {size: _RECORD + ",".join(["(?,?,?,?,?)"] * size) for size in _CHUNKS}
"""Many rows in one statement: the interpreter's lock changes hands per statement, not per row; with a busy loop each
change costs some 5 us."""

_AT_FAULT = (
    ValueError,
    TypeError,
    OverflowError,
    msgspec.MsgspecError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""Errors that say that a row is wrong, rather than the database or the disk."""

log = logging.getLogger(__name__)


def read(connection: sqlite3.Connection, kind: type[Document], id: str) -> Stored:
    """The newest revision. Raises NotFound, Conflict, Unreadable."""
    if kind is Activation:
        record = connection.execute("SELECT doc FROM activations WHERE id = ?", (id,)).fetchone()
        if record is None:
            raise errors.NotFound
        return Stored(decode(Activation, record[0]), record_rev(id))
    row = connection.execute(
        "SELECT kind, rev, doc, text FROM documents LEFT JOIN code USING (n) WHERE space = ? AND id = ?",
        (space_of(kind), id),
    ).fetchone()
    if row is None:
        raise errors.NotFound
    found, rev, data, code = row
    if found != kind.entity_type:
        raise errors.Conflict(texts.CONFORMANCE)
    return Stored(decode(kind, data, code), rev)


def write(connection: sqlite3.Connection, doc: Document, rev: str | None) -> str:
    """Create, or replace `rev`. Raises Conflict."""
    data, code = encode(doc)
    space, kind = space_of(type(doc)), doc.entity_type
    found = _revision(connection, space, kind, doc.id)
    if (None if found is None else found[1]) != rev:
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    new = next_rev(rev)
    (n,) = connection.execute(
        "INSERT INTO documents (space, id, kind, namespace, package, updated, rev, doc) VALUES (?,?,?,?,?,?,?,?)"
        " ON CONFLICT (space, id) DO UPDATE SET updated = excluded.updated, rev = excluded.rev, doc = excluded.doc"
        " RETURNING n",
        (space, doc.id, kind, *place_of(doc), new, data),
    ).fetchone()
    if found is not None:
        _forget(connection, n)
    if code is not None:
        connection.execute("INSERT INTO code (n, text) VALUES (?,?)", (n, code))
    if isinstance(doc, Subject):
        entries = [(n, entry.uuid, entry.name) for entry in doc.namespaces]
        connection.executemany("INSERT INTO credentials (n, uuid, namespace) VALUES (?,?,?)", entries)
    return new


def remove(connection: sqlite3.Connection, kind: type[Document], id: str, rev: str) -> None:
    """Raises NotFound, Conflict."""
    if kind is Activation:
        _remove_record(connection, id, rev)
        return
    found = _revision(connection, space_of(kind), kind.entity_type, id)
    if found is None:
        raise errors.NotFound
    n, current = found
    if current != rev:
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    _forget(connection, n)
    connection.execute("DELETE FROM documents WHERE n = ?", (n,))


def select(connection: sqlite3.Connection, kind: type[Document], query: Query) -> list[Document]:
    """Newest first; of equals, what was made last. Without those that cannot be decoded."""
    where, values = _where(kind, query)
    _, _, skip, limit = checked(query)
    rows = connection.execute(f"SELECT id, doc FROM {where} DESC, n DESC LIMIT ? OFFSET ?", (*values, limit, skip))  # noqa: S608
    return decoded(kind, rows, query.whole)


def count(connection: sqlite3.Connection, kind: type[Document], query: Query) -> int:
    where, values = _where(kind, query)
    (total,) = connection.execute(f"SELECT count(*) FROM {where}", values).fetchone()  # noqa: S608
    return max(0, int(total) - query.skip)


def insert_record(connection: sqlite3.Connection, activation: Activation) -> str:
    """Raises Conflict where the id is taken."""
    name = record_name(activation.name, activation.annotations)
    values = (activation.id, activation.namespace, activation.start, name, encode(activation)[0])
    if connection.execute(_INSERT[1], values).rowcount == 0:
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    return record_rev(activation.id)


def insert_records(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Add records; of two with one id the first one stays."""
    try:
        written = _insert(connection, [_values(record) for record in records])
    except _AT_FAULT:  # one of them is; the others must not suffer for it
        written = sum(_insert_alone(connection, record) for record in records)
    if written < len(records):
        log.warning("%d activation records were stored already, or could not be", len(records) - written)


def restore_record(connection: sqlite3.Connection, activation: Activation, doc: bytes) -> bool:
    """Add a record, encoded before; whether there was none with its id."""
    name = record_name(activation.name, activation.annotations)
    values = (activation.id, activation.namespace, activation.start, name, doc)
    return connection.execute(_INSERT[1], values).rowcount == 1


def subjects_by(connection: sqlite3.Connection, column: str, value: str) -> list[Subject]:
    """Subjects with this `uuid` or `namespace` among their credentials."""
    rows = connection.execute(
        f"SELECT DISTINCT n, doc FROM credentials JOIN documents USING (n) WHERE credentials.{column} = ? ORDER BY n",  # noqa: S608
        (value,),
    )
    subjects = (decode(Subject, data) for _, data in rows.fetchall())
    return [subject for subject in subjects if isinstance(subject, Subject)]


def ids(connection: sqlite3.Connection, space: Space, after: str, limit: int) -> list[tuple[str, str]]:
    """In the order of the ids, each with its document's kind."""
    if space == "activations":
        sql = "SELECT id, 'activation' FROM activations WHERE id > ? ORDER BY id LIMIT ?"
        return connection.execute(sql, (after, limit)).fetchall()
    sql = "SELECT id, kind FROM documents WHERE space = ? AND id > ? ORDER BY id LIMIT ?"
    return connection.execute(sql, (space, after, limit)).fetchall()


def accounts(connection: sqlite3.Connection) -> tuple[list[Subject], list[Limits]]:
    """Every subject and every namespace's limits."""
    rows = connection.execute("SELECT kind, doc FROM documents WHERE space = 'subjects'").fetchall()
    docs = [decode(Subject if kind == Subject.entity_type else Limits, data) for kind, data in rows]
    return [doc for doc in docs if isinstance(doc, Subject)], [doc for doc in docs if isinstance(doc, Limits)]


def _revision(connection: sqlite3.Connection, space: str, kind: str, id: str) -> tuple[int, str] | None:
    """Row number and revision. Raises Conflict where the id belongs to another kind."""
    row = connection.execute("SELECT kind, n, rev FROM documents WHERE space = ? AND id = ?", (space, id)).fetchone()
    if row is None:
        return None
    if row[0] != kind:
        raise errors.Conflict(texts.CONFORMANCE)
    return row[1], row[2]


def _forget(connection: sqlite3.Connection, n: int) -> None:
    """Drop what lies beside a document."""
    connection.execute("DELETE FROM code WHERE n = ?", (n,))
    connection.execute("DELETE FROM credentials WHERE n = ?", (n,))


def _remove_record(connection: sqlite3.Connection, id: str, rev: str) -> None:
    if connection.execute("SELECT 1 FROM activations WHERE id = ?", (id,)).fetchone() is None:
        raise errors.NotFound
    if rev != record_rev(id):
        raise errors.Conflict(texts.CONCURRENT_UPDATE)
    connection.execute("DELETE FROM activations WHERE id = ?", (id,))


def _where(kind: type[Document], query: Query) -> tuple[str, list[str | int]]:
    """From the table's name to the column that orders, and the values."""
    since, upto, _, _ = checked(query)
    values: list[str | int] = [query.namespace]
    if kind is Activation:
        table, by, more, wanted = "activations WHERE namespace = ?", "start", "name", query.name
    else:
        table, by = "documents WHERE kind = ? AND namespace = ?", "updated"
        more, wanted = "package", query.package
        values.insert(0, kind.entity_type)
    if wanted is not None:
        table += f" AND {more} = ?"
        values.append(wanted)
    return f"{table} AND {by} BETWEEN ? AND ? ORDER BY {by}", [*values, since, upto]


def _values(record: Record) -> tuple[str, str, int, str, bytes]:
    id, namespace, start, name, annotations, doc = record
    return id, namespace, start, record_name(name, annotations), doc


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, int, str, bytes]]) -> int:
    written = done = 0
    for size in _CHUNKS:
        while len(rows) - done >= size:
            values = tuple(chain.from_iterable(rows[done : done + size]))
            written += connection.execute(_INSERT[size], values).rowcount
            done += size
    return written


def _insert_alone(connection: sqlite3.Connection, record: Record) -> int:
    try:
        return _insert(connection, [_values(record)])
    except _AT_FAULT:
        namespace, _, activation = record[0].rpartition("/")
        extra = {"namespace": namespace, "activation": activation}
        log.exception("the record of activation %s cannot be stored", record[0], extra=extra)
        return 0
