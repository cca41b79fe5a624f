"""Puts into the database what an earlier life has left in its logs ahead. Runs once, before anything else is written.

Of several processes on one file each replays its own, and the records of whoever is dead: what an Invoker has told
before it was killed is read by others when any process starts, though it may never come back. Accepted activations
are `upcall serve`'s alone, and wait for its next start.

It may run again: records that are there stay, rows of the journal too, and what has a record is no row (`left_over`).
What cannot be decoded was written by a newer release, whose database an older one refuses anyway; it is logged.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from upcall.model.activation import Activation
from upcall.ownership import vacant
from upcall.ports import Left
from upcall.store import ahead, tables
from upcall.store.journal import Ended, Over, Step, decode_entry, left_over, write_steps

RECORDS, JOURNAL = "records", "journal"

log = logging.getLogger(__name__)


class Replayed(msgspec.Struct, frozen=True):
    """What an earlier life has left, and the passes that come next."""

    left: list[Left]
    passes: dict[str, int]


def replay(connection: sqlite3.Connection, database: Path) -> Replayed:
    """Of a platform that is alone. Raises OSError, sqlite3.Error."""
    records, next_records = ahead.read(ahead.paths(database, RECORDS))
    steps, next_steps = ahead.read(ahead.paths(database, JOURNAL))
    with _transaction(connection):
        restored = sum(_restore(connection, entry) for entry in records)
        for entry in steps:
            _step(connection, entry)
        left = left_over(connection)
    _tell(restored, "an earlier life")
    return Replayed(left, {RECORDS: next_records, JOURNAL: next_steps})


def replay_records(connection: sqlite3.Connection, database: Path, member: str = "") -> int:
    """Of one that has a name, or of one that was alone; the pass that comes next. Raises OSError, sqlite3.Error."""
    records, number = ahead.read(ahead.paths(database, RECORDS, member))
    if records:
        with _transaction(connection):
            restored = sum(_restore(connection, entry) for entry in records)
        _tell(restored, member or "upcall serve")
    return number


def adopt(connection: sqlite3.Connection, database: Path) -> None:
    """The records of all who are dead; their logs go. Raises OSError, sqlite3.Error."""
    for member in ahead.members(database, RECORDS):
        with vacant(database.parent, member) as dead:
            if dead:
                replay_records(connection, database, member)
                forget(database, member)


def forget(database: Path, member: str = "", sorts: tuple[str, ...] = (RECORDS, JOURNAL)) -> None:
    """Remove the logs, after they were replayed."""
    for sort in sorts:
        for path in ahead.paths(database, sort, member):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _tell(restored: int, whose: str) -> None:
    if restored:
        log.info("%d activation records of %s are stored now", restored, whose)


def _restore(connection: sqlite3.Connection, entry: bytes) -> bool:
    """Whether the record was not there."""
    try:
        record = msgspec.json.decode(entry, type=Activation)
    except msgspec.MsgspecError as error:
        log.error("an activation record that an earlier life has left cannot be read: %s", error)
        return False
    return tables.restore_record(connection, record, entry)


def _step(connection: sqlite3.Connection, entry: bytes) -> None:
    try:
        found = decode_entry(entry)
    except msgspec.MsgspecError as error:
        log.error("an accepted activation that an earlier life has left cannot be read: %s", error)
        return
    steps: list[Step] = [Ended(id, True) for id in found.ids] if isinstance(found, Over) else [found]
    write_steps(connection, steps)
