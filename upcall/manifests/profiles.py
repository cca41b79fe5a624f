"""Which hosts a cluster may have, and what each of them allows (spec: kubernetes.md §9).

A row says what a manifest depends on, no more: which driver is taken where none is asked for, and why another one
cannot work there.
"""

from collections.abc import Mapping

import msgspec

from upcall.errors import Misconfigured
from upcall.manifests.wanted import Driver

NO_DOCKER = "its nodes run containers by containerd and have no Docker socket"
CRIO = "its nodes run containers by CRI-O and have no Docker socket"
AUTO, ANY = "auto", "any"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """`refused`: sentences, by driver. `own_users`: the cluster chooses user ids itself."""

    name: str
    hosts: str
    driver: Driver
    refused: Mapping[Driver, str] = {}
    docker_logs: str = "/var/lib/docker/containers"
    apparmor: bool = False
    """Whether the library that the manifest of 2017 mounts is there."""
    single_node: bool = False
    own_users: bool = False
    scc: bool = False
    """Whether security context constraints say what a pod may have."""
    capabilities: bool = True
    """Whether pods may be given any."""


def _containerd(name: str, hosts: str, **others: object) -> Profile:
    return Profile(name=name, hosts=hosts, driver="kubernetes", refused={"docker": NO_DOCKER}, **others)  # type: ignore[arg-type]


PROFILES: dict[str, Profile] = {
    found.name: found
    for found in (
        Profile(name=ANY, hosts="any nodes at all", driver="process"),
        Profile(name="ubuntu-docker", hosts="Ubuntu, Debian with Docker", driver="docker", apparmor=True),
        Profile(name="flatcar", hosts="Flatcar, CoreOS Container Linux with Docker", driver="docker"),
        _containerd("bottlerocket", "Bottlerocket"),
        Profile(
            name="openshift",
            hosts="OpenShift 4, Fedora CoreOS, RHCOS",
            driver="kubernetes",
            refused={"docker": CRIO},
            own_users=True,
            scc=True,
        ),
        _containerd("rhel", "RHEL, Rocky Linux, AlmaLinux with containerd"),
        _containerd("eks", "Amazon EKS"),
        _containerd("gke", "Google Kubernetes Engine"),
        _containerd("gke-autopilot", "Google Kubernetes Engine, Autopilot", capabilities=False),
        _containerd("aks", "Azure Kubernetes Service"),
        _containerd("iks", "IBM Cloud Kubernetes Service"),
        _containerd("kind", "kind"),
        Profile(name="minikube", hosts="minikube", driver="kubernetes", single_node=True),
        Profile(name="docker-desktop", hosts="Docker Desktop", driver="docker", single_node=True),
        _containerd("k3s", "k3s, RKE2"),
        _containerd("microk8s", "MicroK8s"),
        _containerd("talos", "Talos Linux"),
        Profile(
            name="dind",
            hosts="kubeadm in Docker (Docker inside of Docker)",
            driver="docker",
            docker_logs="/dind/docker/containers",
        ),
    )
}


def profile(name: str) -> Profile:
    """Raises Misconfigured."""
    if name not in PROFILES:
        raise Misconfigured(f"--profile {name}: there is no such row; there are {', '.join(PROFILES)}")
    return PROFILES[name]


def driver_for(found: Profile, wanted: Driver | None) -> Driver:
    """Raises Misconfigured where it cannot work there."""
    if wanted is not None and wanted in found.refused:
        raise Misconfigured(
            f"--driver {wanted} cannot work on {found.name} ({found.hosts}): {found.refused[wanted]}; "
            f"take --driver {found.driver}, or process"
        )
    return wanted or found.driver
