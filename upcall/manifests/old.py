"""The manifest of July 2017, name for name, in today's API (`--as 2017`): what was written about it still holds.

What it had: one StatefulSet, its variables, its five mounts of the host. What is different: the ordinal is the host
name's last field, so that a release may be part of it; nothing is pulled before the start; each mount says what must be
there, so that a kubelet refuses by name what it used to make as an empty folder; credentials are in a Secret; the
Service that `serviceName` names is there; probes and an end without loss (spec: kubernetes.md §2, §3).
"""

import json
from typing import Any

from upcall.manifests.document import Object, Remarked
from upcall.manifests.invoker import GRACE, account, invoker_role, namespace
from upcall.manifests.pod import lingering, probes
from upcall.manifests.profiles import Profile
from upcall.manifests.wanted import LONGEST, PORT, SLACK, Wanted

APPARMOR = {
    "amd64": "/usr/lib/x86_64-linux-gnu/libapparmor.so.1",
    "arm64": "/usr/lib/aarch64-linux-gnu/libapparmor.so.1",
}
SECRETS = {"DB_USERNAME": "couch_user", "DB_PASSWORD": "couch_password"}
MORE = """To increase the number of Invokers, edit this line. Secondly, put the same number at INVOKER_COUNT and
INVOKER_INSTANCES below."""
START = "COMPONENT_NAME=${HOSTNAME##*-} exec /invoker/bin/invoker ${HOSTNAME##*-}"
KINDS: dict[str, list[tuple[str, str, Object]]] = {
    "nodejs": [("nodejs", "nodejsaction", {"deprecated": True}), ("nodejs:6", "nodejs6action", {"default": True})],
    "python": [
        ("python", "python2action", {}),
        ("python:2", "python2action", {"default": True}),
        ("python:3", "python3action", {}),
    ],
    "swift": [
        ("swift", "swiftaction", {"deprecated": True}),
        ("swift:3", "swift3action", {}),
        ("swift:3.1.1", "action-swift-v3.1.1", {"default": True}),
    ],
    "java": [
        (
            "java",
            "java8action",
            {
                "default": True,
                "attached": {"attachmentName": "jarfile", "attachmentType": "application/java-archive"},
                "sentinelledLogs": False,
                "requireMain": True,
            },
        )
    ],
}


def old(wanted: Wanted, profile: Profile) -> list[Object]:
    return [
        *namespace(wanted.namespace, "privileged"),
        account(wanted),
        *invoker_role(wanted, []),
        *([] if wanted.secret else [_secret(wanted)]),
        _service(wanted),
        _set(wanted, profile),
    ]


def _meta(wanted: Wanted) -> Object:
    return {"name": wanted.name, "namespace": wanted.namespace, "labels": {"name": wanted.name}}


def _secret(wanted: Wanted) -> Object:
    found = {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(wanted)}
    return {**found, "stringData": Remarked(dict(SECRETS), above="Put your own here.")}


def _service(wanted: Wanted) -> Object:
    ports = [{"name": "invoker", "port": PORT, "targetPort": "invoker"}]
    spec = {"clusterIP": "None", "selector": {"name": wanted.name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(wanted), "spec": spec}


def _set(wanted: Wanted, profile: Profile) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta(wanted),
        "spec": {
            "replicas": Remarked(wanted.replicas, above=MORE),
            "serviceName": wanted.name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"name": wanted.name}},
            "template": {"metadata": {"labels": {"name": wanted.name}}, "spec": _pod(wanted, profile)},
        },
    }


def _pod(wanted: Wanted, profile: Profile) -> Object:
    volumes, mounts = _hosts(wanted, profile)
    said = "To deploy to specific nodes, write their labels here, as in\nnodeSelector: {openwhisk-role: invoker}"
    return {
        "restartPolicy": "Always",
        "serviceAccountName": wanted.name,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": LONGEST + SLACK,
        "nodeSelector": Remarked(dict(wanted.node_selector), above=said),
        "containers": [
            {
                "name": "invoker",
                "image": wanted.full_image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/bash", "-c", START],
                "env": _environment(wanted),
                "ports": [{"name": "invoker", "containerPort": PORT}],
                **probes("invoker"),
                **lingering(),
                "securityContext": {"runAsUser": 0},
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def _hosts(wanted: Wanted, profile: Profile) -> tuple[list[Any], list[Any]]:
    """Volumes and mounts. The Docker driver uses the first of them; the others were for a pause by runc."""
    paths: list[tuple[str, str, str, str, str]] = [
        ("cgroup", "/sys/fs/cgroup", "/sys/fs/cgroup", "Directory", "for runc, which is not called any more"),
        ("runc", "/run/runc", "/run/runc", "DirectoryOrCreate", "the same"),
        ("dockerrootdir", profile.docker_logs, "/containers", "Directory", "logs, which are asked for by the API now"),
        (
            "dockersock",
            "/var/run/docker.sock",
            "/var/run/docker.sock",
            "Socket",
            "needed: the engine that runs actions",
        ),
    ]
    if profile.apparmor:
        path = APPARMOR[wanted.arch]
        paths.append(("apparmor", path, path, "File", "for runc; where hosts do not have it, remove it here and above"))
    volumes = [
        Remarked({"name": name, "hostPath": {"path": path, "type": kind}}, above=f"{name}: {why}.")
        for name, path, _, kind, why in paths
    ]
    mounts = [
        {"name": name, "mountPath": inside, **({} if name in ("dockersock", "runc") else {"readOnly": True})}
        for name, _, inside, _, _ in paths
    ]
    return volumes, mounts


def _environment(wanted: Wanted) -> list[Any]:
    count = str(wanted.replicas)
    host, _, port = wanted.kafka.partition(",")[0].partition(":")
    values: dict[str, str] = {
        "PORT": str(PORT),
        "SELF_DOCKER_ENDPOINT": "localhost",
        "SERVICE_CHECK_HTTP": "/ping",
        "SERVICE_CHECK_TIMEOUT": "2s",
        "SERVICE_CHECK_INTERVAL": "15s",
        "WHISK_API_HOST_NAME": f"nginx.{wanted.namespace}",
        "WHISK_VERSION_BUILDNO": "latest",
        "WHISK_VERSION_DATE": "2017-01-01T00:00:00Z",
        "INVOKER_CONTAINER_NETWORK": "bridge",
        "DOCKER_IMAGE_PREFIX": "openwhisk",
        "DOCKER_IMAGE_TAG": "latest",
        "DOCKER_REGISTRY": "",
        "INVOKER_COUNT": count,
        "INVOKER_INSTANCES": count,
        "JAVA_OPTS": "-Xmx2g",
        "INVOKER_OPTS": "",
        "KAFKA_HOST": host,
        "KAFKA_HOST_PORT": port or "9092",
        "RUNTIMES_MANIFEST": wanted.runtimes or runtimes(),
        "WHISK_LOGS_DIR": "",
        "DB_PROVIDER": "CouchDB",
        "DB_PROTOCOL": "http",
        "DB_HOST": f"couchdb.{wanted.namespace}",
        "DB_PORT": "5984",
        "DB_WHISK_ACTIONS": "openwhisk_kube_whisks",
        "DB_WHISK_ACTIVATIONS": "openwhisk_kube_activations",
        "DB_WHISK_AUTHS": "openwhisk_kube_subjects",
        "UPCALL_GRACE": f"{GRACE} s",
    }
    secret = wanted.secret or wanted.name
    said = {"INVOKER_COUNT": "These two are the same number as replicas."}
    return [
        *(Remarked({"name": name, "value": value}, above=said.get(name, "")) for name, value in values.items()),
        *({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name in SECRETS),
    ]


def runtimes() -> str:
    """Kinds of the time."""
    found = {
        family: [{"kind": kind, "image": {"name": image}, **others} for kind, image, others in kinds]
        for family, kinds in KINDS.items()
    }
    everything = {
        "defaultImagePrefix": "openwhisk",
        "defaultImageTag": "latest",
        "runtimes": found,
        "blackboxes": [{"name": "dockerskeleton"}],
    }
    return json.dumps(everything, indent=2) + "\n"
