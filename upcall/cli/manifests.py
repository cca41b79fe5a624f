"""`upcall manifests`: what Kubernetes is given to run Invokers, or the whole platform."""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from upcall.errors import Misconfigured
from upcall.manifests.made import Form, manifest
from upcall.manifests.nodes import row
from upcall.manifests.profiles import ANY, AUTO, PROFILES, driver_for, profile
from upcall.manifests.wanted import ARCHES, DRIVERS, ISOLATIONS, SCALERS, SPREADS, USUAL_MEMORY, Wanted
from upcall.manifests.wishes import selectors
from upcall.model.sizes import MB, parse_size
from upcall.roles import manifest as parsed

SEED = "ubuntu-docker"
"""What the manifest of 2017 was for."""
OR = "or say what the nodes are: 'upcall manifests --profiles' shows all"
HEAD = "Made by: {command}\nApply it: kubectl apply -f FILE"
_HIDDEN = ("--store",)


@click.command("manifests", context_settings={"max_content_width": 110})
@click.option(
    "--profile",
    metavar="NAME",
    help=f"What the nodes are; auto asks the cluster; --profiles shows all.  [default: {ANY}]",
)
@click.option("--profiles", is_flag=True, help="Show them, and leave.")
@click.option(
    "--driver", type=click.Choice([AUTO, *DRIVERS]), default=AUTO, help="What runs actions; auto: as the profile says."
)
@click.option("--as", "as_", type=click.Choice(["2017"]), help="The manifest of OpenWhisk's deployments of that year.")
@click.option(
    "--platform",
    type=click.Choice(["single", "fleet"]),
    help="The whole platform: in one pod, or with Kafka and PostgreSQL.",
)
@click.option("--replicas", type=int, default=1, metavar="N", help="Invokers.  [default: 1]")
@click.option("--daemonset", "daemon", is_flag=True, help="One Invoker per node, whose number ZooKeeper keeps.")
@click.option("--zookeeper-hosts", "zookeeper", default="", metavar="HOST:PORT,…", help="For --daemonset.")
@click.option("-n", "--namespace", metavar="NAME", help="[default: openwhisk; of a whole platform upcall]")
@click.option("--release", default="", metavar="NAME", help="What names of objects begin with.")
@click.option(
    "--node-selector", multiple=True, metavar="KEY=VALUE", help="Only on nodes with this label; may be repeated."
)
@click.option(
    "--toleration",
    "tolerations",
    multiple=True,
    metavar="KEY=VALUE:EFFECT",
    help="Also on nodes with this taint; may be repeated.",
)
@click.option(
    "--spread",
    type=click.Choice(SPREADS),
    help="Whether Invokers are on a node each.  [default: preferred; with docker required]",
)
@click.option(
    "--memory",
    default=f"{USUAL_MEMORY}m",
    metavar="SIZE",
    help=f"For the running actions of an Invoker.  [default: {USUAL_MEMORY}m]",
)
@click.option(
    "--cpu",
    default="",
    metavar="N",
    help="CPUs of an Invoker's pod, as in 2 or 500m.  [default: no bound; 1 where actions are elsewhere]",
)
@click.option("--registry", default="", metavar="HOST/PATH", help="Where the image is.")
@click.option("--image", metavar="IMAGE", help="Another name of the image, or its digest.")
@click.option("--pull-secret", default="", metavar="NAME", help="Secret with the registry's credentials.")
@click.option("--kafka-hosts", "kafka", metavar="HOST:PORT,…", help="[default: kafka.NAMESPACE:9092]")
@click.option(
    "--store",
    default="",
    metavar="URL|@FILE",
    help="PostgreSQL or CouchDB, for the Secret. Other users of this machine can read a command line: @FILE is read.",
)
@click.option(
    "--secret",
    default="",
    metavar="NAME",
    help="Secret that is there, with UPCALL_STORE or CONFIG_whisk_couchdb_… and UPCALL_OPERATOR_PASSWORD.",
)
@click.option("--api-host", default="", metavar="URL", help="The API, for actions.  [default: https://nginx.NAMESPACE]")
@click.option("--runtimes", default="", metavar="@FILE", help="OpenWhisk's runtimes manifest.")
@click.option(
    "--tls-secret", default="", metavar="NAME", help="Secret of kubernetes.io/tls, with which the Invoker speaks https."
)
@click.option(
    "--volume",
    default="",
    metavar="CLASS",
    help="StorageClass for data, or default.  [default: none; they go with the pod]",
)
@click.option("--volume-size", default="1g", metavar="SIZE", help="[default: 1g]")
@click.option(
    "--isolation",
    type=click.Choice(ISOLATIONS),
    default="full",
    help="Of --driver process. none: no rights are taken, and actions can do all that the Invoker can.",
)
@click.option(
    "--user-namespace",
    is_flag=True,
    help="Of --driver process: root there is nobody on the node (hostUsers: false; containerd 2).",
)
@click.option(
    "--docker-group", default=999, metavar="GID", help="Group of the Docker socket on the nodes.  [default: 999]"
)
@click.option(
    "--arch", type=click.Choice(ARCHES), default="amd64", help="Of the nodes, for --as 2017.  [default: amd64]"
)
@click.option("--monitor", is_flag=True, help="A ServiceMonitor, for Prometheus' operator.")
@click.option(
    "--scale",
    "scaler",
    type=click.Choice(SCALERS),
    default="none",
    help="Who changes the number of Invokers by their load.",
)
@click.option(
    "--prometheus", metavar="URL", help="For --scale keda.  [default: http://prometheus-operated.monitoring:9090]"
)
@click.option("--max-replicas", "most", default=10, metavar="N", help="For --scale.  [default: 10]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file, instead of standard output."
)
def command(profiles: bool, as_: str | None, platform: str | None, output: Path | None, **given: Any) -> None:
    """Write what Kubernetes is to be given: an Invoker, or the whole platform.

    \b
    upcall manifests > invoker.yml                                 an Invoker that runs on any node
    upcall manifests --profile talos --replicas 3 | kubectl apply -f -
    upcall manifests --profile ubuntu-docker --node-selector openwhisk-role=invoker -o invoker.yml
    upcall manifests --as 2017 > invoker.yml                       as OpenWhisk's was, on today's Kubernetes
    upcall manifests --platform single -n demo > upcall.yml        the whole platform in one pod

    Drivers: process runs actions in sandboxes of the Invoker's own pod, docker in containers of the node's Docker
    engine, kubernetes in pods.
    """
    if profiles:
        _show()
        return
    form: Form = _form(as_, platform)
    wanted = _wanted(form, given)
    text = manifest(form, wanted, HEAD.format(command=_said()))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise Misconfigured(f"{output} cannot be written: {error.strerror}") from error


def _form(as_: str | None, platform: str | None) -> Form:
    if as_ and platform:
        raise Misconfigured("--as 2017 is one Invoker, and --platform is more: give one of them")
    if as_:
        return "2017"
    if platform == "single":
        return "single"
    return "fleet" if platform else "invoker"


def _wanted(form: Form, given: dict[str, Any]) -> Wanted:
    """Raises Misconfigured."""
    name = given.pop("profile") or (SEED if form == "2017" else ANY)
    if name == AUTO:
        name = _seen()
    found = profile(name)
    asked = given.pop("driver")
    if asked == AUTO:
        asked = "docker" if form == "2017" else None
    namespace = given.pop("namespace") or ("openwhisk" if form in ("2017", "invoker") else "upcall")
    kafka = given.pop("kafka")
    if kafka is not None and not kafka.strip():
        raise Misconfigured("--kafka-hosts: servers are given as HOST:PORT,HOST:PORT, as in kafka.openwhisk:9092")
    if kafka or form in ("invoker", "2017"):
        given["kafka"] = kafka or f"kafka.{namespace}:9092"
    return Wanted(
        profile=name,
        driver=driver_for(found, asked),
        namespace=namespace,
        node_selector=selectors(given.pop("node_selector")),
        memory=_size("--memory", given.pop("memory")),
        volume_size=_size("--volume-size", given.pop("volume_size")),
        runtimes=_runtimes(given.pop("runtimes")),
        store=_store(given.pop("store")),
        **{name: value for name, value in given.items() if value is not None},
    )


def _seen() -> str:
    """The row in which the nodes of the kubeconfig's cluster are. Raises Misconfigured."""
    from lightkube.resources.core_v1 import Node

    from upcall.kubernetes.client import Api, Away, Refused

    async def ask() -> list[dict[str, Any]]:
        api = Api()
        try:
            return await api.all(Node)
        finally:
            await api.close()

    try:
        found = row(asyncio.run(ask()))
    except Misconfigured as error:
        raise Misconfigured(f"--profile auto asks a cluster, and none is known here: set KUBECONFIG, {OR}") from error
    except (Away, Refused) as error:
        raise Misconfigured(f"--profile auto: {error}: see where KUBECONFIG leads to, {OR}") from error
    click.echo(f"upcall: the nodes are of the profile {found.profile} ({found.shown})", err=True)
    return found.profile


def _size(option: str, text: str) -> int:
    """MB."""
    try:
        return parse_size(text) // MB
    except ValueError as error:
        raise Misconfigured(f"{option}: {error}") from None


def _store(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text.removeprefix("@")).expanduser().read_text().strip()
    except OSError as error:
        raise Misconfigured(f"--store {text}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise Misconfigured(f"--store {text}: is no text") from None


def _runtimes(text: str) -> str:
    """As JSON, which an Invoker can read."""
    if not text:
        return ""
    try:
        parsed(text)
        return text if text.lstrip().startswith("{") else Path(text.removeprefix("@")).expanduser().read_text()
    except (OSError, ValueError) as error:
        raise Misconfigured(f"--runtimes: {error}") from None


def _said() -> str:
    """This command, without what may be secret."""
    words: list[str] = []
    for word in ["upcall", *sys.argv[1:]]:
        option, equal, _ = word.partition("=")
        if option in _HIDDEN and equal:
            words.append(f"{option}=…")
        else:
            words.append("…" if words and words[-1] in _HIDDEN else shlex.quote(word))
    return " ".join(words)


def _show() -> None:
    for name, found in PROFILES.items():
        click.echo(f"{name:<15} {found.driver:<11} {found.hosts}")
