"""Facts are gathered, and every check is asked of them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from upcall.config import survey
from upcall.doctor.checks import cluster as of_cluster
from upcall.doctor.checks import configuration as of_configuration
from upcall.doctor.checks import dependencies as of_dependencies
from upcall.doctor.checks import deployment as of_deployment
from upcall.doctor.checks import node as of_node
from upcall.doctor.facts import dependencies
from upcall.doctor.facts.cluster import Cluster, gather
from upcall.doctor.facts.deployment import Deployment
from upcall.doctor.facts.node import Node
from upcall.doctor.finding import Finding
from upcall.kubernetes.client import Api
from upcall.setting import Role


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`looked_at`: at what, for people. `unseen`: what could not be looked at, and why."""

    looked_at: str
    findings: Sequence[Finding]
    unseen: Sequence[str] = ()


def manifest(deployment: Deployment) -> Report:
    checks = (*of_deployment.CHECKS, *of_configuration.CHECKS)
    found = _once(each for check in checks for each in check(deployment))
    return Report(looked_at=deployment.source, findings=found)


def machine(node: Node) -> Report:
    """This one, for `upcall serve`."""
    found = _once(each for check in of_node.CHECKS for each in check(node))
    return Report(looked_at=f"this machine ({node.system}, Linux {node.kernel}, {node.arch})", findings=found)


async def process(role: Role, environment: Mapping[str, str]) -> Report:
    """The settings of a process in this environment, and what they name: Kafka, CouchDB and others. < 2 s."""
    told = survey({}, environment, None, role)
    found = [*of_configuration.given(told)]
    looked_at = [f"the settings of upcall {role}"]
    if told.settings is not None:
        facts = await dependencies.gather(told.settings)
        looked_at += facts.looked_at
        found += [each for check in of_dependencies.CHECKS for each in check(facts)]
    return Report(looked_at=", ".join(looked_at), findings=_once(found))


async def cluster(api: Api) -> Report:
    """Raises Away."""
    try:
        return judged(await gather(api))
    finally:
        await api.close()


def judged(facts: Cluster) -> Report:
    deployment = of_cluster.deployment(facts)
    found = _once(
        [
            *(each for check in of_cluster.CHECKS for each in check(facts)),
            *(each for check in of_deployment.CHECKS for each in check(deployment)),
            *(each for check in of_configuration.CHECKS for each in check(deployment)),
        ]
    )
    where = f"namespace {facts.namespace} of the cluster at {facts.server}"
    return Report(looked_at=where, findings=found, unseen=facts.unseen)


def joined(*reports: Report) -> Report:
    """Of several looks one report."""
    return Report(
        looked_at=", ".join(each.looked_at for each in reports),
        findings=_once(finding for each in reports for finding in each.findings),
        unseen=[why for each in reports for why in each.unseen],
    )


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """One of each failure in each place; errors first."""
    kept: dict[tuple[str, str], Finding] = {}
    for each in findings:
        kept.setdefault((each.id, each.where), each)
    return sorted(kept.values(), key=lambda each: (each.severity, each.id, each.where))
