"""What manifests have to look like where checks look at them: a list where a list is, and so on. Kubernetes says the
same in more words; a file that is no manifest, or is meant to do harm, ends here."""

from typing import Any

import msgspec

_Objects = list[dict[str, Any]] | None
_Words = list[str | int | float | bool | None] | None


class _Container(msgspec.Struct):
    name: str = ""
    image: str | None = None
    env: _Objects = None
    envFrom: _Objects = None
    command: _Words = None
    args: _Words = None
    volumeMounts: _Objects = None
    resources: dict[str, Any] | None = None
    securityContext: dict[str, Any] | None = None


class _HostPath(msgspec.Struct):
    path: str = ""
    type: str | None = None


class _Volume(msgspec.Struct):
    name: str = ""
    hostPath: _HostPath | None = None


class _Pod(msgspec.Struct):
    containers: list[_Container] | None = None
    initContainers: list[_Container] | None = None
    volumes: list[_Volume] | None = None
    terminationGracePeriodSeconds: int | None = None
    nodeSelector: dict[str, str | int | bool] | None = None
    securityContext: dict[str, Any] | None = None
    imagePullSecrets: _Objects = None


class _Template(msgspec.Struct):
    spec: _Pod | None = None
    metadata: dict[str, Any] | None = None


class _Spec(msgspec.Struct):
    replicas: int | None = None
    template: _Template | None = None


class _Workload(msgspec.Struct):
    spec: _Spec | None = None


class _About(msgspec.Struct):
    name: str | int | None = None
    namespace: str | None = None
    labels: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None


class _Any(msgspec.Struct):
    apiVersion: str | None = None
    metadata: _About | None = None
    spec: dict[str, Any] | None = None


class _Data(msgspec.Struct):
    data: dict[str, str | int | float | bool | None] | None = None
    stringData: dict[str, str | int | float | bool | None] | None = None


_OWN: dict[str, type[msgspec.Struct]] = {
    "StatefulSet": _Workload, "DaemonSet": _Workload, "Deployment": _Workload, "ConfigMap": _Data, "Secret": _Data,
}  # fmt: skip


def unfit(found: dict[str, Any]) -> str:
    """What is wrong with an object, and where; empty where nothing is."""
    for shape in (_Any, _OWN.get(str(found["kind"]))):
        try:
            if shape is not None:
                msgspec.convert(found, shape)
        except msgspec.MsgspecError as error:
            return str(error)
    return ""
