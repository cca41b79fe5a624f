"""A copy of a database of one moment, made while others write to it.

A reader's transaction holds the moment: with the write-ahead log nobody waits for it, and what is written meanwhile
stays in the log until the copy is done. SQLite's backup copies pages in steps, so that it can be told how far it is.
The copy is checked page by page, brought to the disk and only then gets its name: a file of that name is whole.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from upcall.errors import Misconfigured
from upcall.store.migrate import check

PAGES = 1000
"""In a step; 4 MB."""
BUSY = 10.0
"""Seconds."""

Progress = Callable[[int, int], None]
"""Takes the pages that are copied, and all."""


def back_up(source: Path, target: Path, progress: Progress) -> int:
    """Copy; the number of bytes. Replaces `target`. Raises Misconfigured."""
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # it holds everybody's keys
        with contextlib.closing(_open(source)) as here, contextlib.closing(sqlite3.connect(part)) as there:
            check(here, source)
            _copy(here, there, progress)
            _verify(there)
        _to_disk(part)
        part.replace(target)
        _to_disk(target.parent)
    except (OSError, sqlite3.Error) as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise Misconfigured(f"{source} cannot be copied to {target}: {why}") from error
    finally:
        for beside in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                part.with_name(part.name + beside).unlink(missing_ok=True)
    return target.stat().st_size


def _open(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(source, timeout=BUSY, isolation_level=None)


def _copy(here: sqlite3.Connection, there: sqlite3.Connection, progress: Progress) -> None:
    there.execute("PRAGMA synchronous = off")  # it goes to the disk as a whole
    here.execute("BEGIN")
    here.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from now on it is this moment
    here.backup(there, pages=PAGES, progress=lambda _, left, all: progress(all - left, all))
    here.execute("ROLLBACK")
    if there.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
        with there:
            there.execute("DELETE FROM journal")  # what has not ended ends in the original: it must not run twice
    there.execute("PRAGMA journal_mode = delete")  # one file, without a log beside it


def _verify(there: sqlite3.Connection) -> None:
    found = [row[0] for row in there.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise sqlite3.DatabaseError(f"the copy is damaged, as the database may be: {'; '.join(found)}")


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
