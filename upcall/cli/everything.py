"""`upcall list`: what is in a namespace, as `wsk list` says it."""

import click

from upcall.cli import namespace, output
from upcall.cli.flags import Verb


@click.command("list", cls=Verb)
@click.argument("place", metavar="[/NAMESPACE]", required=False)
@click.option("-n", "--name-sort", is_flag=True, help="By name; the newest come first otherwise.")
@output.as_json
@click.pass_context
def command(context: click.Context, *, place: str | None, name_sort: bool, as_json: bool) -> None:
    """List all that is in a namespace, as 'upcall namespace get' does.

    \b
    upcall list
    upcall list /guest --name-sort
    """
    namespace.show(context, place, name_sort=name_sort, as_json=as_json)
