"""What somebody wants to have deployed: the input of every manifest."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from upcall import __version__

Driver = Literal["process", "docker", "kubernetes"]
DRIVERS: tuple[Driver, ...] = get_args(Driver)
Spread = Literal["preferred", "required", "none"]
SPREADS: tuple[Spread, ...] = get_args(Spread)
Scaler = Literal["none", "hpa", "keda"]
SCALERS: tuple[Scaler, ...] = get_args(Scaler)
Arch = Literal["amd64", "arm64"]
Isolation = Literal["full", "none"]
ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)
ARCHES: tuple[Arch, ...] = get_args(Arch)

PORT = 8080
"""Where OpenWhisk's probes and Prometheus look for an Invoker."""
LONGEST = 300
"""Seconds that an action may take at most, as limits.timeout-max is by default."""
SLACK = 30
USUAL_MEMORY = 2048
"""MB for actions, as OpenWhisk's `user-memory` is by default."""
OWN_MEMORY = 512
"""MB for the Invoker itself."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """`memory` in MB is for running actions; `cpu` in Kubernetes' words, empty for no bound. `store` is a URL of ours,
    or empty for the CouchDB of the 2017 deployment; `secret` is one that is there already, with the credentials.
    `volume` is a StorageClass, empty for none and `default` for the cluster's own; `daemon`: one Invoker per node,
    whose id ZooKeeper keeps."""

    profile: str = "ubuntu-docker"
    driver: Driver = "process"
    replicas: int = 1
    namespace: str = "openwhisk"
    release: str = ""
    node_selector: Mapping[str, str] = {}
    tolerations: tuple[str, ...] = ()
    """`KEY=VALUE:EFFECT`, `KEY:EFFECT` or `KEY`."""
    spread: Spread | None = None
    memory: int = USUAL_MEMORY
    cpu: str = ""
    registry: str = ""
    image: str = f"upcall/invoker:{__version__}"
    pull_secret: str = ""
    kafka: str = "kafka.openwhisk:9092"
    store: str = ""
    zookeeper: str = ""
    api_host: str = ""
    secret: str = ""
    tls_secret: str = ""
    volume: str = ""
    volume_size: int = 1024
    """MB."""
    daemon: bool = False
    monitor: bool = False
    scaler: Scaler = "none"
    most: int = 10
    """Replicas that a scaler may make."""
    prometheus: str = "http://prometheus-operated.monitoring:9090"
    """Which KEDA asks."""
    runtimes: str = ""
    """OpenWhisk's manifest, as JSON."""
    arch: Arch = "amd64"
    isolation: Isolation = "full"
    """Of the process driver. none: actions can do and read all that the Invoker can."""
    user_namespace: bool = False
    """Whether root in the pod is nobody on the node (`hostUsers: false`)."""
    docker_group: int = 999
    """Group of the Docker socket on the hosts."""

    @property
    def name(self) -> str:
        return self.of("invoker")

    def of(self, part: str) -> str:
        """An object's name: the part, after the release where there is one."""
        return f"{self.release}-{part}" if self.release else part

    @property
    def full_image(self) -> str:
        return f"{self.registry.rstrip('/')}/{self.image}" if self.registry else self.image

    @property
    def pod_memory(self) -> int:
        """MB of the Invoker's pod. Actions of the process driver run in it; the Invoker gives them 75 % by itself."""
        return max(-(-self.memory * 4 // 3), self.memory + OWN_MEMORY) if self.driver == "process" else OWN_MEMORY


def labels(wanted: Wanted, part: str) -> dict[str, str]:
    """Of objects and pods; `name` is what OpenWhisk's network policies look at."""
    return {**selector(wanted, part), "name": wanted.of(part)}


def selector(wanted: Wanted, part: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "upcall",
        "app.kubernetes.io/instance": wanted.release or "upcall",
        "app.kubernetes.io/component": part,
    }


def meta(wanted: Wanted, name: str, part: str) -> dict[str, object]:
    return {"name": name, "namespace": wanted.namespace, "labels": labels(wanted, part)}


def mebibytes(size: int) -> str:
    return f"{size}Mi"


def megabytes(size: int) -> str:
    """As our settings say it."""
    return f"{size} MB"
