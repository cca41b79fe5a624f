"""Which row of the host matrix a cluster's nodes are in, by what they say of themselves (spec: kubernetes.md §9).

Pure. A provider's mark comes before the system's: what a manifest may ask for is the provider's to say.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from upcall.manifests.profiles import ANY

Object = Mapping[str, Any]


class Row(NamedTuple):
    """`shown` is what told it, as it was read."""

    profile: str
    shown: str


class _Node(NamedTuple):
    name: str
    labels: Mapping[str, str]
    provider: str
    system: str
    kubelet: str
    engine: str


def row(nodes: Sequence[Object]) -> Row:
    """Of all that actions may be on; `any` where they are not alike, or of no kind that is known."""
    found = {_row(_read(each)) for each in nodes if not _is_control_plane(each) or len(nodes) == 1}
    if len(profiles := {each.profile for each in found}) == 1:
        return min(found)
    return Row(ANY, "its nodes are not alike: " + ", ".join(sorted(profiles)) if profiles else "it shows no nodes")


def _row(node: _Node) -> Row:
    for profile, show in _MARKS:
        if shown := show(node):
            return Row(profile, shown)
    return Row(ANY, f"{node.system}, {node.engine}")


def _read(node: Object) -> _Node:
    about, info = node.get("metadata") or {}, (node.get("status") or {}).get("nodeInfo") or {}
    return _Node(
        name=str(about.get("name", "")),
        labels=about.get("labels") or {},
        provider=str((node.get("spec") or {}).get("providerID") or ""),
        system=str(info.get("osImage", "")),
        kubelet=str(info.get("kubeletVersion", "")),
        engine=str(info.get("containerRuntimeVersion", "")),
    )


def _is_control_plane(node: Object) -> bool:
    """That takes no other pods."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return any(str(each.get("key", "")).startswith("node-role.kubernetes.io/") for each in taints)


def _label(prefix: str) -> Callable[[_Node], str]:
    return lambda node: next((f"label {name}" for name in sorted(node.labels) if name.startswith(prefix)), "")


def _text(part: Callable[[_Node], str], pattern: str) -> Callable[[_Node], str]:
    form = re.compile(pattern, re.IGNORECASE)
    return lambda node: part(node) if form.search(part(node)) else ""


def _docker(pattern: str) -> Callable[[_Node], str]:
    """A system whose nodes run containers by Docker; by another engine it is of no kind."""
    form = re.compile(pattern, re.IGNORECASE)
    return lambda node: (
        f"{node.system}, {node.engine}" if form.search(node.system) and node.engine.startswith("docker://") else ""
    )


_MARKS: tuple[tuple[str, Callable[[_Node], str]], ...] = (
    ("openshift", _label("node.openshift.io/")),
    ("openshift", _text(lambda node: node.system, r"red hat enterprise linux coreos|fedora coreos")),
    ("bottlerocket", _text(lambda node: node.system, "^bottlerocket")),
    ("talos", _text(lambda node: node.system, "^talos")),
    ("eks", _label("eks.amazonaws.com/")),
    ("eks", _text(lambda node: node.kubelet, "-eks-")),
    ("gke-autopilot", _text(lambda node: node.name, "^gk3-")),
    ("gke", _text(lambda node: node.kubelet, r"-gke\.")),
    ("aks", _label("kubernetes.azure.com/")),
    ("iks", _label("ibm-cloud.kubernetes.io/")),
    ("kind", _text(lambda node: node.provider, "^kind://")),
    ("minikube", _label("minikube.k8s.io/")),
    ("docker-desktop", _text(lambda node: node.name, "^docker-desktop$")),
    ("k3s", _text(lambda node: node.kubelet, r"\+(k3s|rke2)")),
    ("microk8s", _label("microk8s.io/")),
    ("flatcar", _docker("flatcar|container linux")),
    ("ubuntu-docker", _docker("^(ubuntu|debian)")),
    ("rhel", _text(lambda node: node.system, "^(red hat enterprise linux|rocky|almalinux)")),
)
