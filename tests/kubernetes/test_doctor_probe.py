"""Nodes of the real cluster are looked into by pods, which are gone afterwards."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.config.kubeconfig import KubeConfig

from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.outside import wait
from upcall.doctor import examine
from upcall.doctor.facts import probe as probing
from upcall.doctor.facts.cluster import gather
from upcall.doctor.facts.node import Node
from upcall.doctor.facts.probe import LABEL, pod, probe
from upcall.kubernetes.client import Api

UPCALL = Path(sys.executable).with_name("upcall")
INSTANCES = "/proc/sys/fs/inotify/max_user_instances"


def command(namespace: str, *flags: str) -> list[str]:
    return [str(UPCALL), "doctor", "-n", namespace, "--json", *flags]


def around(cluster: Cluster) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}


def doctor(cluster: Cluster, namespace: str) -> dict[str, Any]:
    asked = command(namespace, "--node-probe")
    done = subprocess.run(asked, env=around(cluster), capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pods(cluster: Cluster, namespace: str) -> list[str]:
    return cluster.kubectl("-n", namespace, "get", "pods", "-l", LABEL, "-o", "name").split()


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    return cluster.invoker_image()


@contextmanager
def instead(cluster: Cluster, file: str, text: str, folder: Path) -> Iterator[None]:
    """A file of the node has another text, for what runs on it alone."""
    there = folder / "instead"
    there.write_text(text)
    node = ["nsenter", f"--mount=/proc/{cluster.network}/ns/mnt"]
    subprocess.run([*node, "mount", "--bind", str(there), file], check=True)
    try:
        yield
    finally:
        subprocess.run([*node, "umount", file], check=True)


@pytest.mark.usefixtures("image")
def test_a_node_is_looked_into(cluster: Cluster, namespace: str) -> None:
    found = doctor(cluster, namespace)
    assert (found["findings"], found["unseen"]) == ([], [])
    assert f"node {cluster.node} (" in found["looked_at"]
    assert "driver kubernetes or process" in found["looked_at"]
    assert pods(cluster, namespace) == []


@pytest.mark.usefixtures("image")
def test_what_is_wrong_with_a_node_is_named(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    with instead(cluster, INSTANCES, "8\n", tmp_path):
        found = doctor(cluster, namespace)
    assert [(each["id"], each["where"]) for each in found["findings"]] == [("HOST-14", f"node {cluster.node}")]
    assert found["findings"][0]["evidence"] == "fs.inotify.max_user_instances = 8"


def test_a_cluster_that_refuses_the_pod_is_not_blamed(cluster: Cluster, namespace: str) -> None:
    label = "pod-security.kubernetes.io/enforce=baseline"
    cluster.kubectl("label", "namespace", namespace, label)
    found = doctor(cluster, namespace)
    assert found["findings"] == []
    (why,) = found["unseen"]
    assert why.startswith("1 of 1 nodes are not looked into: ")
    assert 'violates PodSecurity "baseline:latest"' in why


@pytest.mark.usefixtures("image")
def test_a_doctor_that_is_stopped_leaves_no_pod(cluster: Cluster, namespace: str) -> None:
    running = subprocess.Popen(
        command(namespace, "--every-node"), env=around(cluster), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait("the pod is there", lambda: pods(cluster, namespace), running.poll)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    wait("the pod is gone", lambda: not pods(cluster, namespace), lambda: pods(cluster, namespace))


def test_a_pod_that_was_left_is_swept(
    cluster: Cluster, namespace: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = pod("left", cluster.node, image)
    left["spec"]["containers"][0]["command"] = ["sleep", "600"]
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(left))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    assert KubeConfig.from_env().current_context

    async def look() -> list[str]:
        api = Api(namespace=namespace)
        try:
            return [each.name for each in (await probe(api, await gather(api), ())).nodes]
        finally:
            await api.close()

    assert asyncio.run(look()) == [cluster.node]
    assert pods(cluster, namespace) == ["pod/left"]  # another doctor's, that may be at work
    monkeypatch.setattr(probing, "OLD", -60.0)
    assert asyncio.run(look()) == [cluster.node]
    wait("it is gone", lambda: not pods(cluster, namespace), lambda: pods(cluster, namespace))


def test_a_directory_in_place_of_dockers_socket(cluster: Cluster, namespace: str, image: str) -> None:
    """In a folder that the pod has in place of the node's: on the node itself it would be everybody's."""
    made = pod("reader", cluster.node, image)
    (folder,) = (each for each in made["spec"]["volumes"] if each["name"] == "run")
    folder.pop("hostPath")
    folder["emptyDir"] = {}
    mount = {"name": "run", "mountPath": "/run"}
    makes = {"name": "makes", "image": image, "command": ["mkdir", "/run/docker.sock"], "volumeMounts": [mount]}
    made["spec"]["initContainers"] = [makes]
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=json.dumps(made))
    path = "jsonpath={.status.phase}"
    wait(
        "it has ended",
        lambda: cluster.kubectl("-n", namespace, "get", "pod", "reader", "-o", path) == "Succeeded",
        lambda: cluster.kubectl("-n", namespace, "describe", "pod", "reader"),
    )
    node = msgspec.json.decode(cluster.kubectl("-n", namespace, "logs", "reader"), type=Node)
    (found,) = examine.nodes([node], ())
    assert (found.id, found.where) == ("HOST-04", f"node {cluster.node}")
