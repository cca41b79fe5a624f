"""Connections to a PostgreSQL server, and what their failures mean.

A pool of connections that come and go: one that broke is replaced when somebody asks for it, so a server that was away
is found again without anybody's doing. Nothing is kept in a session (no prepared statement, no setting), so a pooler
such as pgbouncer may stand between.

A failure is Unavailable with its cause in words, without the server's address: callers of the API read it. A read whose
connection broke is tried once more on another one, and a write that had not begun; no other write, for nobody knows
whether it was committed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self, TypeVar

import asyncpg

from upcall.errors import Away, Misconfigured, Unavailable
from upcall.model import texts
from upcall.model.store_url import PostgresUrl

T = TypeVar("T")
Connection = Any
"""`asyncpg.Connection`; the library has no types."""
Job = Callable[[Connection], Awaitable[T]]

CONNECTIONS = 8
"""At most, of one process; documents of 48 MB are read over them, so they bound memory too."""
PATIENCE = 30.0
"""Seconds that a statement may take."""
CONNECT = 5.0
"""Seconds to get a connection."""

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What the driver raises for what is not the row's fault, and for some that is: `at_fault` tells."""

_BROKEN = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's word for what the server sent before it hung up
    asyncpg.OperatorInterventionError,
    ConnectionError,
)

_ABSENT = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)
"""Of a server that may be there in a moment; of `OSError` also a name that is not known yet."""


def at_fault(error: Exception) -> bool:
    """Whether a value is wrong, rather than the database or the way to it."""
    return isinstance(error, ValueError | asyncpg.DataError | asyncpg.ProgramLimitExceededError)


def cause(error: Exception) -> str:
    """In words, without addresses, users or passwords."""
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "the database refuses the user or the password"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return "the database does not exist"
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return str(error).partition("\n")[0]
    if isinstance(error, TimeoutError):
        return "the database does not answer"
    return "there is no connection to the database"


class Pooled(asyncpg.Connection):  # type: ignore[misc]  # the library has no types
    """A connection of the pool. Those that `expire_connections` has marked are closed by a task that nobody awaits."""

    async def close(self, *, timeout: float | None = None) -> None:
        """Whatever the server still says to it."""
        with contextlib.suppress(*FAILURES):  # then it is cut
            await super().close(timeout=timeout)


class Link:
    """To one database; `url` is shown masked."""

    def __init__(self, url: PostgresUrl, connections: int = CONNECTIONS) -> None:
        self.url = url
        self._connections = connections
        self._pool: Any = None

    async def open(self) -> Self:
        """Raises Misconfigured where there is no way to the database."""
        options = {"command_timeout": PATIENCE, "timeout": CONNECT, "statement_cache_size": 0}
        try:
            self._pool = await asyncpg.create_pool(
                self.url.url,
                min_size=0,
                max_size=self._connections,
                connection_class=Pooled,
                reset=_kept,
                server_settings=_NAME,
                **options,
            )
        except (*FAILURES, ValueError) as error:
            raise self.unusable(error) from None  # the driver's own errors may quote the URL
        return self

    async def close(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        with contextlib.suppress(*FAILURES):  # then the pool has cut them all
            async with asyncio.timeout(CONNECT):
                await pool.close()

    async def connect(self) -> Connection:
        """One that is not of the pool; the caller's own to close."""
        return await asyncpg.connect(self.url.url, timeout=CONNECT, statement_cache_size=0, server_settings=_NAME)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One of the pool. Raises what the driver raises, and Unavailable after `close`."""
        if self._pool is None:
            raise Unavailable(texts.store_silent("it is closed"))
        async with self._pool.acquire(timeout=CONNECT) as connection:
            try:
                yield connection
            except _BROKEN:
                with contextlib.suppress(asyncpg.InterfaceError):  # it has gone by itself
                    connection.terminate()
                if self._pool is not None:
                    await self._pool.expire_connections()  # the others will be as bad
                raise

    async def again(self, job: Job[T]) -> T:
        """What may run twice, and does where its connection broke. Raises what the driver raises."""
        try:
            return await self._run(job)
        except _BROKEN:
            return await self._run(job)

    async def read(self, job: Job[T]) -> T:
        """Raises Unavailable; ValueError for what no row can be."""
        try:
            return await self.again(job)
        except FAILURES as error:
            raise _translated(error, texts.store_silent) from error

    async def write(self, job: Job[T]) -> T:
        """In one transaction. Raises Unavailable, and then nobody knows whether anything was written; ValueError for
        what no row can hold."""
        begun = False

        async def begin(connection: Connection) -> T:
            nonlocal begun
            async with connection.transaction():
                begun = True
                return await job(connection)

        try:
            try:
                return await self._run(begin)
            except _BROKEN:
                if begun:
                    raise
                return await self._run(begin)
        except FAILURES as error:
            raise _translated(error, texts.store_refuses) from error

    def unusable(self, error: Exception) -> Misconfigured:
        """Where the store cannot even be opened."""
        why = cause(error)
        if isinstance(error, OSError) and error.strerror and not isinstance(error, TimeoutError):
            why = error.strerror
        text = (
            f"the store {self.url.masked} cannot be used: {why}. Look whether the server runs, and whether the URL "
            "of --store (UPCALL_STORE) names it, its database and a user who may use that"
        )
        passing = isinstance(error, _ABSENT) and not isinstance(error, PermissionError)
        return Away(text, why) if passing else Misconfigured(text)

    async def _run(self, job: Job[T]) -> T:
        async with self.connection() as connection:
            return await job(connection)


_NAME = {"application_name": "upcall"}


async def _kept(connection: Connection) -> None:
    """What the pool does with a connection that comes back: nothing, for we leave nothing in it."""


def _translated(error: Exception, text: Callable[[str], str]) -> Exception:
    if at_fault(error):
        return ValueError(f"the database cannot hold a value: {error}")
    return Unavailable(text(cause(error)))
