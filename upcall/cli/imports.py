"""`upcall import`: an existing OpenWhisk's documents into our store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import click

from upcall.cli import transfers
from upcall.cli.accounts import Place, on_data
from upcall.cli.refusal import Refused
from upcall.errors import Misconfigured, Unavailable
from upcall.model.store_url import CouchUrl, PostgresUrl, SqliteUrl, StoreUrl
from upcall.ownership import private_folder
from upcall.store.choice import beside, driver
from upcall.store.couch_http import CouchHttp
from upcall.transfer.copying import Copying, Nothing, Stage, Target
from upcall.transfer.couch import CouchSource


@click.group("import")
def command() -> None:
    """Copy an existing OpenWhisk into upcall's store (operator)."""


@command.command("couchdb")
@click.argument("url")
@transfers.options
@on_data
def couchdb(
    *,
    url: str,
    password_file: Path | None,
    subjects_db: str | None,
    entities_db: str | None,
    activations_db: str | None,
    activations: bool,
    since: str | None,
    overwrite: bool,
    dry_run: bool,
    place: Place,
) -> int:
    """Copy the databases at URL into upcall's store.

    URL is couchdb://USER@HOST:5984/PREFIX, or couchdbs://. Subjects come with their keys, limits, actions with their
    code, packages, triggers and rules; with --activations the records, too.

    Nothing is changed there, and it may run; so may 'upcall serve' here. What was broken off is simply run again.

    \b
    upcall import couchdb couchdb://whisk@db:5984/whisk_local_ --password-file FILE --dry-run

    The exit code is 1 where a document could not be copied, or is here with other content.
    """
    source = transfers.couch(url, password_file, subjects_db, entities_db, activations_db)
    moment = transfers.moment(since, activations)
    if isinstance(place.store, CouchUrl):
        raise Misconfigured(f"the store is {place.store.masked}: from CouchDB to CouchDB use CouchDB's own replication")
    wanted = transfers.stages(activations)
    return asyncio.run(_import(source, place.store, wanted, moment, overwrite=overwrite, dry=dry_run))


async def _import(
    url: CouchUrl, store: StoreUrl, wanted: list[Stage], since: int, *, overwrite: bool, dry: bool
) -> int:
    http = await CouchHttp(url).open()
    try:
        source = CouchSource(http, since)
        totals = await _totals(http, source, wanted)
        async with _target(store, dry) as target:
            return await transfers.run(
                lambda report: Copying(source, target, report, overwrite=overwrite, dry=dry), wanted, totals, dry=dry
            )
    finally:
        await http.close()


async def _totals(http: CouchHttp, source: CouchSource, wanted: list[Stage]) -> dict[Stage, int]:
    """How many documents there are of each stage, about. Raises Refused where a database is not there."""
    found: dict[Stage, int] = {}
    for stage in wanted:
        database = source.database(stage)
        try:
            count = await transfers.size(http, database)
        except Unavailable as error:
            raise Refused(f"{http.url.masked}: {error}") from None
        if count is None:
            raise Refused(
                f"{http.url.masked} has no database '{database}': give the deployment's prefix at the end of the URL, "
                "or its names with --subjects-db, --entities-db and --activations-db"
            )
        found[stage] = count
    return found


@contextlib.asynccontextmanager
async def _target(url: StoreUrl, dry: bool) -> AsyncIterator[Target]:
    """Our store. For a dry run one that is not there yet is not made."""
    if dry and not await _made(url):
        yield Nothing()
        return
    if isinstance(url, SqliteUrl):
        private_folder(url.path.parent)
    async with beside(url) as store:
        yield cast(Target, store)


async def _made(url: StoreUrl) -> bool:
    """Raises Misconfigured."""
    if isinstance(url, SqliteUrl):
        return url.path.exists()
    driver()
    from upcall.store import postgres_migrate

    assert isinstance(url, PostgresUrl)
    return await postgres_migrate.made(url)
