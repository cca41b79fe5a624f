"""`upcall backup`: a copy of the database while the platform runs."""

import sys
from pathlib import Path

import click

from upcall.cli.accounts import Place, database, on_data
from upcall.errors import Misconfigured
from upcall.model.store_url import CouchUrl, PostgresUrl
from upcall.store.backup import Progress, back_up

LARGE = 25_000
"""Pages from which on a terminal is told how far it is; 100 MB."""


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it is there.")
@on_data
def command(file: Path, force: bool, place: Place) -> None:
    """Copy actions, subjects, limits and records to FILE, as they are at this moment; 'upcall serve' may run.

    FILE is checked before it gets its name. It holds everybody's keys: it is readable by you alone.

    \b
    To restore it, make it the database of a new data folder:
      mkdir -m 700 FOLDER && cp FILE FOLDER/upcall.db
      upcall serve --data FOLDER
    """
    if isinstance(place.store, PostgresUrl):
        raise Misconfigured(
            f"the store is {place.store.masked}, and 'upcall backup' copies a database file: use PostgreSQL's own "
            "tool, as in: pg_dump --format=custom --schema=upcall --file=FILE DATABASE"
        )
    if isinstance(place.store, CouchUrl):
        raise Misconfigured(
            f"the store is {place.store.masked}, and 'upcall backup' copies a database file: let CouchDB replicate its "
            "databases, or copy them into a store of upcall's own with: upcall import couchdb"
        )
    source = database(place.store)
    if file.exists() and not force:
        raise Misconfigured(f"{file} is there already: choose another name, or replace it with --force")
    size = back_up(source, file, _progress())
    click.echo(f"{file}: {size / 1024 / 1024:.1f} MB, checked")


def _progress() -> Progress:
    """A line on a terminal that shows how far a large copy is."""
    shown = -1

    def show(done: int, all: int) -> None:
        nonlocal shown
        percent = 100 * done // max(1, all)
        if all >= LARGE and percent != shown and sys.stderr.isatty():
            shown = percent
            end = "checking …\n" if done == all else ""
            click.echo(f"\r{percent:3} % copied {end}", err=True, nl=False)

    return show
