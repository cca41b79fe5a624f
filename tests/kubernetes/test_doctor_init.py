"""An init container says in a sentence what keeps an Invoker from starting on the real cluster."""

import json
from typing import Any

import pytest
import yaml

from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.outside import wait
from upcall.manifests.made import manifest
from upcall.manifests.wanted import Driver, Wanted

SETTINGS = {"KAFKA_HOSTS": "kafka:9092", "UPCALL_STORE": "postgresql://upcall@db/upcall"}


def doctor(
    cluster: Cluster, namespace: str, driver: Driver, without: str = "", isolation: str = "full"
) -> dict[str, Any]:
    """How the container of the manifest's own ends, in a pod without the volume."""
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(_pod(cluster, driver, without, isolation)))
    path = "{.status.initContainerStatuses[0].state.terminated}"

    def ended() -> str:
        return cluster.kubectl("-n", namespace, "get", "pod", "invoker-0", "-o", f"jsonpath={path}")

    wait("it has ended", lambda: bool(ended()), lambda: cluster.kubectl("-n", namespace, "describe", "pods"))
    found: dict[str, Any] = json.loads(ended())
    return found


def _pod(cluster: Cluster, driver: Driver, without: str, isolation: str) -> dict[str, Any]:
    wanted = Wanted(driver="docker", image=cluster.invoker_image())
    (made,) = (each for each in yaml.safe_load_all(manifest("invoker", wanted, "")) if each["kind"] == "StatefulSet")
    spec = made["spec"]["template"]["spec"]
    first = spec["initContainers"][0]
    given = {**SETTINGS, "UPCALL_DRIVER": driver, "UPCALL_ISOLATION": isolation}
    first["env"] = [{"name": name, "value": value} for name, value in given.items()]
    del first["envFrom"]
    kept = {each["name"]: {"name": each["name"], "emptyDir": {}} for each in spec["volumes"] if each["name"] != without}
    first["volumeMounts"] = [each for each in first["volumeMounts"] if each["name"] in kept]
    main = {"name": "main", "image": wanted.image, "command": ["true"], "securityContext": first["securityContext"]}
    kinds = {"restartPolicy": "Never", "securityContext": spec["securityContext"], "volumes": [*kept.values()]}
    about = {"name": "invoker-0"}
    whole = {**kinds, "initContainers": [first], "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": whole}


@pytest.mark.parametrize(
    ("id", "driver", "without"),
    [
        ("HOST-03", "docker", "dockersock"),
        ("HOST-04", "docker", ""),
        ("K8S-09", "kubernetes", ""),
        ("LOCAL-01", "process", ""),
    ],
)
def test_why_it_cannot_start_stands_in_the_pods_status(
    cluster: Cluster, namespace: str, id: str, driver: Driver, without: str
) -> None:
    """Without a socket; with a directory in its place; with an account, with a container that has no rights."""
    ended = doctor(cluster, namespace, driver, without)
    assert ended["exitCode"] == 2
    (line,) = ended["message"].splitlines()
    assert line.startswith(f"{id}: ")


def test_nothing_is_said_where_nothing_is_wrong(cluster: Cluster, namespace: str) -> None:
    ended = doctor(cluster, namespace, "process", isolation="none")
    assert (ended["exitCode"], ended.get("message")) == (0, None)
