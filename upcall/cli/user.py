"""`upcall user`: subjects, their namespaces and keys, as `wskadmin user` (spec: cli-admin.md §1)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from upcall.cli import properties, subjects
from upcall.cli.accounts import USAGE, Place, Told, on_data, told, work
from upcall.controller.subjects import new_credentials
from upcall.places import properties_file

GUEST = "guest"


@click.group("user")
def command() -> None:
    """Subjects: who may use the platform, with which keys.

    They work on the store of a data folder, or on that of --store; where 'upcall serve' runs on it, it knows of a
    change at once.
    """


def _namespace(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("-ns", "--namespace", metavar="NAMESPACE", help=help)


@command.command("create")
@click.argument("subject")
@click.option("-u", "--auth", metavar="UUID:KEY", help="Credentials  [default: made up]")
@_namespace("Namespace that the credentials choose  [default: named as the subject]")
@click.option("-r", "--revoke", is_flag=True, help="Replace the key of a namespace that the subject has.")
@click.option("-f", "--force", is_flag=True, help="Replace uuid and key of a namespace that the subject has.")
@click.option("-g", "--genonly", is_flag=True, help="Show credentials, and make nothing.")
@click.option("-s", "--silent", is_flag=True, help="Show nothing when it is done.")
@on_data
def create(
    *,
    subject: str,
    auth: str | None,
    namespace: str | None,
    revoke: bool,
    force: bool,
    genonly: bool,
    silent: bool,
    place: Place,
) -> int:
    """Make a subject, or a namespace of one, and show the credentials.

    Other users of this machine can read a command line: better let the key be made up than give one.
    """

    def run() -> None:
        name = subjects.new_subject(subject)
        space = subjects.checked_namespace(name if namespace is None else namespace)
        given = None if auth is None else subjects.checked_credentials(auth)
        if genonly:
            click.echo(new_credentials() if given is None else ":".join(given))
            return
        made = work(
            place,
            "create subject",
            lambda accounts: subjects.create(accounts, name, space, given, revoke=revoke, force=force),
            make=True,
        )
        if name == space == GUEST:
            _tell_guest(place.folder, made)
        if not silent:
            click.echo(made)

    return told(run)


def _tell_guest(folder: Path, made: str) -> None:
    """The folder's `.wskprops` names the guest's key, until `serve` writes it again at its next start."""
    file = properties_file(folder)
    if file.exists() and file.stat().st_uid == os.geteuid():
        properties.write(file, {"auth": made})


@command.command("delete")
@click.argument("subject")
@_namespace("Delete this namespace of the subject alone.")
@on_data
def delete(subject: str, namespace: str | None, place: Place) -> int:
    """Delete a subject and its credentials, or one namespace of it. Actions and records stay."""

    def run() -> None:
        name = subjects.checked_subject(subject)
        if namespace is not None:
            space = subjects.checked_namespace(namespace)
            task = subjects.remove_namespace
            work(place, "delete namespace", lambda accounts: task(accounts, name, space))
            click.echo("Namespace deleted")
        else:
            work(place, "delete subject", lambda accounts: subjects.remove(accounts, name))
            click.echo("Subject deleted")

    return told(run)


@command.command("get")
@click.argument("subject")
@_namespace("Which namespace's credentials  [default: named as the subject]")
@click.option("-a", "--all", "every", is_flag=True, help="All namespaces: lines NAME<tab>UUID:KEY.")
@on_data
def get(subject: str, namespace: str | None, every: bool, place: Place) -> int:
    """Show a subject's credentials."""

    def run() -> None:
        name = subjects.checked_subject(subject)
        space = name if namespace is None else namespace.strip()
        if not every:
            click.echo(work(place, "get subject", lambda accounts: subjects.credentials(accounts, name, space)))
            return
        doc, _ = work(place, "get subject", lambda accounts: subjects.subject(accounts, name))
        for entry in doc.namespaces:
            click.echo(f"{entry.name}\t{subjects.pair(entry)}")

    return told(run)


@command.command("whois")
@click.argument("authorization", metavar="UUID:KEY")
@on_data
def whois(authorization: str, place: Place) -> int:
    """Show whose credentials these are."""

    def run() -> None:
        id, _, key = authorization.strip().partition(":")
        found = work(place, "look up subject", lambda accounts: accounts.identity(id, key))
        if found is None:
            raise Told("Subject id is not recognized")
        click.echo(f"subject: {found.subject}\nnamespace: {found.namespace.name}")

    return told(run)


@command.command("list")
@click.argument("namespace")
@click.option("-p", "--pick", type=int, default=1, show_default=True, metavar="N", help="Show so many at most.")
@click.option("-a", "--all", "every", is_flag=True, help="Show all.")
@click.option("-k", "--key", is_flag=True, help="Show the credentials without the subject.")
@on_data
def list_(*, namespace: str, pick: int, every: bool, key: bool, place: Place) -> int:
    """Show the identities of a namespace: lines UUID:KEY<tab>SUBJECT."""

    def run() -> None:
        space = subjects.checked_namespace(namespace)
        if pick < 1:
            raise Told("pick at least 1 identity to show", USAGE)
        found = work(place, "list identities", lambda accounts: accounts.identities(space))
        if not found:
            raise Told(f'no identities found for namespace "{space}"')
        for each in found if every else found[:pick]:
            click.echo(each.authkey["api_key"] if key else f"{each.authkey['api_key']}\t{each.subject}")

    return told(run)


def _block(names: tuple[str, ...], blocked: bool, place: Place) -> int:
    """The number of failures."""
    verb = "block" if blocked else "unblock"

    def run(name: str) -> None:
        name = subjects.checked_subject(name)
        work(place, f'{verb} "{name}"', lambda accounts: subjects.block(accounts, name, blocked))
        click.echo(f'"{name}" {verb}ed successfully')

    return min(255, sum(told(lambda name=name: run(name)) > 0 for name in names))


@command.command("block")
@click.argument("subject", nargs=-1, required=True)
@on_data
def block(subject: tuple[str, ...], place: Place) -> int:
    """Shut subjects out: their keys fail at once. The exit code is the number of failures."""
    return _block(subject, True, place)


@command.command("unblock")
@click.argument("subject", nargs=-1, required=True)
@on_data
def unblock(subject: tuple[str, ...], place: Place) -> int:
    """Let blocked subjects in again. The exit code is the number of failures."""
    return _block(subject, False, place)
