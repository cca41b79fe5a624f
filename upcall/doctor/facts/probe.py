"""What nodes of a cluster let be done, read by a short-lived pod on each (spec: kubernetes.md §12).

Folders that every Linux has are mounted, typed and read-only: so nothing is ever made on a node, as a mount of a path
that is missing would make it. The pod has no capabilities and no token; its user is root, for whom sockets and folders
of engines are. It is deleted whatever happens, and one that a killed doctor has left by the next one.

A cluster that does not let such a pod be made is not blamed for it: what was not seen is said.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from lightkube.resources.core_v1 import Pod

from upcall.doctor.facts.cluster import Cluster
from upcall.doctor.facts.deployment import Object, Workload
from upcall.doctor.facts.node import CANDIDATES, Node
from upcall.kubernetes.client import Api, Away, Refused
from upcall.manifests.wanted import Wanted

FOLDERS = ("/etc", "/run", "/var", "/usr", "/sys", "/proc")
"""Of every Linux."""
ROOT = "/host"
MOST, WIDTH = 20, 8
"""Nodes that are looked into if not all are asked for, and how many at a time."""
PATIENCE = 60.0
"""Seconds for a pod: its image may have to be fetched."""
OLD = 120.0
"""Seconds after which a pod of another doctor is one that was left."""
LABEL = "upcall.doctor/probe"
PAUSE = 0.2
_STUCK = frozenset(
    ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerError")
)
_decode = msgspec.json.Decoder(Node).decode


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """`alike`: how many nodes were left out, as one of their kind was looked into."""

    nodes: Sequence[Node]
    unseen: Sequence[str]
    alike: int = 0


async def probe(api: Api, cluster: Cluster, invokers: Sequence[Workload], *, everywhere: bool = False) -> Probed:
    """Raises Away."""
    there = [each for each in cluster.of("Node") if _is_ready(each) and not _is_windows(each)]
    chosen = there if everywhere else sample(there)
    paths = sorted({str(path.get("path", "")) for each in invokers for _, _, path in each.host_paths()} - {*CANDIDATES})
    image, secrets = _image(invokers)
    width, token = asyncio.Semaphore(WIDTH), uuid4().hex[:8]
    await _sweep(api)

    async def one(number: int, name: str) -> Node | str:
        made = pod(f"upcall-doctor-{token}-{number}", name, image, paths, secrets)
        async with width:
            return await _read(api, made, name)

    answers = await asyncio.gather(*(one(number, _name(each)) for number, each in enumerate(chosen)))
    nodes = [each for each in answers if isinstance(each, Node)]
    return Probed(nodes=nodes, unseen=_told(answers), alike=len(there) - len(chosen))


def sample(nodes: Sequence[Object]) -> list[Object]:
    """One of each system with each engine and processor."""
    kinds: dict[tuple[str, ...], Object] = {}
    for each in nodes:
        about = (each.get("status") or {}).get("nodeInfo") or {}
        said = ("osImage", "containerRuntimeVersion", "kernelVersion", "architecture")
        kinds.setdefault(tuple(str(about.get(name, "")) for name in said), each)
    return list(kinds.values())[:MOST]


def pod(name: str, node: str, image: str, paths: Sequence[str] = (), secrets: Sequence[Object] = ()) -> Object:
    """That reads a node and ends."""
    command = ["python3", "-m", "upcall.doctor.facts.node", "--root", ROOT, "--name", node]
    volumes = [{"name": each[1:], "hostPath": {"path": each, "type": "Directory"}} for each in FOLDERS]
    mounts = [{"name": each[1:], "mountPath": f"{ROOT}{each}", "readOnly": True} for each in FOLDERS]
    rights = {"drop": ["ALL"]}
    reader = {
        "name": "reader",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*command, *(word for path in paths for word in ("--path", path))],
        "env": [{"name": "PYTHONPATH", "value": "/opt/upcall"}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": rights,
        },
        "volumeMounts": mounts,
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {LABEL: "node", "app.kubernetes.io/name": "upcall-doctor"}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(PATIENCE),
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [reader],
            "volumes": volumes,
            **({"imagePullSecrets": list(secrets)} if secrets else {}),
        },
    }


async def _read(api: Api, made: Object, node: str) -> Node | str:
    """What it is, or why that is not known."""
    name = made["metadata"]["name"]
    try:
        await api.create(made)
        why = await _end(api, name)
        return why or _read_from(await api.log(name), node)
    except (Refused, Away) as error:
        return str(error).replace(name, "PROBE")
    finally:
        await _gone(api, name)


async def _gone(api: Api, name: str) -> None:
    """Also when this is given up: the request is sent before that counts."""
    deleting = asyncio.ensure_future(api.delete(name))
    try:
        with contextlib.suppress(Refused, Away):
            await asyncio.shield(deleting)
    except asyncio.CancelledError:
        await asyncio.wait([deleting])
        raise


async def _end(api: Api, name: str) -> str:
    """Wait for it; why it will not come to one. Raises Refused, Away."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = await api.pod(name)
        if found is None:
            return "the pod was deleted by somebody else"
        phase, why = _state(found)
        if phase in ("Succeeded", "Failed") or why:
            return why
        await asyncio.sleep(PAUSE)
    told = await api.events(name)
    return f"the pod has not ended in {PATIENCE:g} s" + (f": {told[-1]}" if told else "")


def _state(found: Pod) -> tuple[str, str]:
    """Its phase, and why it will never begin."""
    status = found.status
    for each in (status.containerStatuses or ()) if status else ():
        waiting = each.state.waiting if each.state else None
        if waiting is not None and waiting.reason in _STUCK:
            return "", f"{waiting.reason}: {waiting.message or ''}"
    phase = str(status.phase) if status else ""
    refused = phase == "Failed" and status is not None and not status.containerStatuses
    return phase, f"{status.reason}: {status.message}" if refused and status else ""


def _read_from(lines: Sequence[str], node: str) -> Node | str:
    for line in lines:
        if line.startswith("{"):
            try:
                return _decode(line)
            except msgspec.MsgspecError:
                continue
    return f"the pod on {node} says: {lines[-1]}" if lines else f"the pod on {node} says nothing"


async def _sweep(api: Api) -> None:
    """Raises Away."""
    with contextlib.suppress(Refused):
        left, _ = await api.list({LABEL: "node"})
        for each in left:
            about = each.metadata
            if about and about.name and about.creationTimestamp and _age(about.creationTimestamp) > OLD:
                await api.delete(about.name)


def _age(made: datetime) -> float:
    return (datetime.now(UTC) - made).total_seconds()


def _image(invokers: Sequence[Workload]) -> tuple[str, Sequence[Object]]:
    """Of the Invoker that is there, if that is upcall's: its nodes have it. With what it is fetched."""
    for each in invokers:
        image = str(each.main.get("image", ""))
        if re.search(r"(?:^|/)upcall\b", image):
            return image, each.pod.get("imagePullSecrets") or ()
    return Wanted().full_image, ()


def _told(answers: Sequence[Node | str]) -> list[str]:
    """Each reason once."""
    counted: dict[str, int] = {}
    for each in answers:
        if isinstance(each, str):
            counted[each] = counted.get(each, 0) + 1
    return [f"{count} of {len(answers)} nodes are not looked into: {why}" for why, count in counted.items()]


def _is_ready(node: Object) -> bool:
    conditions: Sequence[Mapping[str, Any]] = (node.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _is_windows(node: Object) -> bool:
    about = (node.get("status") or {}).get("nodeInfo") or {}
    return str(about.get("operatingSystem", "")) == "windows"


def _name(found: Object) -> str:
    return str((found.get("metadata") or {}).get("name", ""))
