"""`upcall doctor --canary`: on the platform that other verbs would ask, and on this machine's Docker."""

from collections.abc import Iterator
from pathlib import Path

import click

from upcall.cli.refusal import Refused
from upcall.cli.session import connect
from upcall.doctor import canary, canary_engine
from upcall.doctor.examine import Report
from upcall.doctor.facts.node import DOCKER

PATIENCE = 3.0
"""Seconds for an answer of the platform."""


def look(context: click.Context, *, machine: bool, socket: Path = Path(DOCKER)) -> Iterator[Report]:
    """Of a cluster the platform; on a machine that and Docker, whatever is there."""
    docker = machine and socket.is_socket()
    if docker:
        yield canary_engine.sing(socket)
    try:
        client = connect(context, patience=PATIENCE)
        yield canary.sing(client, str(client.address))
    except Refused as error:
        if not docker:
            yield Report(looked_at="no platform", findings=(), unseen=[f"The canary did not run: {error}"])
