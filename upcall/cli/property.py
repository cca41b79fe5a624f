"""`upcall property`: what is written in `~/.wskprops`, and what counts."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import click

from upcall import __version__
from upcall.cli import output
from upcall.cli.client import Client, address, reason
from upcall.cli.flags import VerbGroup
from upcall.cli.properties import DEFAULTS, Properties, Value, user_file, write
from upcall.cli.refusal import GENERAL, Refused, exit_code
from upcall.cli.session import connect, properties

WORDS = {
    "cert": "client cert",
    "key": "client key",
    "auth": "whisk auth",
    "apihost": "whisk API host",
    "apiversion": "whisk API version",
    "namespace": "whisk namespace",
}
SERVERS = {"apibuild": ("whisk API build", "build"), "apibuildno": ("whisk API build number", "buildno")}
"""Words, and the member of the API's description."""
_OWN = ("cliversion", "whisk CLI version")
_SECRET = ("auth", "cert", "key")


def _options(**attributes: Any) -> Callable[[Any], Any]:
    """One option for each property of the file."""

    def decorate(function: Any) -> Any:
        for name, words in reversed(WORDS.items()):
            names = ("-u", f"--{name}") if name == "auth" else (f"--{name}",)
            function = click.option(*names, name, help=f"{words[0].upper()}{words[1:]}.", **attributes)(function)
        return function

    return decorate


@click.group("property", cls=VerbGroup)
def command() -> None:
    """Say once which server and key the other verbs use. It is kept in ~/.wskprops, or where WSK_CONFIG_FILE says.

    \b
    upcall property set --apihost https://api.example.org --auth UUID:KEY
    upcall property get
    """


@command.command("set")
@_options(metavar="VALUE")
def set_(**given: str | None) -> None:
    """Write properties.

    \b
    upcall property set --apihost http://127.0.0.1:3233 --auth UUID:KEY
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError(f"What? Give one of {', '.join(f'--{name}' for name in WORDS)}.")
    for name, value in changes.items():
        if not value.strip():
            raise click.UsageError(f"--{name} is empty; 'upcall property unset --{name}' removes it.")
    if "apihost" in changes:
        address(Properties({"apihost": Value(changes["apihost"], "--apihost")}, ()))
    write(user_file(os.environ), changes)
    for name, value in changes.items():
        if name in _SECRET:
            output.ok(f"{WORDS[name]} set. Run 'upcall property get --{name}' to see the new value.")
        else:
            output.ok(f"{WORDS[name]} set to {output.bold(value)}")


@command.command("unset")
@_options(is_flag=True)
def unset(**given: bool) -> None:
    """Remove properties from the file.

    \b
    upcall property unset --auth
    """
    chosen = [name for name, wanted in given.items() if wanted]
    if not chosen:
        raise click.UsageError(f"Which? Give one of {', '.join(f'--{name}' for name in WORDS)}.")
    write(user_file(os.environ), dict.fromkeys(chosen))
    for name in chosen:
        default = f"; the default value of {DEFAULTS[name]} will be used" if name in DEFAULTS else ""
        output.ok(f"{WORDS[name]} unset{default}")


@command.command("get")
@_options(is_flag=True)
@click.option("--cliversion", is_flag=True, help="The version of this command.")
@click.option("--apibuild", is_flag=True, help="The server's build.")
@click.option("--apibuildno", is_flag=True, help="The number of the server's build.")
@click.option("--all", "all_", is_flag=True, help="All of them, which is the default.")
@click.option("-o", "--output", "form", type=click.Choice(("std", "raw")), default="std", help="raw: the value alone.")
@output.as_json
@click.pass_context
def get(context: click.Context, /, *, all_: bool, form: str, as_json: bool, **given: bool) -> None:
    """Show the properties that count now; -v says where they come from.

    \b
    upcall property get
    upcall property get --apihost --output raw
    """
    chosen = [name for name, wanted in given.items() if wanted]
    if form == "raw" and (len(chosen) != 1 or all_):
        raise click.UsageError("--output raw needs exactly one property.")
    rows = list(_rows(properties(context)))
    asked = [name for name in SERVERS if all_ or not chosen or name in chosen]
    described, failure = _described(context) if asked else ({}, None)
    rows += [(name, words, str(described.get(member, "Unknown"))) for name, (words, member) in SERVERS.items()]
    shown = [row for row in rows if all_ or not chosen or row[0] in chosen]
    if as_json:
        output.document({name: value for name, _, value in shown})
    elif form == "raw":
        click.echo(shown[0][2])
    else:
        for _, words, value in shown:
            click.echo(f"{words}{_to_column(words)}{output.bold(value)}".rstrip())
    if failure:
        raise Refused(f"Unable to obtain API build information: {failure}", failure.code)


def _to_column(words: str) -> str:
    """Tabs to the 24th column, as `wsk` writes them: scripts take the value by `cut -f3` or by awk."""
    return "\t" * (3 - len(words) // 8)


def _rows(found: Properties) -> Iterator[tuple[str, str, str]]:
    for name, words in WORDS.items():
        yield name, words, found.get(name)
    yield *_OWN, __version__


def _described(context: click.Context) -> tuple[dict[str, Any], Refused | None]:
    """What the server says of itself, or why it does not."""
    try:
        client: Client = connect(context)
        answer = client.describe()
    except Refused as failure:
        return {}, failure
    if answer.status == 200 and isinstance(answer.document, dict):
        return answer.document, None
    return {}, Refused(reason(answer), exit_code(answer.status) if answer.status >= 400 else GENERAL)
