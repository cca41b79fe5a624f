"""`upcall invoker`: one worker of a platform of several processes."""

from pathlib import Path

import click

from upcall.cli.role import Deployed, epilog, options, start


@click.command("invoker", cls=Deployed, epilog=epilog("invoker"))
@options("invoker")
def command(config: Path | None, **flags: str | None) -> None:
    """Run one Invoker: it takes activations from its topic of Kafka, runs them on this machine and answers there.

    \b
    upcall invoker --id 0 --kafka-hosts kafka:9092 --store postgresql://upcall@db/upcall
    upcall invoker --uniqueName $NODE --zookeeper-hosts zk:2181 --kafka-hosts … --store …

    Number Invokers 0, 1, 2, … without holes; none may be there twice. Without --id, ZooKeeper keeps the number of the
    unique name, as it does for OpenWhisk's Invokers; without either, a pod of a StatefulSet takes its ordinal.

    It works for the controllers ('upcall controller', or OpenWhisk's) on the same brokers and the same store. Stop it
    with Ctrl-C or SIGTERM: running actions get the time of --grace to end, and what has not started waits for the next
    start with the same number.
    """
    start("invoker", config, flags)
