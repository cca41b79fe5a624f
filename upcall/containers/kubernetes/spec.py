"""The pod in which a container's image runs (spec: kubernetes.md §6). Pure: the JSON that the API is sent.

Upstream's in what it says to the image; where it differs, and why:

- `restartPolicy` is Never, not Always. A container that Kubernetes starts again has lost its /init and its tenant's
  state, at the same address: the pool would go on sending it /run. With Never a death is final, and the pod says of
  what (its status, OOMKilled).
- Nothing of the cluster is in it: no token of a service account, no variables for each Service.
- seccomp's filter is the engine's usual one, as in Docker; no program gets more rights than who calls it.
- It ends within a second when it is told to, rather than in 30: nothing in it is worth waiting for.
- A label on nodes is asked for in addition to what a template asks for, not in its place, and their taint by that name
  is tolerated.

Of a template the container `user-action` is edited, what else is there stays; variables, port, resources and image are
always ours, as are name, namespace, owner, restarts and the missing token. A template's `securityContext` comes before
ours, but never gives the dropped capabilities back.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from upcall.containers.kubernetes.labels import Maker, tenant_labels
from upcall.containers.kubernetes.names import pod_name
from upcall.containers.kubernetes.options import Cpu, Object, Place, PodOptions, Storage
from upcall.ports import ContainerSpec

CONTAINER = "user-action"
PORT = 8080
GRACE = 1
"""Seconds between SIGTERM and SIGKILL."""
_DROPPED = ("NET_RAW", "NET_ADMIN")


def pod(
    spec: ContainerSpec, options: PodOptions, maker: Maker, *, action: str = "", secrets: Sequence[str] = ()
) -> Object:
    """For POST …/pods. `action` is the name of the action that it is made for; `secrets` are those of its owner, with
    which its image is fetched."""
    made: Object = copy.deepcopy(dict(options.template))
    made.update(apiVersion="v1", kind="Pod", metadata=_metadata(made, spec, options, maker, action))
    inside: Object = _mapping(made, "spec")
    inside["restartPolicy"] = "Never"
    inside["enableServiceLinks"] = inside["automountServiceAccountToken"] = False
    inside.setdefault("terminationGracePeriodSeconds", GRACE)
    _mapping(inside, "securityContext").setdefault("seccompProfile", {"type": "RuntimeDefault"})
    _edit(_container(inside), spec, options)
    if options.place is not None:
        _put(inside, options.place)
    if names := dict.fromkeys((*options.pull_secrets, *secrets)):
        given = [each for each in inside.get("imagePullSecrets") or () if each.get("name") not in names]
        inside["imagePullSecrets"] = [*given, *({"name": name} for name in names)]
    return made


def _metadata(made: Object, spec: ContainerSpec, options: PodOptions, maker: Maker, action: str) -> Object:
    about: Object = {name: value for name, value in _mapping(made, "metadata").items() if name != "generateName"}
    name = pod_name(spec.name)
    tenant = tenant_labels(spec.tenant, action) if spec.tenant else {}
    about.update(name=name, namespace=options.namespace)
    about["labels"] = {**_mapping(about, "labels"), **maker.labels(name), **tenant}
    about.pop("ownerReferences", None)
    if maker.uid:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": maker.pod, "uid": maker.uid}
        about["ownerReferences"] = [{**owner, "controller": False, "blockOwnerDeletion": False}]
    return about


def _container(inside: Object) -> Object:
    containers: list[Object] = list(inside.get("containers") or ())
    found = next((each for each in containers if each.get("name") == CONTAINER), None)
    if found is None:
        found = {"name": CONTAINER}
        containers.append(found)
    inside["containers"] = containers
    return found


def _edit(container: Object, spec: ContainerSpec, options: PodOptions) -> None:
    container["image"] = spec.image
    container["env"] = environment(options)
    container["ports"] = [{"name": "action", "containerPort": PORT}]
    container["resources"] = resources(spec.memory, options)
    if spec.pull and options.apart:
        container["imagePullPolicy"] = "Always"
    rights = _mapping(container, "securityContext")
    if not rights.get("privileged"):  # the API refuses both
        rights.setdefault("allowPrivilegeEscalation", False)
    capabilities = _mapping(rights, "capabilities")
    capabilities["drop"] = list(dict.fromkeys((*(capabilities.get("drop") or ()), *_DROPPED)))
    if kept := [each for each in capabilities.get("add") or () if each not in _DROPPED]:
        capabilities["add"] = kept
    else:
        capabilities.pop("add", None)


def environment(options: PodOptions) -> list[Object]:
    """The API's address first; of a name that comes twice the last value counts."""
    pairs = [f"__OW_API_HOST={options.api_host}"] if options.api_host else []
    named: dict[str, Object] = {}
    for name, _, value in (pair.partition("=") for pair in (*pairs, *options.extra_env)):
        named[name] = {"name": name, "value": value.replace("$", "$$")}  # else Kubernetes puts others in for $(OTHER)
    for name, path in options.field_env:
        named[name] = {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
    return list(named.values())


def resources(memory: int, options: PodOptions) -> Object:
    """Requests that are the limits, too: what the pool has promised is there."""
    amounts = {"memory": f"{memory}Mi"}
    if options.cpu is not None:
        amounts["cpu"] = f"{millicpus(memory, options.cpu)}m"
    if options.storage is not None:
        amounts["ephemeral-storage"] = f"{storage(memory, options.storage)}Mi"
    return {"requests": amounts, "limits": dict(amounts)}


def millicpus(memory: int, cpu: Cpu) -> int:
    """In proportion to the memory, within the bounds."""
    return max(cpu.millicpus, min(cpu.millicpus * memory // cpu.memory, cpu.max_millicpus))


def storage(memory: int, bounds: Storage) -> int:
    """MB on the node's disk."""
    return bounds.limit if bounds.factor is None else min(int(bounds.factor * memory), bounds.limit)


def _put(inside: Object, place: Place) -> None:
    """On nodes with the label. Terms are alternatives, so each of them gets it."""
    wanted = {"key": place.key, "operator": "In", "values": [place.value]}
    required = _mapping(
        _mapping(_mapping(inside, "affinity"), "nodeAffinity"), "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms: Iterable[dict[str, Any]] = required.get("nodeSelectorTerms") or ({},)
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), wanted]} for term in terms
    ]
    taint = {"key": place.key, "operator": "Equal", "value": place.value, "effect": "NoSchedule"}
    inside["tolerations"] = [*(inside.get("tolerations") or ()), taint]


def _mapping(inside: Object, name: str) -> Object:
    """The one by that name, made where it is missing, or empty as YAML has it."""
    if inside.get(name) is None:
        inside[name] = {}
    found: Object = inside[name]
    return found
