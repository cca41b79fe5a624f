"""The process driver in a pod of its own, with the rights that manifests give it and no others: what works there, and
what an action does not get at. And without any rights."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.kubernetes.cluster.cluster import Cluster, Refused
from tests.kubernetes.outside import wait
from upcall.manifests.made import manifest
from upcall.manifests.wanted import Wanted

AUTH = f"{uuid4()}:{'k' * 64}"
SECRET = "known to the pod alone"
PORT = 3233
LOOK = """
import os, socket
def tried(host, port):
    try:
        socket.create_connection((host, port), 3).close()
    except OSError as error:
        return type(error).__name__
    return "reached"
def main(args):
    print("looking")
    return {
        "files": [path for path in args["files"] if os.path.lexists(path)],
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "variables": [name for name in os.environ if not name.startswith("__OW_")],
        "groups": {line.split(":", 2)[2] for line in open("/proc/self/cgroup").read().splitlines()} == {"/"},
        "reached": {f"{host}:{port}": tried(host, port) for host, port in args["places"]},
    }
"""
TAKE = "def main(args):\n    return {'length': len(b'x' * (args['mb'] << 20))}\n"
SLEEP = "import time\ndef main(args):\n    time.sleep(60)\n"
FILES = ["/var/run/secrets", "/run/secrets", "/var/lib/upcall", "/opt/upcall/upcall", "/sys/fs/cgroup", "/init.sh"]


class Pod:
    """One that runs `upcall serve`, with the security contexts of an Invoker's manifest."""

    def __init__(self, cluster: Cluster, namespace: str, wanted: Wanted, command: list[str] | None = None) -> None:
        self._cluster = cluster
        self._place = ("-n", namespace)
        documents = yaml.safe_load_all(manifest("invoker", wanted, ""))
        (workload,) = [each for each in documents if each["kind"] == "StatefulSet"]
        spec = workload["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        folders = ("/var/lib/upcall", "/tmp")
        made = {
            "name": "upcall",
            "image": cluster.invoker_image(),
            "command": command or ["upcall", "serve", "--host", "0.0.0.0"],
            "env": [
                *(each for each in container["env"] if "valueFrom" in each),
                {"name": "UPCALL_AUTH", "value": AUTH},
                {"name": "SECRET", "value": SECRET},
            ],
            "securityContext": container["securityContext"],
            "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "50m"}},
            "volumeMounts": [{"name": f"v{n}", "mountPath": folder} for n, folder in enumerate(folders)],
        }
        self._spec = {
            "securityContext": spec["securityContext"],
            "terminationGracePeriodSeconds": 5,
            "containers": [made],
            "volumes": [{"name": f"v{n}", "emptyDir": {}} for n in range(len(folders))],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "inside"}, "spec": self._spec}
        cluster.kubectl(*self._place, "apply", "-f", "-", input=json.dumps(body))

    def said(self) -> str:
        try:
            return self._cluster.kubectl(*self._place, "logs", "inside")
        except Refused:  # it has not started
            return self._cluster.kubectl(*self._place, "get", "pods,events", "-o", "wide")

    def has_said(self, text: str) -> None:
        wait(text, lambda: text in self.said(), self.said)

    def run(self, *command: str) -> str:
        return self._cluster.kubectl(*self._place, "exec", "inside", "--", *command)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._cluster.kubectl(*self._place, "get", "pod", "inside", "-o", "json"))
        return dict(found["status"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"http://{self.status['podIP']}:{PORT}/api/v1/namespaces/_/{path}"
        headers = {"Authorization": f"Basic {b64encode(AUTH.encode()).decode()}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def put(self, name: str, code: str, **limits: int) -> None:
        made = self.call("PUT", f"actions/{name}", {"exec": {"kind": "python:3", "code": code}, "limits": limits})
        assert made["name"] == name, made

    def invoke(self, name: str, **given: Any) -> Any:
        return self.call("POST", f"actions/{name}?blocking=true", given)["response"]["result"]


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    name = f"test-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.remove_namespace(name, wait=False)


@pytest.fixture(scope="module")
def pod(cluster: Cluster, place: str) -> Pod:
    made = Pod(cluster, place, Wanted(driver="process"))
    made.has_said("is ready at")
    return made


def test_all_of_a_sandbox_can_be_had(pod: Pod) -> None:
    """Groups below the pod's own, whose memory is what actions share, and a way out."""
    assert "(0.8 GB for actions, each in a sandbox of its own)" in pod.said()
    assert pod.said().count("WARN") == 1, "that of --host"
    for controller in ("memory", "pids", "freezer"):
        assert "-" in pod.run("ls", f"/sys/fs/cgroup/{controller}/upcall"), "a life's folder"


def test_an_action_sees_nothing_of_its_pod(pod: Pod) -> None:
    status = pod.status
    api = pod.run("sh", "-c", "echo $KUBERNETES_SERVICE_HOST").strip()
    assert pod.run("ls", "/var/run/secrets/kubernetes.io/serviceaccount/token"), "that is hidden from actions"
    places = [(api, 443), (status["podIP"], PORT), ("169.254.169.254", 80), (status["hostIP"], 10250)]
    pod.put("look", LOOK)
    seen = pod.invoke("look", files=FILES, places=places)
    assert (seen["files"], seen["processes"], seen["groups"]) == ([], 2, True)
    assert set(seen["variables"]) <= {"PATH", "LANG", "HOME", "PWD"}
    assert seen["reached"] == {f"{host}:{port}": "ConnectionRefusedError" for host, port in places}


def test_what_takes_too_much_ends_alone(pod: Pod) -> None:
    pod.put("take", TAKE, memory=128)
    pod.put("sleep", SLEEP, timeout=500)
    assert pod.invoke("take", mb=10) == {"length": 10 << 20}
    assert pod.invoke("take", mb=300) == {"error": "The action exhausted its memory and was aborted."}
    assert pod.invoke("take", mb=2000) == {"error": "The action exhausted its memory and was aborted."}
    assert pod.invoke("sleep") == {"error": "The action exceeded its time limits of 500 milliseconds."}
    assert pod.invoke("take", mb=10) == {"length": 10 << 20}
    assert pod.status["containerStatuses"][0]["restartCount"] == 0


def test_orphans_are_reaped(pod: Pod) -> None:
    pod.run("sh", "-c", "sleep 0.1 & exit 0")

    def zombies() -> list[str]:
        said = pod.run("sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null; true").splitlines()
        return [line for line in said if line.rpartition(") ")[2].startswith(("Z 1 ", "S 1 ")) and "(sleep)" in line]

    wait("nobody is left", lambda: not zombies(), zombies)


def test_without_rights_it_takes_the_operators_word(cluster: Cluster, namespace: str) -> None:
    """On a cluster that gives no pod any rights."""
    both = "upcall serve || UPCALL_ISOLATION=none exec upcall serve --host 0.0.0.0"
    bare = Pod(cluster, namespace, Wanted(driver="process", isolation="none"), ["sh", "-c", both])
    bare.has_said("is ready at")
    said = bare.said()
    assert "Actions cannot be isolated on this host: " in said
    assert "In a pod, sandboxes need what `upcall manifests` writes: user 0, the capabilities SYS_ADMIN," in said
    assert "actions run WITHOUT isolation" in said
    bare.put("take", TAKE)
    assert bare.invoke("take", mb=1) == {"length": 1 << 20}
