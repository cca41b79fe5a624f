"""Brings a database file to the version that this code knows: numbered SQL files, forward only.

`migrations/NNNN_what.sql` takes version NNNN-1 to NNNN in one transaction; the version is SQLite's `user_version`. A
file that is released is never edited. What we cannot understand is refused before anything is written to it: a file
that is no SQLite database, one that another program made (`application_id`), one of a newer release.

Two processes may do it at the same time: each step looks at the version again inside its transaction.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from upcall.errors import Misconfigured

APPLICATION = 0x75706361
"""`upca`, in the header of every database of ours."""

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: sqlite3.Connection, path: Path, folder: Path = MIGRATIONS, *, owner: bool = True) -> None:
    """Apply what is missing. Who does not own the file makes a fresh one as it has to be, and leaves an older one as it
    is. Raises Misconfigured with the file, the cause and the way out."""
    steps = {int(file.name[:4]): file for file in sorted(folder.glob("[0-9]*.sql"))}
    version = check(connection, path)
    newest = max(steps)
    if version > newest:
        raise Misconfigured(
            f"{path} has database version {version}, this release of upcall knows versions up to {newest}: a newer "
            "release wrote it. Start that release, or choose another folder with --data."
        )
    if 0 < version < newest and not owner:
        raise Misconfigured(
            f"{path} has database version {version}, this release of upcall writes version {newest}, and an older "
            "release runs on it. Use that release's command, or stop it and start this one."
        )
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = incremental")  # `--keep` gives space back; only a fresh file takes it
    for number in range(version + 1, newest + 1):
        try:
            _apply(connection, number, steps[number].read_text())
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
                raise  # the step is wrong, not the disk
            raise Misconfigured(
                f"{path} cannot be brought to database version {number}: {error}. Mend that, or choose another folder "
                "with --data."
            ) from error


def check(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a database of ours, 0 of a fresh file. Raises Misconfigured for all others."""
    try:
        application, version, tables = _header(connection)
    except sqlite3.OperationalError as error:
        raise Misconfigured(f"{path} cannot be opened: {error}. Is another program using the file?") from error
    except sqlite3.DatabaseError as error:
        raise Misconfigured(
            f"{path} is not an SQLite database, or it is damaged ({error}). Move the file away or restore it from a "
            "backup, or choose another folder with --data."
        ) from error
    if application != APPLICATION and (tables or version):
        raise Misconfigured(
            f"{path} is a database of another program. Move the file away, or choose another folder with --data."
        )
    return version


def _header(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Application, version, number of tables; of one moment, for another process may be making the file."""
    connection.execute("BEGIN")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        connection.execute("ROLLBACK")
    return int(application), int(version), int(tables)


def _apply(connection: sqlite3.Connection, number: int, sql: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < number:
            for statement in _statements(sql):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(sql: str) -> Iterator[str]:
    """`executescript` would end the transaction."""
    statement = ""
    for piece in re.split("(?<=;)", sql):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
