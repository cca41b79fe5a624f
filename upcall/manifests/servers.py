"""Pods of one server each, with a volume or without: what platforms consist of besides Invokers."""

from typing import Any

import msgspec

from upcall.manifests.document import Object, Remarked
from upcall.manifests.wanted import Wanted, labels, mebibytes, meta, selector

CALM: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
EMPTY = "Gone with the pod. To keep it, make this file with --volume default, or the name of a StorageClass."


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` is where its data are; `user` 0: as the image says."""

    part: str
    container: Object
    ports: dict[str, int]
    pod: Object
    folder: str
    scratch: tuple[str, ...] = ("/tmp",)  # noqa: S108 - volumes of the pod
    replicas: int = 1
    headless: bool = True
    volumes: list[Any] = []
    mounts: list[Object] = []
    remark: str = ""


def objects(wanted: Wanted, server: Server) -> list[Object]:
    return [_service(wanted, server), _set(wanted, server)]


def _service(wanted: Wanted, server: Server) -> Object:
    ports = [{"name": name, "port": port, "targetPort": name} for name, port in server.ports.items()]
    spec: Object = {"selector": selector(wanted, server.part), "ports": ports}
    if server.headless:
        spec = {"clusterIP": "None", "publishNotReadyAddresses": True, **spec}
    about = meta(wanted, wanted.of(server.part), server.part)
    return {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}


def _set(wanted: Wanted, server: Server) -> Object:
    name = wanted.of(server.part)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": meta(wanted, name, server.part),
        "spec": {
            "replicas": Remarked(server.replicas, above=server.remark),
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": selector(wanted, server.part)},
            "template": {"metadata": {"labels": labels(wanted, server.part)}, "spec": _pod(wanted, server)},
            **(claims(wanted) if server.folder else {}),
        },
    }


def _pod(wanted: Wanted, server: Server) -> Object:
    ports = [{"name": name, "containerPort": port} for name, port in server.ports.items()]
    paths = {**({"data": server.folder} if server.folder else {}), **_scratch(server)}
    kept = server.folder and wanted.volume
    volumes: list[Any] = [{"name": name, "emptyDir": {}} for name in paths if name != "data" or not kept]
    if server.folder and not kept:
        volumes[0] = Remarked(volumes[0], above=EMPTY)
    return {
        "enableServiceLinks": False,
        "nodeSelector": dict(wanted.node_selector),
        **server.pod,
        **({"imagePullSecrets": [{"name": wanted.pull_secret}]} if wanted.pull_secret else {}),
        "containers": [
            {
                "name": server.part,
                "imagePullPolicy": "IfNotPresent",
                **server.container,
                "ports": ports,
                "volumeMounts": [{"name": name, "mountPath": path} for name, path in paths.items()] + server.mounts,
            }
        ],
        "volumes": [*volumes, *server.volumes],
    }


def _scratch(server: Server) -> dict[str, str]:
    return {path.strip("/").replace("/", "-"): path for path in server.scratch}


def claims(wanted: Wanted) -> Object:
    """Of a StatefulSet: the volume `data` of each pod."""
    if not wanted.volume:
        return {}
    named = {} if wanted.volume == "default" else {"storageClassName": wanted.volume}
    storage = {"requests": {"storage": mebibytes(wanted.volume_size)}}
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], **named, "resources": storage}}
    return {"volumeClaimTemplates": [claim]}


def user(number: int) -> Object:
    """A pod's security context."""
    return {
        "runAsNonRoot": True,
        "runAsUser": number,
        "fsGroup": number,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def secret_value(name: str, secret: str, key: str) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
