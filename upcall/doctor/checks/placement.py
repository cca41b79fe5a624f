"""Where a cluster can put pods, and with what: taints, memory, rights of containers (spec: kubernetes.md §10)."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation

from upcall.doctor.checks.objects import name, of_upstream
from upcall.doctor.facts.cluster import Cluster, deployment
from upcall.doctor.facts.deployment import Object, Workload
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding
from upcall.model.sizes import parse_size

_PASSING = "node.kubernetes.io/"
"""Taints that Kubernetes gives and takes by itself."""
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MEMORY = ("UPCALL_MEMORY", "CONFIG_whisk_containerPool_userMemory")
_ENFORCE = "pod-security.kubernetes.io/enforce"
MB = 1 << 20
FEW, PLENTY = 2048 * MB, 4
"""Memory for eight actions, and how many times as much a node has that is not used."""


def taints(cluster: Cluster) -> Iterator[Finding]:
    """A pod that waits for a node, where each node has a taint that it does not tolerate."""
    nodes = cluster.of("Node")
    for pod in cluster.of("Pod"):
        if not nodes or not _waits(pod):
            continue
        tolerations = (pod.get("spec") or {}).get("tolerations") or ()
        found = {name(node): taint for node in nodes if (taint := _untolerated(node, tolerations))}
        if len(found) == len(nodes):
            taint = next(iter(found.values()))
            yield FAILURES["K8S-02"].found(
                f"pod {name(pod)}", f"taints {', '.join(found.values())}", None, {"taint": taint}
            )


def accounts(cluster: Cluster) -> Iterator[Finding]:
    """Containers beside the pods, of which the kubelet knows nothing, with more memory than any node has."""
    largest = max((_allocatable(node) for node in cluster.of("Node")), default=0)
    for each in deployment(cluster).invokers():
        docker = any(str(path.get("path", "")).endswith("docker.sock") for _, _, path in each.host_paths())
        wanted = _memory(each)
        if docker and largest and wanted > largest:
            evidence = f"{wanted // MB} MB for actions, {largest // MB} MB on the largest node"
            words = {"wanted": wanted // MB, "node": "the largest node", "there": largest // MB}
            yield FAILURES["HOST-10"].found(each.said, evidence, None, words)


def few(cluster: Cluster) -> Iterator[Finding]:
    """OpenWhisk's own Invoker with its default, on nodes of many times that."""
    largest = max((_allocatable(node) for node in cluster.of("Node")), default=0)
    for each in deployment(cluster).invokers():
        memory = _memory(each)
        if of_upstream(each) and 0 < memory <= FEW and largest >= PLENTY * FEW:
            words = {"memory": memory // MB, "count": memory // (256 * MB)}
            evidence = f"{memory // MB} MB for actions, {largest // MB} MB on the largest node"
            yield FAILURES["K8S-14"].found(each.said, evidence, None, words)


def admission(cluster: Cluster) -> Iterator[Finding]:
    """What a namespace's Pod Security refuses."""
    labels = {name(each): (each.get("metadata") or {}).get("labels") or {} for each in cluster.of("Namespace")}
    level = labels.get(cluster.namespace, {}).get(_ENFORCE, "privileged")
    if level == "privileged":
        return
    for each in deployment(cluster).invokers():
        if refused := _privileges(each):
            evidence = f"{_ENFORCE}: {level}; the pod has {refused}"
            yield FAILURES["HOST-13"].found(each.said, evidence)


def _privileges(each: Workload) -> str:
    """What level baseline does not allow."""
    if any(True for _ in each.host_paths()):
        return "hostPath volumes"
    for flag in ("hostPID", "hostNetwork", "hostIPC"):
        if each.pod.get(flag):
            return flag
    for container in each.pod.get("containers") or ():
        context = container.get("securityContext") or {}
        if context.get("privileged"):
            return "a privileged container"
        if "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            return "the capability SYS_ADMIN"
    return ""


def _waits(pod: Object) -> bool:
    if (pod.get("spec") or {}).get("nodeName"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "PodScheduled" and each.get("reason") == "Unschedulable" for each in conditions)


def _untolerated(node: Object, tolerations: object) -> str:
    """The first taint that keeps the pod away."""
    assert isinstance(tolerations, list | tuple)
    for taint in (node.get("spec") or {}).get("taints") or ():
        lasting = not str(taint.get("key", "")).startswith(_PASSING)
        keeps_away = lasting and taint.get("effect") in ("NoSchedule", "NoExecute")
        if keeps_away and not any(_tolerates(each, taint) for each in tolerations):
            return f"{taint.get('key')}={taint.get('value', '')}:{taint.get('effect')}"
    return ""


def _tolerates(toleration: Mapping[str, object], taint: Mapping[str, object]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    same = toleration.get("value", "") == taint.get("value", "")
    return toleration.get("key") == taint.get("key") and same


def _allocatable(node: Object) -> int:
    """Bytes; 0 where the node does not say."""
    text = str(((node.get("status") or {}).get("allocatable") or {}).get("memory", ""))
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    try:
        return int(Decimal(text.removesuffix(unit)) * _UNITS.get(unit, 1))
    except InvalidOperation:
        return 0


def _memory(each: Workload) -> int:
    """Bytes for actions, where the workload says them; else 0."""
    given = next(filter(None, map(each.variable, _MEMORY)), "")
    try:
        return parse_size(given.strip()) if given else 0
    except ValueError:
        return 0


CHECKS: tuple[Callable[[Cluster], Iterator[Finding]], ...] = (taints, accounts, few, admission)
