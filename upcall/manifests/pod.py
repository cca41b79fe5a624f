"""The pod of an Invoker: how it is started, looked at, stopped, placed and bounded."""

from typing import Any

from upcall.manifests.document import Object, Remarked
from upcall.manifests.driver import DATA, Needs
from upcall.manifests.profiles import Profile
from upcall.manifests.wanted import LONGEST, PORT, SLACK, Wanted, labels, mebibytes, selector

LINGER = 5
"""Seconds until no node leads calls to a pod that is to go."""
TLS = "/etc/upcall/tls"
LAST_WORDS = {"terminationMessagePolicy": "FallbackToLogsOnError"}
"""The end of the log of a container that fails stands in the pod's status."""


def template(wanted: Wanted, profile: Profile, needs: Needs) -> Object:
    return {"metadata": {"labels": labels(wanted, "invoker")}, "spec": _spec(wanted, profile, needs)}


def _spec(wanted: Wanted, profile: Profile, needs: Needs) -> Object:
    token = not wanted.daemon or bool(needs.rules)
    return {
        "serviceAccountName": wanted.name,
        "automountServiceAccountToken": token,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": Remarked(
            LONGEST + SLACK, beside="SIGTERM drains: the longest action, and some to go"
        ),
        **_placed(wanted, profile),
        **needs.users,
        "securityContext": needs.pod,
        **({"imagePullSecrets": [{"name": wanted.pull_secret}]} if wanted.pull_secret else {}),
        **({"initContainers": [_doctor(wanted, needs)]} if wanted.driver == "docker" else {}),
        "containers": [_container(wanted, needs)],
        "volumes": _volumes(wanted, needs),
    }


def _placed(wanted: Wanted, profile: Profile) -> Object:
    found: Object = {"nodeSelector": Remarked(dict(wanted.node_selector), above=_chosen(wanted))}
    if wanted.tolerations:
        found["tolerations"] = [toleration(text) for text in wanted.tolerations]
    spread = wanted.spread or ("required" if wanted.driver == "docker" and not profile.single_node else "preferred")
    if spread != "none" and not wanted.daemon:
        found["affinity"] = {"podAntiAffinity": _apart(wanted, spread)}
    return found


def _chosen(wanted: Wanted) -> str:
    if wanted.node_selector:
        return "Only on nodes with these labels."
    return (
        "On any node. To choose nodes, label them (kubectl label node NAME openwhisk-role=invoker), and write here\n"
        "nodeSelector: {openwhisk-role: invoker}"
    )


def _apart(wanted: Wanted, spread: str) -> Object:
    term = {"labelSelector": {"matchLabels": selector(wanted, "invoker")}, "topologyKey": "kubernetes.io/hostname"}
    if spread == "required":
        return {
            "requiredDuringSchedulingIgnoredDuringExecution": Remarked(
                [term], above="One Invoker on a node: its containers are outside of the pod's bounds."
            )
        }
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": Remarked(
            [{"weight": 100, "podAffinityTerm": term}], above="On a node each, while there are enough."
        )
    }


def toleration(text: str) -> Object:
    """Of `KEY=VALUE:EFFECT`, `KEY:EFFECT` or `KEY`."""
    pair, _, effect = text.partition(":")
    key, equal, value = pair.partition("=")
    return {
        "key": key,
        **({"operator": "Equal", "value": value} if equal else {"operator": "Exists"}),
        **({"effect": effect} if effect else {}),
    }


def _container(wanted: Wanted, needs: Needs) -> Object:
    return {
        "name": "invoker",
        "image": wanted.full_image,
        "imagePullPolicy": "IfNotPresent",
        **({"args": ["/init.sh", "--uniqueName", "$(NODE_NAME)"]} if wanted.daemon else {}),
        "env": [*_environment(wanted), *fields(needs)],
        "envFrom": _sources(wanted),
        "ports": [{"name": "http", "containerPort": PORT}],
        **probes("http", "HTTPS" if wanted.tls_secret else "HTTP"),
        **lingering(),
        "resources": resources(wanted),
        "securityContext": needs.container,
        "volumeMounts": _mounts(wanted, needs),
        **LAST_WORDS,
    }


def _doctor(wanted: Wanted, needs: Needs) -> Object:
    """Where the host decides whether an Invoker can start: what is wrong with it stands in the pod's status."""
    why = "Says in a sentence why this node cannot run an Invoker: kubectl describe pod."
    return {
        "name": "doctor",
        "image": wanted.full_image,
        "imagePullPolicy": "IfNotPresent",
        "command": Remarked(["upcall", "doctor", "--init", "--role", "invoker"], beside=why),
        "envFrom": _sources(wanted),
        "resources": resources(wanted),
        "securityContext": needs.container,
        "volumeMounts": _mounts(wanted, needs),
        **LAST_WORDS,
    }


def _sources(wanted: Wanted) -> list[Object]:
    return [{"configMapRef": {"name": wanted.name}}, {"secretRef": {"name": wanted.secret or wanted.name}}]


def _environment(wanted: Wanted) -> list[Any]:
    if wanted.daemon:
        return [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    if wanted.scaler != "none":
        return []
    count = {"name": "INVOKER_COUNT", "value": str(wanted.replicas)}
    said = "These two are the same number as replicas; an Invoker that is beyond it says so."
    return [Remarked(count, above=said), {"name": "INVOKER_INSTANCES", "value": str(wanted.replicas)}]


def fields(needs: Needs) -> list[Object]:
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in needs.fields.items()]


def probes(port: str, scheme: str = "HTTP", patience: int = 300) -> Object:
    """`patience`: seconds that a start may take; whoever waits for it waits for the next look, too."""

    def get(path: str, **others: int) -> Object:
        return {"httpGet": {"path": path, "port": port, **({"scheme": scheme} if scheme != "HTTP" else {})}, **others}

    return {
        "startupProbe": get("/ping", periodSeconds=1, failureThreshold=patience, timeoutSeconds=3),
        "livenessProbe": get("/ping", periodSeconds=10, failureThreshold=6, timeoutSeconds=5),
        "readinessProbe": get("/ready", periodSeconds=5, failureThreshold=2, timeoutSeconds=5),
    }


def lingering() -> Object:
    """Of a pod that a Service leads to: calls still come for a moment after it has been told to go. Of an Invoker: the
    one that was replaced before it is ready, and in this time controllers take it up."""
    return {"lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LINGER)]}}}}


def resources(wanted: Wanted) -> Object:
    size, process = mebibytes(wanted.pod_memory), wanted.driver == "process"
    why = "of which actions have 75 %, as they run in this pod" if process else "of the Invoker itself"
    cpu = wanted.cpu or ("" if process else "1")
    return {
        "requests": {"memory": size, "cpu": cpu or "250m"},
        "limits": {"memory": Remarked(size, beside=why), **({"cpu": cpu} if cpu else {})},
    }


def _mounts(wanted: Wanted, needs: Needs) -> list[Object]:
    mounts = list(needs.mounts)
    if not any(mount["mountPath"] == DATA for mount in mounts):
        mounts.append({"name": "data", "mountPath": DATA})
    mounts.append({"name": "scratch", "mountPath": "/tmp"})  # noqa: S108 - a volume of the pod
    if wanted.tls_secret:
        mounts.append({"name": "tls", "mountPath": TLS, "readOnly": True})
    return mounts


def _volumes(wanted: Wanted, needs: Needs) -> list[Any]:
    volumes = list(needs.volumes)
    if not wanted.volume and not any(mount["mountPath"] == DATA for mount in needs.mounts):
        volumes.append({"name": "data", "emptyDir": {}})
    volumes.append({"name": "scratch", "emptyDir": {}})
    if wanted.tls_secret:
        volumes.append({"name": "tls", "secret": {"secretName": wanted.tls_secret}})
    return volumes
