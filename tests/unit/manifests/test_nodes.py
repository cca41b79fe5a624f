"""What nodes say of themselves leads to the row that they are in."""

from typing import Any

import pytest

from upcall.manifests.nodes import row
from upcall.manifests.profiles import PROFILES

UBUNTU, CONTAINERD, DOCKER = "Ubuntu 22.04.4 LTS", "containerd://1.7.2", "docker://20.10.7"


def node(
    system: str = UBUNTU,
    engine: str = CONTAINERD,
    kubelet: str = "v1.30.1",
    name: str = "a",
    provider: str = "",
    label: str = "kubernetes.io/os",
) -> dict[str, Any]:
    info = {"osImage": system, "containerRuntimeVersion": engine, "kubeletVersion": kubelet}
    spec = {"providerID": provider} if provider else {}
    return {"metadata": {"name": name, "labels": {label: "x"}}, "spec": spec, "status": {"nodeInfo": info}}


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("any", {}),
        ("ubuntu-docker", {"engine": DOCKER}),
        ("ubuntu-docker", {"engine": DOCKER, "system": "Debian GNU/Linux 12 (bookworm)"}),
        ("flatcar", {"engine": DOCKER, "system": "Flatcar Container Linux by Kinvolk 3815.2.0 (Oklo)"}),
        ("any", {"system": "Flatcar Container Linux by Kinvolk 3815.2.0 (Oklo)"}),
        ("bottlerocket", {"system": "Bottlerocket OS 1.19.2 (aws-k8s-1.29)", "kubelet": "v1.29.1-eks-61c0bbb"}),
        ("openshift", {"system": "Red Hat Enterprise Linux CoreOS 414.92", "engine": "cri-o://1.27.1"}),
        ("openshift", {"label": "node.openshift.io/os_id"}),
        ("rhel", {"system": "Rocky Linux 9.3 (Blue Onyx)"}),
        ("eks", {"system": "Amazon Linux 2", "kubelet": "v1.29.0-eks-5e0fdde"}),
        ("eks", {"label": "eks.amazonaws.com/nodegroup"}),
        ("gke", {"system": "Container-Optimized OS from Google", "kubelet": "v1.29.1-gke.1589018"}),
        ("gke-autopilot", {"name": "gk3-pool-1", "kubelet": "v1.29.1-gke.1589018"}),
        ("aks", {"label": "kubernetes.azure.com/cluster"}),
        ("iks", {"label": "ibm-cloud.kubernetes.io/worker-id"}),
        ("kind", {"provider": "kind://docker/kind/kind-control-plane", "system": "Debian GNU/Linux 12 (bookworm)"}),
        ("minikube", {"label": "minikube.k8s.io/name", "engine": DOCKER}),
        ("docker-desktop", {"name": "docker-desktop", "system": "Docker Desktop", "engine": "docker://27.0.3"}),
        ("k3s", {"kubelet": "v1.29.1+k3s2"}),
        ("k3s", {"kubelet": "v1.29.1+rke2r1"}),
        ("microk8s", {"label": "microk8s.io/cluster"}),
        ("talos", {"system": "Talos (v1.7.0)"}),
    ],
)
def test_a_node_is_in_its_row(profile: str, said: dict[str, str]) -> None:
    assert profile in PROFILES
    assert row([node(**said)]).profile == profile


def test_nodes_that_differ_are_of_no_kind() -> None:
    found = row([node(engine=DOCKER), node(label="microk8s.io/cluster")])
    assert found == ("any", "its nodes are not alike: microk8s, ubuntu-docker")
    assert row([]).profile == "any"


def test_a_control_plane_that_takes_no_pods_does_not_count() -> None:
    master = node(engine=DOCKER)
    master["spec"]["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    assert row([master, node(label="microk8s.io/cluster")]).profile == "microk8s"
    assert row([master]).profile == "ubuntu-docker"
