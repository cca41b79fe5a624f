"""`upcall activation`: list and read records; `poll` has a file of its own."""

import re
from typing import Any

import click

from upcall.cli import output
from upcall.cli.client import Client, require
from upcall.cli.flags import VerbGroup
from upcall.cli.poll import poll
from upcall.cli.refusal import Refused
from upcall.cli.session import connect, scope

COLLECTION = "activations"
_STAMP = re.compile(r"\S+ (?:stdout|stderr): ")

_last = click.option("-l", "--last", is_flag=True, help="The newest one.")


@click.group("activation", cls=VerbGroup)
def command() -> None:
    """Read what became of calls.

    \b
    upcall activation list
    upcall activation logs --last
    """


command.add_command(poll)


@command.command("list")
@click.argument("place", metavar="[/NAMESPACE | ACTION]", required=False)
@click.option("-f", "--full", is_flag=True, help="Whole records.")
@click.option("-l", "--limit", type=int, default=30, show_default=True, help="How many at most, up to 200.")
@click.option("-s", "--skip", type=int, default=0, show_default=True, help="How many of the newest to leave out.")
@click.option("--since", type=int, metavar="MS", help="Started at this time or later, in ms since 1970.")
@click.option("--upto", type=int, metavar="MS", help="Started at this time or earlier, in ms since 1970.")
@output.as_json
@click.pass_context
def list_(
    context: click.Context,
    *,
    place: str | None,
    full: bool,
    limit: int,
    skip: int,
    since: int | None,
    upto: int | None,
    as_json: bool,
) -> None:
    """List activations, of one action if it is named, the newest first.

    \b
    upcall activation list hello --limit 5
    upcall activation list --since 1795400000000 --full
    """
    client = connect(context)
    namespace, target = scope(client, place)
    query: dict[str, Any] = {"limit": limit, "skip": skip, "docs": full}
    query |= {key: value for key, value in (("name", target), ("since", since), ("upto", upto)) if value is not None}
    answer = client.ask("GET", namespace, COLLECTION, query=query)
    listed = require(answer, f"Unable to obtain the list of activations for namespace '{namespace}'")
    if as_json:
        output.document(listed)
    elif full:
        click.echo(output.bold("activations"))
        for entry in listed:
            output.document(entry)
    else:
        output.activations(listed)


@command.command("get")
@click.argument("arguments", nargs=-1, metavar="[ID] [FIELD]")
@_last
@click.option("-g", "--logs", is_flag=True, help="Its logs alone.")
@click.option("-s", "--summary", is_flag=True, help="Status and result alone.")
@output.as_json
@click.pass_context
def get(
    context: click.Context, *, arguments: tuple[str, ...], last: bool, logs: bool, summary: bool, as_json: bool
) -> None:
    """Show an activation's record, or a field of it.

    \b
    upcall activation get 01234567890123456789012345678901
    upcall activation get --last response
    """
    client = connect(context)
    if len(arguments) > (1 if last else 2):
        raise click.UsageError(f"Got unexpected extra argument ({arguments[-1]}).")
    id_ = _newest(client) if last else _given(arguments)
    field = next(iter(arguments[0 if last else 1 :]), None)
    if logs:
        _show_logs(client, id_, strip=False, as_json=as_json)
        return
    record = require(client.ask("GET", client.namespace, COLLECTION, id_), f"Unable to get activation '{id_}'")
    if as_json:
        output.document(output.field(record, field) if field else record)
    elif summary:
        status = record["response"]["status"]
        click.echo(f"activation result for '/{record['namespace']}/{record['name']}' ({status} at {_end(record)})")
        output.document(record["response"].get("result"))
    elif field:
        value = output.field(record, field)
        output.ok(f"got activation {output.bold(id_)}, displaying field {output.bold(field)}")
        output.document(value)
    else:
        output.ok(f"got activation {output.bold(id_)}")
        output.document(record)


@command.command("logs")
@click.argument("id_", metavar="[ID]", required=False)
@_last
@click.option("-r", "--strip", is_flag=True, help="Without time and stream.")
@output.as_json
@click.pass_context
def logs(context: click.Context, *, id_: str | None, last: bool, strip: bool, as_json: bool) -> None:
    """Print an activation's logs.

    \b
    upcall activation logs --last --strip
    """
    client = connect(context)
    _show_logs(client, _chosen(client, id_, last), strip=strip, as_json=as_json)


@command.command("result")
@click.argument("id_", metavar="[ID]", required=False)
@_last
@output.as_json
@click.pass_context
def result(context: click.Context, *, id_: str | None, last: bool, as_json: bool) -> None:
    """Print an activation's result; with --json, its status too.

    \b
    upcall activation result --last
    """
    client = connect(context)
    chosen = _chosen(client, id_, last)
    answer = client.ask("GET", client.namespace, COLLECTION, chosen, "result")
    found = require(answer, f"Unable to get result for activation '{chosen}'")
    output.document(found if as_json else found.get("result"))


def _show_logs(client: Client, id_: str, *, strip: bool, as_json: bool) -> None:
    answer = client.ask("GET", client.namespace, COLLECTION, id_, "logs")
    found = require(answer, f"Unable to get logs for activation '{id_}'")
    if strip:
        found["logs"] = [_STAMP.sub("", line, count=1) if _STAMP.match(line) else line for line in found["logs"]]
    if as_json:
        output.document(found)
        return
    for line in found["logs"]:
        click.echo(line)


def _chosen(client: Client, id_: str | None, last: bool) -> str:
    if last and id_:
        raise click.UsageError("Give an id or --last, not both.")
    return _newest(client) if last else _given((id_,) if id_ else ())


def _given(arguments: tuple[str, ...]) -> str:
    if not arguments:
        raise click.UsageError("Which activation? Give its id, or --last.")
    return arguments[0]


def _newest(client: Client) -> str:
    answer = client.ask("GET", client.namespace, COLLECTION, query={"limit": 1, "skip": 0})
    listed = require(answer, f"Unable to obtain the list of activations for namespace '{client.namespace}'")
    if not listed:
        raise Refused("there are no activations yet")
    return str(listed[0]["activationId"])


def _end(record: output.Document) -> str:
    return output.local_time(record.get("end") or record["start"])
