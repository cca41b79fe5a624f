"""What a cluster's API shows: nodes, pods that do not run, and what is told of them (spec: kubernetes.md §10).

An event counts while what it is about is there and not well: what has mended itself is blamed on nobody.
"""

import re
from collections.abc import Callable, Iterator

from upcall.doctor.checks.deployment import without
from upcall.doctor.checks.objects import name
from upcall.doctor.explain import explain
from upcall.doctor.facts.cluster import Cluster, deployment
from upcall.doctor.facts.deployment import WORKLOADS, Object
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding

READ_ONLY = re.compile(r"flatcar|container linux|coreos|bottlerocket|talos|container-optimized", re.IGNORECASE)
"""Systems of nodes whose /usr nobody can write to, as they name themselves."""
MANY = 200
"""Services."""
_ROLE = "openwhisk-role"


def events(cluster: Cluster) -> Iterator[Finding]:
    ill = {*_ill_pods(cluster), *_ill_workloads(cluster)}
    now = {_place(each): _uid(each) for kind in ("Pod", *WORKLOADS) for each in cluster.of(kind)}
    for each in cluster.of("Event"):
        about = each.get("involvedObject") or {}
        place = (about.get("kind", ""), about.get("name", ""))
        earlier = about.get("uid", "") != now.get(place, "")  # of one that had the same name
        if each.get("type") == "Warning" and place in ill and not earlier:
            text = f"{each.get('reason', '')}: {each.get('message', '')}"
            yield from _explained(text, f"{place[0].lower()} {place[1]}")


def waiting(cluster: Cluster) -> Iterator[Finding]:
    """What a pod's own status says of its containers."""
    for pod in cluster.of("Pod"):
        status = pod.get("status") or {}
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            state = (container.get("state") or {}).get("waiting") or {}
            if state.get("message") or state.get("reason"):
                text = f"{state.get('reason', '')}: {state.get('message', '')}"
                yield from _explained(text, f"pod {name(pod)}")


def nodes(cluster: Cluster) -> Iterator[Finding]:
    for node in cluster.of("Node"):
        for condition in (node.get("status") or {}).get("conditions") or ():
            if condition.get("type") == "DiskPressure" and condition.get("status") == "True":
                where = f"node {name(node)}"
                yield FAILURES["HOST-12"].found(where, condition.get("message", "DiskPressure"), None, {"node": where})


def engines(cluster: Cluster) -> Iterator[Finding]:
    """An Invoker that mounts Docker's socket, and nodes that have none."""
    others = {name(node): version for node in cluster.of("Node") if "docker" not in (version := _runtime(node))}
    if not others:
        return
    for each in deployment(cluster).invokers():
        if any(str(path.get("path", "")).endswith("docker.sock") for _, _, path in each.host_paths()):
            node, version = next(iter(others.items()))
            words = {"node": "node " + ", ".join(sorted(others)[:3])}
            yield FAILURES["HOST-03"].found(each.said, f"node {node}: {version}", None, words)


def libraries(cluster: Cluster) -> Iterator[Finding]:
    """A mount from /usr, and nodes where nothing can be made there."""
    systems = {name(node): str(_info(node).get("osImage", "")) for node in cluster.of("Node")}
    fixed = {name: system for name, system in systems.items() if READ_ONLY.search(system)}
    if not fixed:
        return
    for each in deployment(cluster).invokers():
        for _, volume, path in each.host_paths():
            if str(path.get("path", "")).startswith("/usr/"):
                node, system = next(iter(fixed.items()))
                words = {"path": path["path"], "volume": f"{volume} mount"}
                patch = without(each, volume)
                yield FAILURES["HOST-01"].found(each.said, f"node {node}: {system}", patch, words)


def unlabelled(cluster: Cluster) -> Iterator[Finding]:
    for each in cluster.of("DaemonSet"):
        status, wanted = each.get("status") or {}, _selector(each)
        if status.get("desiredNumberScheduled", 0) or not wanted or not cluster.of("Node"):
            continue
        label = ",".join(f"{key}={value}" for key, value in wanted.items())
        evidence = f"desiredNumberScheduled 0, nodeSelector {label}"
        yield FAILURES["K8S-01"].found(f"DaemonSet {name(each)}", evidence, None, {"label": label})


def claims(cluster: Cluster) -> Iterator[Finding]:
    classes = {name(each): (each.get("metadata") or {}).get("annotations") or {} for each in cluster.of("StorageClass")}
    usual = any(said.get("storageclass.kubernetes.io/is-default-class") == "true" for said in classes.values())
    for each in cluster.of("PersistentVolumeClaim"):
        if (each.get("status") or {}).get("phase") != "Pending":
            continue
        asked = (each.get("spec") or {}).get("storageClassName")
        if asked and asked not in classes:
            why = f"there is no StorageClass {asked}"
        elif not asked and not usual:
            why = "there is no default StorageClass"
        else:
            continue  # its class waits for a pod, or is at work
        yield FAILURES["K8S-05"].found(f"PersistentVolumeClaim {name(each)}", "phase Pending", None, {"why": why})


def orphans(cluster: Cluster) -> Iterator[Finding]:
    """Pods of actions whose Invoker is no more, and whom Kubernetes will not remove."""
    names = {name(pod) for pod in cluster.of("Pod")}
    left: dict[str, list[str]] = {}
    for pod in cluster.of("Pod"):
        about = pod.get("metadata") or {}
        labels = about.get("labels") or {}
        invoker = str(labels.get("invoker", ""))
        number = invoker.removeprefix("invoker")
        alive = any(re.search(rf"invoker-{re.escape(number)}$", name) for name in names)
        ours = labels.get("user-action-pod") == "true" and number.isdigit()
        if ours and not alive and not about.get("ownerReferences"):
            left.setdefault(invoker, []).append(name(pod))
    for invoker, pods in left.items():
        words = {"pods": f"{len(pods)} of {invoker}"}
        yield FAILURES["K8S-16"].found(f"namespace {cluster.namespace}", ", ".join(sorted(pods)[:3]), None, words)


def links(cluster: Cluster) -> Iterator[Finding]:
    if (count := len(cluster.of("Service"))) < MANY:
        return
    for each in deployment(cluster).invokers():
        if each.pod.get("enableServiceLinks", True):
            yield FAILURES["K8S-22"].found(each.said, f"{count} Services", None, {"count": count})


def _explained(text: str, where: str) -> Iterator[Finding]:
    for found in explain(text):
        yield found.but(where=where)


def _ill_pods(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for pod in cluster.of("Pod"):
        conditions = (pod.get("status") or {}).get("conditions") or ()
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            continue
        if not any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions):
            yield "Pod", name(pod)


def _ill_workloads(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Those with fewer pods than they are to have."""
    for kind in WORKLOADS:
        for each in cluster.of(kind):
            status = each.get("status") or {}
            wanted = status.get("desiredNumberScheduled", (each.get("spec") or {}).get("replicas", 1))
            if status.get("readyReplicas", status.get("numberReady", 0)) < wanted:
                yield kind, name(each)


def _selector(daemon: Object) -> dict[str, str]:
    pod = ((daemon.get("spec") or {}).get("template") or {}).get("spec") or {}
    if chosen := pod.get("nodeSelector"):
        return dict(chosen)
    return {_ROLE: "invoker"} if _ROLE in str(pod.get("affinity") or "") else {}


def _runtime(node: Object) -> str:
    return str(_info(node).get("containerRuntimeVersion", "docker"))


def _info(node: Object) -> Object:
    return (node.get("status") or {}).get("nodeInfo") or {}


def _place(found: Object) -> tuple[str, str]:
    return found["kind"], name(found)


def _uid(found: Object) -> str:
    return str((found.get("metadata") or {}).get("uid", ""))


CHECKS: tuple[Callable[[Cluster], Iterator[Finding]], ...] = (
    events, waiting, nodes, engines, libraries, unlabelled, claims, orphans, links,
)  # fmt: skip
