"""`upcall serve`: the platform in one process."""

from pathlib import Path

import click

from upcall.cli.role import epilog, options, start


@click.command("serve", epilog=epilog("serve"))
@options("serve")
def command(config: Path | None, **flags: str | None) -> None:
    """Run the whole platform on this machine, in one process: REST API, Invoker and store, and actions in sandboxes of
    this host (--driver process) or in containers of its Docker engine (--driver docker).

    Stop it with Ctrl-C: running actions get the time of --grace to end.
    """
    start("serve", config, flags)
