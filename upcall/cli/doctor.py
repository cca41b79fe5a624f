"""`upcall doctor`: what is wrong with a host, a cluster or a deployment."""

import asyncio
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import click

from upcall.cli import canary
from upcall.cli.flags import Flagged
from upcall.containers.sandbox import pod
from upcall.doctor import examine
from upcall.doctor.explain import explain as explained
from upcall.doctor.facts import machine
from upcall.doctor.facts.cluster import KINDS
from upcall.doctor.facts.deployment import parse
from upcall.doctor.facts.node import gather
from upcall.doctor.finding import Finding, ObjectPatch
from upcall.doctor.init import errors
from upcall.doctor.report import as_json, code, commands, line, sentence, table
from upcall.errors import Misconfigured
from upcall.kubernetes.client import Api, Away, Refused
from upcall.setting import APART, ROLES, Role

MOST = 10_000_000
"""Characters of a text."""
ELSEWHERE = ("file", "dependencies", "machine", "init")
"""Flags of what is no cluster."""
CANARY = "an action that runs (--canary)"
CLUSTER = ("namespace", "context", "kubeconfig")
PROBES = ("node_probe", "every_node")
"""Flags of what is done in a cluster."""
UNKNOWN = (
    "Nothing in these {lines} lines is known to the doctor, and it blames nothing.\n"
    "It knows errors of Invokers, kubelets, container engines, Kafka and CouchDB: give it the lines around the first "
    "error, and what `kubectl describe pod` and `kubectl get events` say."
)


class Doctor(Flagged, click.Group):
    """It asks a server for its canary alone."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Flagged.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group("doctor", cls=Doctor, invoke_without_command=True)
@click.option("-f", "--file", metavar="FILE", help="Look at a manifest, and at nothing else.")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Of the cluster.  [default: the kubeconfig's]")
@click.option("--context", default="", metavar="NAME", help="Of the kubeconfig.  [default: its current one]")
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Another than KUBECONFIG's.")
@click.option("--dependencies", is_flag=True, help="Look at the settings here, and at the Kafka and CouchDB they name.")
@click.option("--role", type=click.Choice(ROLES), help="Whose settings.  [default: by the host's name, else serve]")
@click.option("--machine", is_flag=True, help="Look at this machine, though there is a cluster.")
@click.option(
    "--init", is_flag=True, help="In an init container: say what keeps --role from starting here, or nothing."
)
@click.option("--node-probe", is_flag=True, help="Look into nodes too, one of each kind, by a short-lived pod on each.")
@click.option("--every-node", is_flag=True, help="The same, on all nodes.")
@click.option(
    "--canary", is_flag=True, help="Run an action that prints a line, too; with --machine a container of Docker."
)
@click.option("--json", "json", is_flag=True, help="For programs.")
@click.option("--fix", is_flag=True, help="Apply the patches of objects to the cluster.")
@click.option("--patch-out", type=click.Path(path_type=Path, dir_okay=False), help="Write them to a file, as commands.")
@click.pass_context
def command(context: click.Context, /, patch_out: Path | None, **asked: Any) -> int | None:
    """Name what is wrong, and what helps.

    \b
    upcall doctor -n openwhisk         the cluster of the kubeconfig, and what is deployed in a namespace
    upcall doctor                      where there is none: this machine, for upcall serve
    upcall doctor --node-probe         the same, and its nodes, by pods that mount their folders; some seconds
    upcall doctor --canary             the same, and runs an action on the platform that --apihost or .wskprops name
    upcall doctor -f invoker.yml       a manifest
    upcall doctor --dependencies       the settings of this environment, and the Kafka and CouchDB that they name
    upcall doctor explain < text       logs and events that you paste

    Nothing is changed without --fix. Exit code: 0 nothing is wrong, 1 warnings, 2 errors.
    """
    if context.invoked_subcommand is not None:
        return None
    _fitting(asked)
    if asked["init"]:
        return _first(asked["role"] or _role())
    api = None if any(asked[name] for name in ELSEWHERE) else _api(asked)
    report = _report(asked, api)
    if asked["canary"]:
        report = examine.joined(report, *canary.look(context, machine=api is None))
    elif not any(asked[name] for name in ELSEWHERE if name != "machine"):
        report = examine.joined(report, examine.Report(looked_at="", findings=(), left=[CANARY]))
    click.echo(as_json(report.findings, report) if asked["json"] else table(report), nl=False)
    if patch_out is not None:
        _write(patch_out, report.findings)
    if asked["fix"]:
        asyncio.run(_mend(report.findings, Api(**_cluster(asked))))
    return code(report.findings)


def _fitting(asked: Mapping[str, Any]) -> None:
    """Raises Misconfigured where flags contradict each other."""
    elsewhere = [name for name in ELSEWHERE if asked[name]]
    if asked["canary"] and elsewhere not in ([], ["machine"]):
        raise Misconfigured(f"--canary needs a platform or a machine, at which --{elsewhere[0]} does not look")
    if len(elsewhere) > 1:
        raise Misconfigured(f"--{elsewhere[0]} and --{elsewhere[1]} are two things to look at: ask for one")
    if elsewhere and asked["fix"]:
        raise Misconfigured(f"--fix mends objects of a cluster: leave --{elsewhere[0]} away, or see --patch-out")
    if elsewhere and (flag := next((name for name in (*CLUSTER, *PROBES) if asked[name]), None)):
        raise Misconfigured(f"--{elsewhere[0]} looks at no cluster: leave --{flag.replace('_', '-')} away")


def _first(role: Role) -> int:
    """A sentence on stderr for each error."""
    found = asyncio.run(errors(role, os.environ))
    for each in found:
        click.echo(sentence(each), err=True)
    return code(found)


def _api(asked: Mapping[str, Any]) -> Api | None:
    """None where no cluster is known here. Raises Misconfigured where one has been asked for."""
    try:
        return Api(**_cluster(asked))
    except Misconfigured as error:
        if asked["context"] or asked["kubeconfig"]:
            raise
        if asked["namespace"]:
            raise Misconfigured(
                f"--namespace {asked['namespace']}: no cluster is known here: set KUBECONFIG, or run it in a pod"
            ) from error
        return None


def _nodes(asked: Mapping[str, Any]) -> examine.Nodes:
    return "all" if asked["every_node"] else "kinds" if asked["node_probe"] else "none"


def _cluster(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asked[name] for name in CLUSTER}


def _report(asked: Mapping[str, Any], api: Api | None) -> examine.Report:
    """Raises Misconfigured."""
    if asked["file"]:
        return _manifest(asked["file"])
    if asked["machine"] or (api is None and not pod.here() and not asked["dependencies"]):
        return examine.machine(gather(), machine.gather())
    role = asked["role"] or _role()
    try:
        return asyncio.run(_looked(api, role if asked["dependencies"] or pod.here() else None, _nodes(asked)))
    except Away as error:
        where = f" ({api.server})" if api else ""
        raise Misconfigured(f"{error}{where}: see whether it runs, and what KUBECONFIG leads to") from error


async def _looked(api: Api | None, role: Role | None, nodes: examine.Nodes) -> examine.Report:
    """At the cluster, at what this environment names, or at both. Raises Away."""
    looks = [examine.process(role, os.environ)] if role else []
    looks += [examine.cluster(api, nodes)] if api else []
    return examine.joined(*await asyncio.gather(*looks))


def _manifest(file: str) -> examine.Report:
    """Raises Misconfigured."""
    try:
        text = Path(file).expanduser().read_text()
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return examine.manifest(parse(text, file))


def _role() -> Role:
    """A pod is named for what it does."""
    name = socket.gethostname()
    return next((role for role in APART if role in name), "serve")


def _write(path: Path, findings: Sequence[Finding]) -> None:
    text = "#!/bin/sh\nset -eu\n" + "".join(f"{shlex.join(each)}\n" for each in commands(findings))
    try:
        path.write_text(text)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from error


async def _mend(findings: Sequence[Finding], api: Api) -> None:
    """Raises Misconfigured."""
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
