"""`upcall namespace`: which namespaces the key opens, and what is in one."""

from typing import Any

import click

from upcall.cli import output
from upcall.cli.client import Answer, require
from upcall.cli.flags import VerbGroup
from upcall.cli.session import connect
from upcall.model.texts import UNKNOWN_PATH

PAGE = 200
_COLLECTIONS = ("packages", "actions", "triggers", "rules")


@click.group("namespace", cls=VerbGroup)
def command() -> None:
    """Work with namespaces.

    \b
    upcall namespace list
    upcall namespace get
    """


@command.command("list")
@output.as_json
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """List the namespaces that the key opens.

    \b
    upcall namespace list
    """
    listed = require(connect(context).ask("GET"), "Unable to obtain a list of available namespaces")
    if as_json:
        output.document(listed)
        return
    click.echo(output.bold("namespaces"))
    for name in listed:
        click.echo(name)


@command.command("get")
@click.argument("namespace", required=False)
@click.option("-n", "--name-sort", is_flag=True, help="By name; the newest come first otherwise.")
@output.as_json
@click.pass_context
def get(context: click.Context, *, namespace: str | None, name_sort: bool, as_json: bool) -> None:
    """List all that is in a namespace. A collection that the server does not have is left out.

    \b
    upcall namespace get
    upcall namespace get /guest --json
    """
    show(context, namespace, name_sort=name_sort, as_json=as_json)


def show(context: click.Context, namespace: str | None, *, name_sort: bool, as_json: bool) -> None:
    """Print the lists of a namespace."""
    client = connect(context)
    wanted = (namespace or client.namespace).strip("/")
    if not wanted or "/" in wanted:
        raise click.UsageError(f"'{namespace}' is no namespace: write /NAMESPACE.")
    found: dict[str, Any] = {}
    for collection in _COLLECTIONS:
        answer = client.ask("GET", wanted, collection, query={"limit": PAGE, "skip": 0})
        if not _unknown(answer):
            what = f"Unable to obtain the list of entities for namespace '{wanted}'"
            listed = require(answer, what)
            found[collection] = sorted(listed, key=lambda entry: entry["name"]) if name_sort else listed
    if as_json:
        output.document(found)
        return
    click.echo(f"Entities in namespace: {output.bold(_shown(client.ask('GET'), wanted))}")
    for collection, listed in found.items():
        output.actions(listed) if collection == "actions" else output.names(collection, listed)


def _unknown(answer: Answer) -> bool:
    """No route leads to the list."""
    return answer.status == 404 and answer.refusal == UNKNOWN_PATH


def _shown(answer: Answer, wanted: str) -> str:
    """`_` by its own name."""
    return answer.document[0] if wanted == "_" and answer.status == 200 and answer.document else wanted
