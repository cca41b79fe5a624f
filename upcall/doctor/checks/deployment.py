"""What the objects of a deployment show by themselves, in a manifest or in a cluster (spec: kubernetes.md §3, §10)."""

import math
import re
from collections.abc import Callable, Iterator

from upcall.doctor.facts.deployment import Deployment, Workload
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding, ObjectPatch, Operations

GONE = {
    "policy/v1beta1": "1.25",
    "apps/v1beta1": "1.16",
    "apps/v1beta2": "1.16",
    "extensions/v1beta1": "1.22",
    "batch/v1beta1": "1.25",
    "autoscaling/v2beta1": "1.25",
    "autoscaling/v2beta2": "1.26",
}
"""Versions of objects, and the Kubernetes in which they ended."""
SHORT = 60
"""Seconds of grace in which few actions end."""
_NUMBERS = ("INVOKER_INSTANCES", "INVOKER_COUNT")
_FIELD = re.compile(r"cut\s+-d\s*['\"]?-['\"]?\s+-f\s*2")


def counts(deployment: Deployment) -> Iterator[Finding]:
    for each in deployment.invokers():
        if each.kind != "StatefulSet":
            continue
        replicas = each.spec.get("replicas", 1)
        said = {name: value for name in _NUMBERS if (value := each.variable(name)) is not None}
        wrong = {name: value for name, value in said.items() if value.strip() != str(replicas)}
        if not wrong:
            continue
        numbers = ", ".join(f"{name} {value}" for name, value in (("replicas", replicas), *said.items()))
        patch = _patched(each, list(_variables(each, wrong, str(replicas))))
        yield FAILURES["K8S-03"].found(each.said, numbers, patch, {"numbers": numbers})


def ordinals(deployment: Deployment) -> Iterator[Finding]:
    for each in deployment.invokers():
        command = " ".join(map(str, (*(each.main.get("command") or ()), *(each.main.get("args") or ()))))
        if "-" in each.name and (found := _FIELD.search(command)):
            yield FAILURES["K8S-04"].found(each.said, found[0])


def versions(deployment: Deployment) -> Iterator[Finding]:
    for each in deployment.objects:
        if (version := each.get("apiVersion")) in GONE:
            kind = each["kind"]
            evidence = f"apiVersion: {version}"
            words = {"kind": kind, "version": f"{version} ended with {GONE[version]}"}
            name = (each.get("metadata") or {}).get("name", "")
            yield FAILURES["K8S-08"].found(f"{kind} {name}", evidence, None, words)


def graces(deployment: Deployment) -> Iterator[Finding]:
    for each in deployment.invokers():
        grace = each.pod.get("terminationGracePeriodSeconds", 30)
        if grace >= SHORT:
            continue
        evidence = f"terminationGracePeriodSeconds: {grace}"
        operations = [{"op": "add", "path": f"{_POD}/terminationGracePeriodSeconds", "value": 330}]
        words = {"pod": f"A pod of {each.said}", "grace": grace}
        yield FAILURES["K8S-15"].found(each.said, evidence, _patched(each, operations), words)


def fractions(deployment: Deployment) -> Iterator[Finding]:
    """Of several Invokers one alone has actions of a kind, because it was said so."""
    count = sum(int(each.spec.get("replicas", 1)) for each in deployment.invokers() if each.kind == "StatefulSet")
    for each in deployment.workloads():
        for kind in ("managed", "blackbox"):
            given = each.variable(f"CONFIG_whisk_loadbalancer_{kind}Fraction")
            share = _share(given, count)
            if count > 1 and share == 1:
                words = {"count": share, "all": count}
                yield FAILURES["K8S-20"].found(each.said, f"{kind}Fraction {given}, {count} Invokers", None, words)


def _share(fraction: str | None, count: int) -> int | None:
    """Invokers, of so many; None where the fraction is not said, or is none."""
    try:
        return max(1, math.ceil(float(fraction) * count)) if fraction else None
    except (ValueError, OverflowError):
        return None


def sockets(deployment: Deployment) -> Iterator[Finding]:
    """A path without a type is made on nodes that do not have it."""
    for each in deployment.invokers():
        for number, _, path in each.host_paths():
            if str(path.get("path", "")).endswith("docker.sock") and path.get("type", "") in ("", "DirectoryOrCreate"):
                operations = [{"op": "add", "path": f"{_POD}/volumes/{number}/hostPath/type", "value": "Socket"}]
                found = FAILURES["HOST-04"].found(
                    each.said, f"hostPath {path['path']} without type: Socket", _patched(each, operations),
                    {"path": path["path"]},
                )  # fmt: skip
                cause = (
                    f"{path['path']} is mounted without a type: on a node where Docker does not run, a directory of "
                    "that name is made, and Docker cannot start any more."
                )
                yield found.but(severity="warning", cause=cause, fix="Give the hostPath `type: Socket`.")


def without(workload: Workload, volume: str) -> ObjectPatch | None:
    """The patch that takes a volume and its mounts out; from the last on, so that positions stay right."""
    operations: list[dict[str, str]] = []
    for number, container in enumerate(workload.pod.get("containers") or ()):
        mounts = container.get("volumeMounts") or ()
        places = [place for place, mount in enumerate(mounts) if mount.get("name") == volume]
        operations += [
            {"op": "remove", "path": f"{_POD}/containers/{number}/volumeMounts/{place}"} for place in reversed(places)
        ]
    operations += [
        {"op": "remove", "path": f"{_POD}/volumes/{number}"}
        for number, name, _ in workload.host_paths()
        if name == volume
    ]
    return _patched(workload, operations)


def _variables(workload: Workload, names: dict[str, str], value: str) -> Iterator[dict[str, str]]:
    for number, each in enumerate(workload.main.get("env") or ()):
        if each.get("name") in names:
            yield {"op": "replace", "path": f"{_POD}/containers/0/env/{number}/value", "value": value}


def _patched(workload: Workload, operations: Operations) -> ObjectPatch | None:
    if not operations:
        return None
    return ObjectPatch(
        kind=workload.kind, name=workload.name, namespace=workload.namespace, operations=operations
    )  # fmt: skip


_POD = "/spec/template/spec"
CHECKS: tuple[Callable[[Deployment], Iterator[Finding]], ...] = (counts, ordinals, versions, graces, fractions, sockets)
