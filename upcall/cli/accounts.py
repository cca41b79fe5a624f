"""What the operator's commands share: they work on the store of a platform, whether a process of it runs or not.

Beside a running platform they are guests of its database: they wait for their turn, migrate nothing, and what they
change it sees at once (`upcall.store.changes`). What a command says goes to stdout, refusals too: scripts that were
written for `wskadmin` compare it there (spec: cli-admin.md §1).
"""

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from upcall.config import listed, survey
from upcall.errors import Conflict, Misconfigured, NotFound, Unavailable, UpcallError
from upcall.model import texts
from upcall.model.store_url import SqliteUrl, StoreUrl
from upcall.ownership import private_folder
from upcall.places import default_data
from upcall.ports import Accounts
from upcall.store.choice import beside, store_url

T = TypeVar("T")
Task = Callable[[Accounts], Awaitable[T]]

REFUSED, USAGE = 1, 2
TRIES = 20


class Told(Exception):
    """Ends a command with a line on stdout."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


class Place(NamedTuple):
    """What a command works on, as every process of the platform on this machine would take it."""

    folder: Path
    store: StoreUrl


def on_data(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which data: the function's parameter `place`."""

    @functools.wraps(function)
    def run(*, data: str | None, store: str | None, config: Path | None, **others: Any) -> Any:
        return function(place=_place(data, store, config), **others)

    for option in (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="UPCALL_CONFIG",
            metavar="FILE",
            help="TOML file of serve.",
        ),
        click.option(
            "--store",
            metavar="URL",
            help="Store of the platform.  [default: UPCALL_STORE, else upcall.db in the data folder]",
        ),
        click.option(
            "--data",
            metavar="FOLDER",
            help="Data folder of the platform.  [default: UPCALL_DATA, else $XDG_DATA_HOME/upcall]",
        ),
    ):
        run = option(run)
    return run


def _place(data: str | None, store: str | None, config: Path | None) -> Place:
    """What is wrong with other settings is no business of commands. Raises Misconfigured."""
    found = survey({"data": data, "store": store}, os.environ, config)
    for remark in found.remarks:
        print(f"upcall: {remark}", file=sys.stderr)
    by = {finding.setting.name: finding for finding in found.findings}
    if wrong := [by[name].fault for name in ("data", "store") if by[name].error]:
        raise Misconfigured(listed(wrong))
    folder = by["data"].value or default_data()
    return Place(folder, store_url(by["store"].value, folder))


def database(store: SqliteUrl) -> Path:
    """The file, which is there. Raises Misconfigured."""
    if not store.path.exists():
        raise Misconfigured(
            f"there is no database in {store.path.parent}: start 'upcall serve' or make a subject with 'upcall user "
            "create', or name another folder with --data, or a store with --store"
        )
    return store.path


def work(place: Place, what: str, task: Task[T], *, make: bool = False) -> T:
    """Do `task` and give its result; with `make`, in a folder that need not be there yet. A change that another one has
    come before is tried again. Raises Told, with `what` could not be done."""
    if isinstance(place.store, SqliteUrl):
        if make:
            private_folder(place.store.path.parent)
        else:
            database(place.store)
    return asyncio.run(_work(place.store, what, task))


async def _work(url: StoreUrl, what: str, task: Task[T]) -> T:
    async with beside(url) as store:
        try:
            return await _again(store, task)
        except NotFound:
            raise Told(f"Failed to {what} (not found)") from None
        except Unavailable as error:
            raise Told(f"Failed to {what} ({error or store.trouble or error.__cause__})") from error
        except UpcallError as error:
            raise Told(f"Failed to {what} ({error})") from error


async def _again(store: Accounts, task: Task[T]) -> T:
    for _ in range(TRIES):
        try:
            return await task(store)
        except Conflict as error:
            if str(error) != texts.CONCURRENT_UPDATE:
                raise
    return await task(store)


def told(function: Callable[..., int | None]) -> int:
    """The exit code of a command; prints what it raised to tell."""
    try:
        return function() or 0
    except Told as refusal:
        click.echo(str(refusal))
        return refusal.code
