"""Puts into the database what an earlier life has left in its logs ahead. Runs once, before anything else is written.

It may run again: records that are there stay, rows of the journal too, and what has a record is no row (`left_over`).
What cannot be decoded was written by a newer release, whose database an older one refuses anyway; it is logged.
"""

import contextlib
import logging
import sqlite3
from pathlib import Path

import msgspec

from upcall.model.activation import Activation
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
    """Raises OSError, sqlite3.Error."""
    records, next_records = ahead.read(ahead.paths(database, RECORDS))
    steps, next_steps = ahead.read(ahead.paths(database, JOURNAL))
    connection.execute("BEGIN IMMEDIATE")
    try:
        restored = sum(_restore(connection, entry) for entry in records)
        for entry in steps:
            _step(connection, entry)
        left = left_over(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if restored:
        log.info("%d activation records of an earlier life are stored now", restored)
    return Replayed(left, {RECORDS: next_records, JOURNAL: next_steps})


def forget(database: Path) -> None:
    """Remove the logs, after `replay`."""
    for sort in (RECORDS, JOURNAL):
        for path in ahead.paths(database, sort):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


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
