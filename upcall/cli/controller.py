"""`upcall controller`: one server of the API of a platform of several processes."""

from pathlib import Path

import click

from upcall.cli.role import Deployed, epilog, options, start


@click.command("controller", cls=Deployed, epilog=epilog("controller"))
@options("controller")
def command(config: Path | None, **flags: str | None) -> None:
    """Run one controller: the REST API, which has actions run by the Invokers on the same brokers.

    \b
    upcall controller --kafka-hosts kafka:9092 --store postgresql://upcall@db/upcall

    Give several controllers an --id each. Subjects are made with 'upcall user create' on the same store.
    """
    start("controller", config, flags)
