"""`upcall doctor`: what is wrong with a host, a cluster or a deployment."""

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import click

from upcall.doctor import examine
from upcall.doctor.explain import explain as explained
from upcall.doctor.facts.cluster import KINDS
from upcall.doctor.facts.deployment import parse
from upcall.doctor.facts.node import gather
from upcall.doctor.finding import Finding, ObjectPatch
from upcall.doctor.report import as_json, code, commands, line, table
from upcall.errors import Misconfigured
from upcall.kubernetes.client import Api, Away, Refused

MOST = 10_000_000
"""Characters of a text."""
UNKNOWN = (
    "Nothing in these {lines} lines is known to the doctor, and it blames nothing.\n"
    "It knows errors of Invokers, kubelets, container engines, Kafka and CouchDB: give it the lines around the first "
    "error, and what `kubectl describe pod` and `kubectl get events` say."
)


@click.group("doctor", invoke_without_command=True)
@click.option("-f", "--file", metavar="FILE", help="Look at a manifest, and at nothing else.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Of the cluster.  [default: the kubeconfig's]")
@click.option("--machine", is_flag=True, help="Look at this machine, though there is a cluster.")
@click.option("--json", "json", is_flag=True, help="For programs.")
@click.option("--fix", is_flag=True, help="Apply the patches of objects to the cluster.")
@click.option("--patch-out", type=click.Path(path_type=Path, dir_okay=False), help="Write them to a file, as commands.")
@click.pass_context
def command(context: click.Context, /, patch_out: Path | None, **asked: Any) -> int | None:
    """Name what is wrong, and what helps.

    \b
    upcall doctor -n openwhisk         the cluster of the kubeconfig, and what is deployed in a namespace
    upcall doctor                      where there is none: this machine, for upcall serve
    upcall doctor -f invoker.yml       a manifest
    upcall doctor explain < text       logs and events that you paste

    Nothing is changed without --fix. Exit code: 0 nothing is wrong, 1 warnings, 2 errors.
    """
    if context.invoked_subcommand is not None:
        return None
    file, namespace = asked["file"], asked["namespace"]
    if asked["fix"] and (file or asked["machine"]):
        raise Misconfigured("--fix mends objects of a cluster: leave --file and --machine away, or see --patch-out")
    api = None if file or asked["machine"] else _api(namespace)
    report = _report(file, api)
    click.echo(as_json(report.findings, report) if asked["json"] else table(report), nl=False)
    if patch_out is not None:
        _write(patch_out, report.findings)
    if asked["fix"]:
        asyncio.run(_mend(report.findings, namespace))
    return code(report.findings)


def _api(namespace: str) -> Api | None:
    """None where no cluster is known here. Raises Misconfigured where one has been asked for."""
    try:
        return Api(namespace=namespace)
    except Misconfigured as error:
        if namespace:
            raise Misconfigured(
                f"--namespace {namespace}: no cluster is known here: set KUBECONFIG, or run it in a pod"
            ) from error
        return None


def _report(file: str | None, api: Api | None) -> examine.Report:
    """Raises Misconfigured."""
    if file is not None:
        try:
            text = Path(file).expanduser().read_text()
        except (OSError, ValueError) as error:
            raise Misconfigured(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        return examine.manifest(parse(text, file))
    if api is None:
        return examine.machine(gather())
    try:
        return asyncio.run(examine.cluster(api))
    except Away as error:
        raise Misconfigured(f"{error} ({api.server}): see whether it runs, and what KUBECONFIG leads to") from error


def _write(path: Path, findings: Sequence[Finding]) -> None:
    text = "#!/bin/sh\nset -eu\n" + "".join(f"{shlex.join(each)}\n" for each in commands(findings))
    try:
        path.write_text(text)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from error


async def _mend(findings: Sequence[Finding], namespace: str) -> None:
    """Raises Misconfigured."""
    api = Api(namespace=namespace)
    try:
        for each in findings:
            if isinstance(each.patch, ObjectPatch) and each.patch.kind in KINDS:
                await api.mend(KINDS[each.patch.kind], each.patch.name, each.patch.operations)
                click.echo(f"{each.id}: {each.patch.kind} {each.patch.name} is mended")
    except (Away, Refused) as error:
        raise Misconfigured(f"--fix: {error}") from error
    finally:
        await api.close()


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
        click.echo(as_json(findings), nl=False)
        return code(findings)
    for finding in findings:
        click.echo(line(finding))
    if not findings:
        click.echo(UNKNOWN.format(lines=len(text.splitlines())))
    return code(findings)
