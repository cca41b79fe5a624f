"""`upcall action`: create, update, get, delete and list actions; `invoke` has a file of its own."""

from pathlib import Path
from typing import Any

import click

from upcall.cli import definition, output
from upcall.cli.client import Client, require
from upcall.cli.codefile import content, file_name
from upcall.cli.flags import VerbGroup
from upcall.cli.invoke import invoke
from upcall.cli.refusal import Refused
from upcall.cli.session import Name, connect, name

COLLECTION = "actions"


@click.group("action", cls=VerbGroup)
def command() -> None:
    """Work with actions.

    \b
    upcall action create hello hello.py
    upcall action invoke hello -r -p name Ada
    """


command.add_command(invoke)


@command.command("create")
@click.argument("name_", metavar="NAME")
@click.argument("code", required=False)
@definition.options
@output.as_json
@click.pass_context
def create(context: click.Context, /, name_: str, code: str | None, **given: Any) -> None:
    """Create an action from a file.

    \b
    upcall action create hello hello.py -p greeting Hello
    upcall action create hello hello.zip --kind python:default -t 10000 -m 512
    upcall action create pair --sequence hello,hello
    upcall action create other --copy hello
    """
    client = connect(context)
    target = name(client, name_)
    definition.check_secret(client, target, given, exists=False)
    body = definition.body(client, code, given)
    if "exec" not in body:
        raise click.UsageError("An action needs code: name its file, or give --docker.")
    _put(client, target, body, code, overwrite=False, as_json=given["as_json"])


@command.command("update")
@click.argument("name_", metavar="NAME")
@click.argument("code", required=False)
@definition.options
@click.option("--del-annotation", multiple=True, metavar="NAME", help="Remove an annotation; may be repeated.")
@output.as_json
@click.pass_context
def update(context: click.Context, /, name_: str, code: str | None, **given: Any) -> None:
    """Change an action, or create it. What nothing is said about stays; parameters are replaced as a whole.

    \b
    upcall action update hello hello.py
    upcall action update hello --timeout 30000 --web yes
    """
    client = connect(context)
    target = name(client, name_)
    definition.check_secret(client, target, given, exists=True)
    body = definition.body(client, code, given)
    _put(client, target, body, code, overwrite=True, as_json=given["as_json"])


@command.command("get")
@click.argument("name_", metavar="NAME")
@click.argument("field", required=False)
@click.option("-s", "--summary", is_flag=True, help="Name, description and parameters.")
@click.option("-r", "--url", is_flag=True, help="Where it can be called.")
@click.option("--save", is_flag=True, help="Save the code to a file named after the action.")
@click.option("--save-as", metavar="FILE", help="Save the code to this file.")
@output.as_json
@click.pass_context
def get(
    context: click.Context,
    *,
    name_: str,
    field: str | None,
    summary: bool,
    url: bool,
    save: bool,
    save_as: str | None,
    as_json: bool,
) -> None:
    """Show an action, a field of it, its address, or save its code.

    \b
    upcall action get hello
    upcall action get hello limits
    upcall action get hello --save-as copy.py
    """
    client = connect(context)
    target = name(client, name_)
    saving = bool(save or save_as)
    answer = client.ask("GET", target.namespace, COLLECTION, *target.segments, query={"code": saving})
    action = require(answer, f"Unable to get action '{target.text}'")
    if saving:
        _save(action, save_as)
    elif as_json:
        output.document(output.field(action, field) if field else action)
    elif summary:
        _summarize(action)
    elif url:
        output.ok(f"got action {output.bold(target.text)}")
        click.echo(_url(client, action))
    elif field:
        value = output.field(action, field)
        output.ok(f"got action {output.bold(target.text)}, displaying field {output.bold(field)}")
        output.document(value)
    else:
        output.ok(f"got action {output.bold(target.text)}")
        output.document(action)


@command.command("delete")
@click.argument("name_", metavar="NAME")
@output.as_json
@click.pass_context
def delete(context: click.Context, name_: str, as_json: bool) -> None:
    """Delete an action.

    \b
    upcall action delete hello
    """
    client = connect(context)
    target = name(client, name_)
    answer = client.ask("DELETE", target.namespace, COLLECTION, *target.segments)
    deleted = None if answer.status == 204 else require(answer, f"Unable to delete action '{target.text}'")
    if as_json:
        output.document(deleted)
    else:
        output.ok(f"deleted action {output.bold(target.text)}")


@command.command("list")
@click.argument("place", metavar="[[/NAMESPACE/]PACKAGE/]", required=False)
@click.option("-l", "--limit", type=int, default=30, show_default=True, help="How many at most, up to 200.")
@click.option("-s", "--skip", type=int, default=0, show_default=True, help="How many of the newest to leave out.")
@click.option("-n", "--name-sort", is_flag=True, help="By name; the newest come first otherwise.")
@output.as_json
@click.pass_context
def list_(context: click.Context, *, place: str | None, limit: int, skip: int, name_sort: bool, as_json: bool) -> None:
    """List actions.

    \b
    upcall action list --limit 5
    upcall action list --json | jq -r .[].name
    """
    client = connect(context)
    namespace, package = _place(client, place)
    segments = (package, "") if package else ()
    answer = client.ask("GET", namespace, COLLECTION, *segments, query={"limit": limit, "skip": skip})
    listed = require(answer, f"Unable to obtain the list of actions for namespace '{namespace}'")
    if name_sort:
        listed = sorted(listed, key=lambda entry: (entry["namespace"], entry["name"]))
    if as_json:
        output.document(listed)
    else:
        output.actions(listed)


def _put(
    client: Client, target: Name, body: dict[str, Any], code: str | None, *, overwrite: bool, as_json: bool
) -> None:
    verb = "update" if overwrite else "create"
    answer = client.ask(
        "PUT",
        target.namespace,
        COLLECTION,
        *target.segments,
        query={"overwrite": overwrite},
        body=body,
        name=code or target.text,
    )
    made = require(answer, f"Unable to {verb} action '{target.text}'")
    if as_json:
        output.document(made)
    else:
        output.ok(f"{verb}d action {output.bold(target.text)}")


def _place(client: Client, place: str | None) -> tuple[str, str]:
    """Namespace, and package or nothing: of `/ns`, `/ns/`, `/ns/package`, `package/`."""
    if not place:
        return client.namespace, ""
    parts = [part for part in place.split("/") if part]
    if place.startswith("/"):
        if len(parts) in (1, 2):
            return parts[0], "".join(parts[1:])
    elif len(parts) == 1:
        return client.namespace, parts[0]
    raise click.UsageError(f"'{place}' is neither /NAMESPACE nor [/NAMESPACE/]PACKAGE/.")


def _save(action: output.Document, wanted: str | None) -> None:
    held = action["exec"]
    raw = content(held)
    path = Path(wanted or file_name(action["name"], held)).absolute()
    try:
        with path.open("xb") as file:
            file.write(raw)
    except FileExistsError:
        raise Refused(f"the file '{path}' is there already: name another with --save-as") from None
    except OSError as error:
        raise Refused(f"the file '{path}' cannot be written: {error.strerror}") from None
    output.ok(f"saved action code to {path}")


def _summarize(action: output.Document) -> None:
    text = output.annotation(action, "description")
    described = {
        entry.get("name") for entry in output.annotation(action, "parameters") or () if isinstance(entry, dict)
    }
    bound = {entry["key"] for entry in action.get("parameters", ())}
    names = sorted(f"*{each}" if each in bound else each for each in described | bound if isinstance(each, str))
    click.echo(
        f"{output.bold('action')} /{action['namespace']}/{action['name']}{f': {text}' if text else ''}\n"
        f"   ({output.bold('parameters')}: {', '.join(names) or 'none defined'})"
    )


def _url(client: Client, action: output.Document) -> str:
    """Of a web action, the one that needs no key."""
    namespace, _, package = action["namespace"].partition("/")
    if output.annotation(action, "web-export"):
        return client.url("web", namespace, package or "default", action["name"])
    return client.url("namespaces", namespace, COLLECTION, *filter(None, (package, action["name"])))
