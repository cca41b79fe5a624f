"""`upcall export`: our store's documents into the databases of an OpenWhisk."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import click

from upcall.cli import transfers
from upcall.cli.accounts import Place, database, on_data
from upcall.cli.refusal import Refused
from upcall.errors import Misconfigured, Unavailable
from upcall.model.store_url import CouchUrl, SqliteUrl, StoreUrl
from upcall.store.choice import beside
from upcall.store.couch import CouchStore
from upcall.store.couch_http import CouchHttp
from upcall.transfer.copying import Copying, Nothing, Stage, Target
from upcall.transfer.own import OwnSource, Paged


@click.group("export")
def command() -> None:
    """Copy what upcall's store has to an OpenWhisk (operator)."""


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
    """Copy upcall's store to the databases at URL.

    URL is couchdb://USER@HOST:5984/PREFIX, or couchdbs://. Subjects go with their keys, limits, actions with their
    code, packages, triggers and rules; with --activations the records, too.

    Databases and design documents that are missing are made: for that USER has to be an administrator of the server.
    What was broken off is simply run again.

    \b
    upcall export couchdb couchdb://admin@db:5984/whisk_local_ --password-file FILE --dry-run

    The exit code is 1 where a document could not be copied, or is there with other content.
    """
    target = transfers.couch(url, password_file, subjects_db, entities_db, activations_db)
    moment = transfers.moment(since, activations)
    if isinstance(place.store, CouchUrl):
        raise Misconfigured(f"the store is {place.store.masked}: from CouchDB to CouchDB use CouchDB's own replication")
    if isinstance(place.store, SqliteUrl):
        database(place.store)
    wanted = transfers.stages(activations)
    return asyncio.run(_export(place.store, target, wanted, moment, overwrite=overwrite, dry=dry_run))


async def _export(
    store: StoreUrl, url: CouchUrl, wanted: list[Stage], since: int, *, overwrite: bool, dry: bool
) -> int:
    async with beside(store) as own, _target(url, dry) as target:
        source = OwnSource(cast(Paged, own), since)
        return await transfers.run(
            lambda report: Copying(source, target, report, overwrite=overwrite, dry=dry), wanted, {}, dry=dry
        )


@contextlib.asynccontextmanager
async def _target(url: CouchUrl, dry: bool) -> AsyncIterator[Target]:
    """For a dry run nothing is made that is not there."""
    if dry and not await _complete(url):
        yield Nothing()
        return
    async with CouchStore(url, part="invoker" if dry else "guest") as store:
        yield store


async def _complete(url: CouchUrl) -> bool:
    """Raises Refused where the server does not let us look."""
    http = await CouchHttp(url).open()
    try:
        sizes = [await transfers.size(http, name) for name in (url.subjects, url.entities, url.activations)]
    except Unavailable as error:
        raise Refused(f"{url.masked}: {error}") from None
    finally:
        await http.close()
    return None not in sizes
