"""Brings a PostgreSQL database to the version that this code knows: numbered SQL files, forward only.

Everything of ours is in the schema `upcall`, so another program's tables in the same database are no matter. All
missing steps are one transaction under an advisory lock: of several processes that start together one makes them, the
others find them made. A database that a newer release wrote is refused.
"""

from pathlib import Path
from typing import NoReturn

import asyncpg

from upcall.errors import Misconfigured
from upcall.model.store_url import PostgresUrl
from upcall.store.migrate import MIGRATIONS as SQLITE
from upcall.store.postgres_link import FAILURES, Connection, Link

MIGRATIONS = SQLITE / "postgres"

LOCK = 0x75706361
"""`upca`, among the database's advisory locks."""

_THERE = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'upcall' AND tablename = 'version')"
"""`to_regclass` answers from a cache that waiting for an advisory lock does not refresh."""


async def made(url: PostgresUrl) -> bool:
    """Whether there is anything of ours. Raises Misconfigured."""
    link = Link(url)
    await link.open()
    try:
        async with link.connection() as connection:
            return bool(await connection.fetchval(_THERE))
    except FAILURES as error:
        raise link.unusable(error) from error
    finally:
        await link.close()


async def migrate(connection: Connection, masked: str, folder: Path = MIGRATIONS, *, owner: bool = True) -> None:
    """Apply what is missing. Who does not own the platform makes a fresh database as it has to be, and leaves an older
    one as it is. Raises Misconfigured with the database, the cause and the way out."""
    steps = _steps(folder)
    newest = max(steps)
    if await _checked(connection, masked, newest, owner) == newest:
        return
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            version = await _checked(connection, masked, newest, owner)
            if version == 0:
                await connection.execute("CREATE SCHEMA IF NOT EXISTS upcall")
                await connection.execute("CREATE TABLE upcall.version (number integer NOT NULL)")
                await connection.execute("INSERT INTO upcall.version VALUES (0)")
            for number in range(version + 1, newest + 1):
                await connection.execute(steps[number])
            await connection.execute("UPDATE upcall.version SET number = $1", newest)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError) as error:
        await _refused(connection, masked, newest, error)


def _steps(folder: Path) -> dict[int, str]:
    """Small files, once at the start."""
    return {int(file.name[:4]): file.read_text() for file in sorted(folder.glob("[0-9]*.sql"))}


async def _refused(connection: Connection, masked: str, newest: int, error: Exception) -> NoReturn:
    """The database does not let us."""
    name, user = await connection.fetchrow("SELECT current_database(), current_user")
    raise Misconfigured(
        f"{masked} cannot be brought to database version {newest}: {error}. If the user may not make a schema, let its "
        f"owner run: GRANT CREATE ON DATABASE {name} TO {user}"
    ) from error


async def _checked(connection: Connection, masked: str, newest: int, owner: bool) -> int:
    """The version, 0 of a database that has nothing of ours. Raises Misconfigured where it is none for this process."""
    try:
        there = await connection.fetchval(_THERE)
        version = int(await connection.fetchval("SELECT number FROM upcall.version")) if there else 0
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(f"{masked} belongs to another user of the database: {error}. Name that one") from error
    if version > newest:
        raise Misconfigured(
            f"{masked} has database version {version}, this release of upcall knows versions up to {newest}: a newer "
            "release wrote it. Start that release, or name another database."
        )
    if 0 < version < newest and not owner:
        raise Misconfigured(
            f"{masked} has database version {version}, this release of upcall writes version {newest}. Start this "
            "release's 'upcall serve' once, or use the command of the older one."
        )
    return version
