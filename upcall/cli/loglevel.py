"""`upcall log-level`: how much a running platform logs."""

import click

from upcall.cli.flags import Verb
from upcall.cli.operating import ask, connect
from upcall.cli.output import ok
from upcall.model.forms import LEVELS


@click.command("log-level", cls=Verb)
@click.argument("level", type=click.Choice(LEVELS), required=False)
@click.pass_context
def command(context: click.Context, level: str | None) -> None:
    """Show the least level that is logged, or set it until the platform ends (operator)."""
    client = connect(context)
    if level is None:
        click.echo(ask(client, "GET", "/loglevel").document["level"])
    else:
        ask(client, "PUT", "/loglevel", {"level": level})
        ok(f"log level {level}")
