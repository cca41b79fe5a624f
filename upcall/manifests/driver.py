"""What each driver takes of a node and of Kubernetes: mounts, rights in the pod, roles (spec: kubernetes.md §11)."""

from typing import Any

import msgspec

from upcall.manifests.document import Object, Remarked
from upcall.manifests.profiles import Profile
from upcall.manifests.wanted import Driver, Wanted, megabytes

SOCKET = "/var/run/docker.sock"
DATA = "/var/lib/upcall"
SANDBOX_RIGHTS = {
    "SYS_ADMIN": "namespaces and mounts of sandboxes, and groups of their own below the pod's",
    "NET_ADMIN": "links and rules of the actions' way out",
    "SETUID": "each sandbox has a user of its own",
    "SETGID": "and a group",
    "KILL": "what is over its time is ended, and belongs to another user",
}
WHY_UNCONFINED = "Engines' usual lists refuse pivot_root and mounts to all; each sandbox has a list of its own."


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """`pod` and `container` are their security contexts; `rules` are those of the Invoker's role."""

    environment: Object
    fields: dict[str, str] = {}
    """Variables by the field of the pod that they have."""
    pod: Object
    container: Object
    users: Object = {}
    """Of the pod: whether it has users of its own."""
    volumes: list[Any] = []
    mounts: list[Object] = []
    rules: list[Object] = []
    admission: str = "restricted"
    """The level of Pod Security that lets the pod in."""


def needs(wanted: Wanted, profile: Profile) -> Needs:
    by: dict[Driver, Any] = {"process": _process, "docker": _docker, "kubernetes": _kubernetes}
    found: Needs = by[wanted.driver](wanted, profile)
    return found


def _process(wanted: Wanted, profile: Profile) -> Needs:
    if wanted.isolation == "none":
        return Needs(
            environment={
                "UPCALL_DRIVER": "process",
                "UPCALL_ISOLATION": Remarked("none", beside="actions can do and read all that the Invoker can"),
            },
            pod=_nobody(profile),
            container=bare(),
        )
    drop: Object = {"drop": ["ALL"], "add": [Remarked(name, beside=why) for name, why in SANDBOX_RIGHTS.items()]}
    unconfined = {"type": "Unconfined"}
    own = {"hostUsers": False} if wanted.user_namespace else {}
    return Needs(
        environment={"UPCALL_DRIVER": "process"},
        fields={"NODE_IP": "status.hostIP"},
        pod={
            "runAsUser": 0,
            "seccompProfile": Remarked(unconfined, above=WHY_UNCONFINED),
            "appArmorProfile": unconfined,
        },
        users=own,
        container={
            "readOnlyRootFilesystem": True,
            **({"procMount": "Unmasked"} if own else {}),
            "capabilities": drop,
        },
        admission="privileged",
    )


def _docker(wanted: Wanted, profile: Profile) -> Needs:
    data = {"name": "data", "hostPath": {"path": DATA, "type": "DirectoryOrCreate"}}
    return Needs(
        environment={
            "UPCALL_DRIVER": "docker",
            "UPCALL_MEMORY": Remarked(megabytes(wanted.memory), beside="of the node, for action containers"),
        },
        pod={
            "runAsUser": 0,
            "supplementalGroups": [Remarked(wanted.docker_group, beside="of the socket: stat -c %g " + SOCKET)],
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        container=bare(),
        volumes=[
            {"name": "dockersock", "hostPath": {"path": SOCKET, "type": "Socket"}},
            Remarked(data, above="The engine opens pipes for logs in it: it has the same path inside and outside."),
        ],
        mounts=[{"name": "dockersock", "mountPath": SOCKET}, {"name": "data", "mountPath": DATA}],
        admission="privileged",
    )


def _kubernetes(wanted: Wanted, profile: Profile) -> Needs:
    return Needs(
        environment={
            "UPCALL_DRIVER": "kubernetes",
            "UPCALL_MEMORY": Remarked(megabytes(wanted.memory), beside="of the cluster, for action pods"),
            "CONFIG_whisk_helm_release": release(wanted),
            **_place(wanted),
            **_images(wanted),
        },
        pod=_nobody(profile),
        container=bare(),
        admission="baseline",  # of action pods: their images run as root
        rules=[
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/attach"], "verbs": ["get", "create"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list"]},
        ],
    )


def _nobody(profile: Profile) -> Object:
    """A pod's security context of who has no rights; OpenShift picks the user itself."""
    user = {} if profile.own_users else {"runAsUser": 1001, "fsGroup": 1001}
    return {"runAsNonRoot": True, **user, "seccompProfile": {"type": "RuntimeDefault"}}


def release(wanted: Wanted) -> str:
    """The label `release` of action pods."""
    return wanted.release or "upcall"


def _place(wanted: Wanted) -> Object:
    """Action pods go where Invokers go; a label alone can be named."""
    prefix = "CONFIG_whisk_kubernetes_userPodNodeAffinity"
    if not wanted.node_selector:
        return {f"{prefix}_enabled": "false"}
    key, value = next(iter(wanted.node_selector.items()))
    return {f"{prefix}_key": key, f"{prefix}_value": value}


def _images(wanted: Wanted) -> Object:
    """Where our own images of kinds are, and the Secret for all: as the Invoker's. A manifest of kinds names others."""
    found: Object = {"UPCALL_DOCKER_REGISTRY": wanted.registry} if wanted.registry and not wanted.runtimes else {}
    return found | ({"UPCALL_KUBERNETES_PULL_SECRETS": wanted.pull_secret} if wanted.pull_secret else {})


def bare() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
