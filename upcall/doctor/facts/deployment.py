"""A deployment as objects of Kubernetes: those of manifests, or those that a cluster has.

All are as JSON has them. `namespace` says where those are that name none themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import yaml

from upcall.doctor.facts.shape import unfit
from upcall.errors import Misconfigured

Object = dict[str, Any]
WORKLOADS = ("StatefulSet", "DaemonSet", "Deployment")


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What makes pods. `name`: as people say it, "StatefulSet invoker"."""

    kind: str
    name: str
    namespace: str
    spec: Object
    pod: Object
    """The spec of its pods."""

    @property
    def said(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def main(self) -> Object:
        """Its first container."""
        found: Object = (self.pod.get("containers") or [{}])[0]
        return found

    def variable(self, name: str) -> str | None:
        """Only what is given as it is, not by reference."""
        for each in self.main.get("env") or ():
            if each.get("name") == name:
                return str(each["value"]) if each.get("value") is not None else None
        return None

    def host_paths(self) -> Iterator[tuple[int, str, Object]]:
        """Position among the volumes, name and hostPath of each that has one."""
        for number, volume in enumerate(self.pod.get("volumes") or ()):
            if path := volume.get("hostPath"):
                yield number, volume.get("name", ""), path


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    objects: Sequence[Object] = ()
    source: str = ""
    """The file, for people; empty: a cluster."""
    namespace: str = "default"

    def of(self, kind: str) -> Iterator[Object]:
        return (each for each in self.objects if each.get("kind") == kind)

    def workloads(self) -> Iterator[Workload]:
        return (workload(kind, each, self.namespace) for kind in WORKLOADS for each in self.of(kind))

    def invokers(self) -> Iterator[Workload]:
        """Those with an Invoker in their name or image."""
        for found in self.workloads():
            if "invoker" in found.name or "invoker" in str(found.main.get("image", "")):
                yield found


def parse(text: str, source: str) -> Deployment:
    """Manifests in YAML or JSON. Raises Misconfigured."""
    try:
        documents = [each for each in yaml.safe_load_all(text) if each]
    except (yaml.YAMLError, ValueError) as error:
        raise Misconfigured(f"{source} is no YAML: {error}") from None
    except RecursionError:
        raise Misconfigured(f"{source} is no manifest: it is nested too deep") from None
    objects: list[Object] = []
    for each in documents:
        if not isinstance(each, dict) or not isinstance(each.get("kind"), str):
            raise Misconfigured(f"{source} has a document that is no object of Kubernetes: it lacks a kind")
        objects.extend(_items(each, source) if each["kind"] == "List" else (each,))
    for each in objects:
        if wrong := unfit(each):
            raise Misconfigured(f"{source}: {each['kind']}: {wrong}")
    return Deployment(objects=objects, source=source)


def _items(found: Object, source: str) -> list[Object]:
    """Raises Misconfigured."""
    items = found.get("items") or []
    if not isinstance(items, list) or not all(isinstance(each, dict) and "kind" in each for each in items):
        raise Misconfigured(f"{source} has a List of what are no objects of Kubernetes")
    return items


def workload(kind: str, found: Object, namespace: str) -> Workload:
    about, spec = found.get("metadata") or {}, found.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    return Workload(
        kind=kind, name=about.get("name", ""), namespace=about.get("namespace", namespace), spec=spec, pod=pod
    )
