"""What keeps pods from coming up or staying up, as their own statuses and policies show (spec: kubernetes.md §10)."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from upcall.doctor.checks.objects import name
from upcall.doctor.explain import explain
from upcall.doctor.facts.cluster import Cluster, deployment
from upcall.doctor.facts.deployment import Object
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding

SLOW = 60.0
"""Seconds in which a pod that has its node comes up."""
STUCK = 600.0
"""Seconds in which a set-up is done."""
OFTEN = 3
"""Restarts."""
_SET_UPS = {"init-couchdb": "K8S-18", "install-packages": "K8S-12"}
_LIVENESS = re.compile(r"liveness probe failed|failed liveness probe", re.IGNORECASE)
_NUMBERS = ("UPCALL_INVOKER_ID", "INVOKER_ID")


def ended(cluster: Cluster) -> Iterator[Finding]:
    """How the last try of a container ended that does not run."""
    for pod in cluster.of("Pod"):
        for container in _containers(pod):
            if container.get("ready"):
                continue
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                last = state.get("terminated") or {}
                text = f"{last.get('reason', '')}: {last.get('message', '')}"
                if last.get("exitCode") and last.get("message"):
                    yield from (found.but(where=f"pod {name(pod)}") for found in explain(text))


def slow(cluster: Cluster) -> Iterator[Finding]:
    """Pods of actions that have a node and do not come up."""
    late = [
        name(pod)
        for pod in cluster.of("Pod")
        if _label(pod, "user-action-pod") == "true"
        and (pod.get("status") or {}).get("phase") == "Pending"
        and (pod.get("spec") or {}).get("nodeName")
        and _age(pod, cluster.at) > SLOW
        and not any(_complains(each) for each in _containers(pod))
    ]
    if late:
        evidence = f"Pending for more than {SLOW:g} s: {', '.join(sorted(late)[:3])}"
        yield FAILURES["K8S-11"].found(f"namespace {cluster.namespace}", evidence)


def set_ups(cluster: Cluster) -> Iterator[Finding]:
    """Jobs of OpenWhisk's chart that are not done by any means."""
    for pod in cluster.of("Pod"):
        phase = (pod.get("status") or {}).get("phase")
        id = next((id for job, id in _SET_UPS.items() if job in name(pod)), None)
        if id and phase in ("Pending", "Running") and _age(pod, cluster.at) > STUCK:
            yield FAILURES[id].found(f"pod {name(pod)}", f"{phase} for more than {STUCK / 60:g} minutes")


def restarts(cluster: Cluster) -> Iterator[Finding]:
    """A liveness probe that kills again and again, also where the pod is well just now."""
    killed = {
        (each.get("involvedObject") or {}).get("name"): str(each.get("message", ""))
        for each in cluster.of("Event")
        if _LIVENESS.search(str(each.get("message", "")))
    }
    for pod in cluster.of("Pod"):
        count = max((each.get("restartCount", 0) for each in _containers(pod)), default=0)
        if count >= OFTEN and name(pod) in killed:
            evidence = f"{count} restarts; {killed[name(pod)]}"
            yield FAILURES["K8S-24"].found(f"pod {name(pod)}", evidence, None, {"pod": name(pod)})


def policies(cluster: Cluster) -> Iterator[Finding]:
    """A NetworkPolicy of actions' pods that admits Invokers by a name that none has."""
    labels = {_label(pod, "name") for pod in cluster.of("Pod")}
    for policy in cluster.of("NetworkPolicy"):
        spec = policy.get("spec") or {}
        chosen = (spec.get("podSelector") or {}).get("matchLabels") or {}
        if chosen.get("user-action-pod") != "true":
            continue
        admitted = [
            (source.get("podSelector") or {}).get("matchLabels") or {}
            for rule in spec.get("ingress") or ()
            for source in rule.get("from") or ()
        ]
        if admitted and all(set(each) == {"name"} and each["name"] not in labels for each in admitted):
            words = {"policy": name(policy)}
            evidence = f"it admits name={', '.join(each['name'] for each in admitted)}, and no pod has that label"
            yield FAILURES["K8S-21"].found(f"NetworkPolicy {name(policy)}", evidence, None, words)


def numbers(cluster: Cluster) -> Iterator[Finding]:
    """Several Invokers that are given one number by hand."""
    owners: dict[str, list[str]] = {}
    for each in deployment(cluster).invokers():
        number = next(filter(None, map(each.variable, _NUMBERS)), "")
        if number.isdecimal():
            count = each.spec.get("replicas", 1) if each.kind != "DaemonSet" else 1
            owners.setdefault(number, []).extend([each.said] * min(int(count), 2))
    for number, several in owners.items():
        if len(several) > 1:
            named = " and ".join(dict.fromkeys(several))
            words = {"owners": named if len(set(several)) > 1 else f"All pods of {named}"}
            yield FAILURES["K8S-23"].found(several[0], f"number {number} is given by hand", None, words)


def rights(cluster: Cluster) -> Iterator[Finding]:
    """What an Invoker with the kubernetes driver may not do."""
    for said, lacking in cluster.denied.items():
        verb, _, resource = lacking[0].partition(" ")
        words = {"verb": verb, "resource": resource}
        yield FAILURES["K8S-09"].found(said, f"denied: {', '.join(lacking)}", None, words)


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _complains(container: Object) -> bool:
    """Whether it says itself why it waits."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    return waiting.get("reason", "ContainerCreating") not in ("ContainerCreating", "PodInitializing")


def _label(pod: Object, key: str) -> str:
    return str(((pod.get("metadata") or {}).get("labels") or {}).get(key, ""))


def _age(pod: Object, now: float) -> float:
    """Seconds; 0 where it is not known."""
    made = (pod.get("metadata") or {}).get("creationTimestamp")
    if isinstance(made, str):
        try:
            made = datetime.fromisoformat(made)
        except ValueError:
            return 0.0
    return max(0.0, now - made.timestamp()) if isinstance(made, datetime) and now else 0.0


CHECKS: tuple[Callable[[Cluster], Iterator[Finding]], ...] = (
    ended, slow, set_ups, restarts, policies, numbers, rights,
)  # fmt: skip
