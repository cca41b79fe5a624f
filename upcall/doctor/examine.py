"""Facts are gathered, and every check is asked of them."""

import asyncio
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from upcall.config import survey
from upcall.containers.sandbox import pod
from upcall.doctor.checks import cluster as of_cluster
from upcall.doctor.checks import configuration as of_configuration
from upcall.doctor.checks import dependencies as of_dependencies
from upcall.doctor.checks import deployment as of_deployment
from upcall.doctor.checks import host as of_host
from upcall.doctor.checks import machine as of_machine
from upcall.doctor.checks import node as of_node
from upcall.doctor.checks import placement, running
from upcall.doctor.facts import clock, dependencies
from upcall.doctor.facts.cluster import Cluster, deployment, gather
from upcall.doctor.facts.deployment import Deployment, Workload
from upcall.doctor.facts.machine import Machine
from upcall.doctor.facts.node import Node
from upcall.doctor.facts.probe import Probed, probe
from upcall.doctor.finding import Finding
from upcall.kubernetes.client import Api
from upcall.setting import Role

Nodes = Literal["none", "kinds", "all"]
"""Which nodes of a cluster are looked into, by a pod on each: one of each kind, or all."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`looked_at`: at what, for people. `unseen`: what could not be looked at, and why."""

    looked_at: str
    findings: Sequence[Finding]
    unseen: Sequence[str] = ()
    left: Sequence[str] = ()
    """What was not asked for, and the flag that asks for it."""


def manifest(deployment: Deployment) -> Report:
    checks = (*of_deployment.CHECKS, *of_configuration.CHECKS)
    found = _once(each for check in checks for each in check(deployment))
    return Report(looked_at=deployment.source, findings=found)


def machine(node: Node, own: Machine | None = None) -> Report:
    """This one, for `upcall serve`, and where it was asked for what that would find here."""
    checks = (*of_node.CHECKS, of_host.groups, of_host.own_versions)
    found = [each for check in checks for each in check(node)]
    if own is not None:
        found += [each for check in of_machine.CHECKS for each in check(own)]
    found = _once(found)
    return Report(looked_at=f"this machine ({node.system}, Linux {node.kernel}, {node.arch})", findings=found)


async def process(role: Role, environment: Mapping[str, str]) -> Report:
    """The settings of a process in this environment, and what they name: Kafka, CouchDB and others. < 2 s."""
    told = survey({}, environment, None, role)
    found = [*of_configuration.given(told)]
    looked_at = [f"the settings of upcall {role}"]
    if told.settings is not None:
        service = dependencies.service_of(socket.gethostname()) if pod.here() else ""
        facts = await dependencies.gather(told.settings, service)
        looked_at += facts.looked_at
        found += [each for check in of_dependencies.CHECKS for each in check(facts)]
    return Report(looked_at=", ".join(looked_at), findings=_once(found))


def nodes(found: Sequence[Node], invokers: Sequence[Workload], images: Sequence[str] = ()) -> list[Finding]:
    """Of a cluster; `images` are those of all pods there."""
    hosts = [of_host.Host(node=node, invokers=invokers, images=images) for node in found]
    alone = (*of_host.ALONE, *((of_host.own_versions,) if any(_runs_docker(each) for each in invokers) else ()))
    return _once(
        [
            *(each for node in found for check in alone for each in check(node)),
            *(each for host in hosts for check in of_host.CHECKS for each in check(host)),
        ]
    )


def _runs_docker(each: Workload) -> bool:
    return any(str(path.get("path", "")).endswith("/docker.sock") for _, _, path in each.host_paths())


async def cluster(api: Api, looks: Nodes = "none") -> Report:
    """Raises Away."""
    try:
        facts, off = await asyncio.gather(gather(api), asyncio.to_thread(clock.ahead, api.server, time.time))
        probed = None
        if looks != "none":
            invokers = [*deployment(facts).invokers()]
            probed = await probe(api, facts, invokers, everywhere=looks == "all")
        found = judged(facts, probed)
        own = [*of_host.clock("this host", off)]
        left = [] if probed else ["nodes from inside (--node-probe)"]
        return msgspec.structs.replace(found, findings=_once([*found.findings, *own]), left=left)
    finally:
        await api.close()


def judged(facts: Cluster, probed: Probed | None = None) -> Report:
    objects = deployment(facts)
    seen = probed or Probed(nodes=(), unseen=())
    found = _once(
        [
            *nodes(seen.nodes, [*objects.invokers()], _images(facts)),
            *(each for checks in (of_cluster, placement, running) for check in checks.CHECKS for each in check(facts)),
            *(each for check in of_deployment.CHECKS for each in check(objects)),
            *(each for check in of_configuration.CHECKS for each in check(objects)),
        ]
    )
    counts = ", ".join(f"{len(facts.of(kind))} {kind}s" for kind in ("Node", "Pod", "Event") if kind in facts.objects)
    where = f"namespace {facts.namespace} of the cluster at {facts.server} ({counts or 'nothing'})"
    looked_at = ", ".join([where, *(_described(each) for each in seen.nodes)])
    if seen.alike:
        looked_at += f" ({seen.alike} others are alike; --every-node looks into them, too)"
    return Report(looked_at=looked_at, findings=found, unseen=[*facts.unseen, *seen.unseen])


def _described(node: Node) -> str:
    about = f"{node.system}, Linux {node.kernel}, {node.arch}, cgroup v{node.cgroup}"
    return f"{node.said} ({about}; driver {of_host.driver(node)} or process)"


def _images(facts: Cluster) -> Sequence[str]:
    pods = ((each.get("spec") or {}) for each in facts.of("Pod"))
    return [str(each.get("image", "")) for pod in pods for each in pod.get("containers") or ()]


def joined(*reports: Report) -> Report:
    """Of several looks one report."""
    return Report(
        looked_at=", ".join(each.looked_at for each in reports if each.looked_at),
        findings=_once(finding for each in reports for finding in each.findings),
        unseen=[why for each in reports for why in each.unseen],
        left=[what for each in reports for what in each.left],
    )


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """One of each failure in each place; errors first."""
    kept: dict[tuple[str, str], Finding] = {}
    for each in findings:
        kept.setdefault((each.id, each.where), each)
    return sorted(kept.values(), key=lambda each: (each.severity, each.id, each.where))
