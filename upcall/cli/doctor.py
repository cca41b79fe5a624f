"""`upcall doctor`: what is wrong with a host, a cluster or a deployment."""

from typing import IO

import click

from upcall.doctor.explain import explain as explained
from upcall.doctor.report import as_json, code, line

MOST = 10_000_000
"""Characters of a text."""
UNKNOWN = (
    "Nothing in these {lines} lines is known to the doctor, and it blames nothing.\n"
    "It knows errors of Invokers, kubelets, container engines, Kafka and CouchDB: give it the lines around the first "
    "error, and what `kubectl describe pod` and `kubectl get events` say."
)


@click.group("doctor")
def command() -> None:
    """Name what is wrong, and what helps."""


@command.command("explain", short_help="Explain logs and events that you paste.")
@click.argument("file", type=click.File("r", errors="replace"), default="-")
@click.option("--json", "json", is_flag=True, help="For programs.")
def explain(file: IO[str], json: bool) -> int:
    """Read logs or events from FILE or standard input, and name the failures that they show: cause and fix.

    \b
    kubectl describe pod invoker-0 | upcall doctor explain
    upcall doctor explain invoker.log
    upcall doctor explain --json < events.txt

    Exit code: 0 nothing known is in it, 1 warnings, 2 errors.
    """
    if file.isatty():
        click.echo("Paste the lines, then press Ctrl-D.", err=True)
    text = file.read(MOST)
    findings = explained(text)
    if json:
        click.echo(as_json(findings))
    else:
        for finding in findings:
            click.echo(line(finding))
        if not findings:
            click.echo(UNKNOWN.format(lines=len(text.splitlines())))
    return code(findings)
