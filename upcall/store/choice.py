"""Which store stands behind the port: what `--store` says, or the file in the data folder.

PostgreSQL's driver is an extra and is loaded where it is asked for; CouchDB is spoken to over HTTP.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from upcall.errors import Away, Misconfigured
from upcall.extras import missing
from upcall.model.keep import Keep
from upcall.model.runtimes import Manifest
from upcall.model.sizes import GB
from upcall.model.store_url import CouchUrl, PostgresUrl, SqliteUrl, StoreUrl
from upcall.ownership import held, owned, private_folder, shared, unusable
from upcall.places import DATABASE
from upcall.ports import Journal, Store
from upcall.store import retention
from upcall.store.couch_spill import FILE, Spill
from upcall.store.journalled import R, journalled
from upcall.store.part import Guest, Member
from upcall.store.sqlite import Durability, SqliteStore

if TYPE_CHECKING:
    from upcall.store.couch import CouchStore
    from upcall.store.couch_opening import Part
    from upcall.store.postgres import PostgresStore

log = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds that a start waits for a server that does not answer, as it does for brokers: they may start together."""


class Kept(Journal, Protocol):
    """A journal that can be counted."""

    def __len__(self) -> int: ...

    @property
    def size(self) -> int:
        """Bytes of the messages of all rows."""


class Storage(Store, Protocol):
    """A platform's store and the journal of its bus."""

    @property
    def journal(self) -> Kept: ...

    @property
    def trouble(self) -> str | None:
        """Why the last write failed, while none has succeeded since."""

    @property
    def pending(self) -> int:
        """Records that are not durable yet."""

    @property
    def lost(self) -> int:
        """Records that could not be saved; known when it is closed."""


def store_url(given: StoreUrl | None, data: Path) -> StoreUrl:
    """What stands for a setting that was not given."""
    return SqliteUrl(data / DATABASE) if given is None else given


@contextlib.asynccontextmanager
async def opened(
    given: StoreUrl | None,
    data: Path,
    durability: Durability,
    member: str = "",
    *,
    manifest: Manifest | None = None,
    spill: int = GB,
) -> AsyncIterator[Storage]:
    """For a process whose own the folder `data` is: for a whole platform, or for the member of one that has this name,
    as in `invoker0`. In CouchDB, `manifest` says whose code is attached (None: all), and `spill` how many bytes of
    records may wait on the disk. Raises Misconfigured."""
    url = store_url(given, data)
    if isinstance(url, PostgresUrl):
        driver()
        from upcall.store.postgres import PostgresStore

        async with _remote(lambda: PostgresStore(url), url.masked, data, durability) as remote:
            yield remote
        return
    if isinstance(url, CouchUrl):
        from upcall.store.couch import CouchStore

        def couch() -> CouchStore:
            part: Part = "invoker" if member.startswith("invoker") else "owner"
            return CouchStore(url, part=part, spill=Spill(data / FILE, spill, durability), manifest=manifest)

        async with _remote(couch, url.masked, data, durability) as far:
            yield far
        return
    if member:
        async with _member(url, data, durability, member) as store:
            yield store
        return
    with contextlib.ExitStack() as stack:
        _own(stack, url.path.absolute().parent, data)
        async with SqliteStore(url.path, durability) as store:
            yield store


@contextlib.asynccontextmanager
async def _remote(make: Callable[[], R], name: str, data: Path, durability: Durability) -> AsyncIterator[R]:
    """Opened; waits for a server that is not there yet. Raises Misconfigured."""
    deadline, told = monotonic() + PATIENCE, False
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                store = await stack.enter_async_context(journalled(make(), data, durability))
                break
            except Away as error:
                if monotonic() > deadline:
                    raise
                if not told:
                    log.warning("the store %s does not answer: %s; waiting %g s for it", name, error.why, PATIENCE)
                    told = True
            await asyncio.sleep(0.5)
        yield store


@contextlib.asynccontextmanager
async def _member(url: SqliteUrl, data: Path, durability: Durability, name: str) -> AsyncIterator[SqliteStore]:
    """Of several on one file; who is first has it alone until it is open."""
    folder = _common(url, data, name)
    with shared(folder, name) as membership:
        async with SqliteStore(url.path, durability, part=Member(name, membership.first)) as store:
            try:
                membership.let_in()
            except OSError as error:
                raise unusable(folder, error) from error
            yield store


def beside(url: StoreUrl) -> "SqliteStore | PostgresStore | CouchStore":
    """For a command beside the platform, not opened yet. Raises Misconfigured."""
    if isinstance(url, SqliteUrl):
        return SqliteStore(url.path, part=Guest(not held(url.path.parent)))
    if isinstance(url, CouchUrl):
        from upcall.store.couch import CouchStore

        return CouchStore(url, part="guest")
    driver()
    from upcall.store.postgres import PostgresStore

    return PostgresStore(url, owner=False)


@contextlib.asynccontextmanager
async def retained(store: Storage, keep: Keep) -> AsyncIterator[None]:
    """Remove in the background what `keep` does not keep."""
    if isinstance(store, SqliteStore):
        async with retention.retained(store, keep):
            yield
        return
    async with retention.in_background(keep, _sweep(store, keep)):
        yield


def _sweep(store: Storage, keep: Keep) -> retention.Sweep:
    from upcall.store.couch import CouchStore

    if isinstance(store, CouchStore):
        from upcall.store import couch_retention

        return couch_retention.Sweeper(store.http, keep).sweep
    from upcall.store import postgres_retention
    from upcall.store.postgres import PostgresStore

    assert isinstance(store, PostgresStore)
    return postgres_retention.Sweeper(store.maintain, keep).sweep


def _own(stack: contextlib.ExitStack, folder: Path, data: Path) -> None:
    """A file belongs to one platform, wherever it is. Raises Misconfigured."""
    if folder.resolve() != data.resolve():
        stack.enter_context(owned(private_folder(folder)))


def _common(url: SqliteUrl, data: Path, name: str) -> Path:
    """The folder of a file that members share. Raises Misconfigured."""
    folder = private_folder(url.path.absolute().parent)
    if folder.resolve() == data.resolve():
        raise Misconfigured(
            f"{data} is {name}'s own folder, and cannot have the database that it shares with others: name another "
            "file with --store, or leave that out"
        )
    return folder


def driver() -> None:
    """PostgreSQL's, which is there. Raises Misconfigured."""
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing("a store in PostgreSQL", "asyncpg") from error
