"""An Invoker whose actions are containers of its node's Docker engine, as `upcall manifests --driver docker` has it:
the engine's socket and a folder of the node are mounted, and the pod has no other right."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.kubernetes.cluster.cluster import Cluster, Refused
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import Outside, settings, wait
from tests.system.engine import Engine, engine
from upcall.manifests.made import manifest
from upcall.manifests.profiles import PROFILES
from upcall.manifests.wanted import Wanted

__all__ = ["engine"]

LABEL, BOOT, PROCESS = "upcall.instance", "upcall.boot", "upcall.process"
PAGE = CHECKOUT / "docs" / "kubernetes.md"
API = "https://api.example.org"
TOLD = """
import os, socket
def tried(host):
    try:
        socket.create_connection((host, 1), 1).close()
    except OSError as error:
        return type(error).__name__
def main(args):
    print("hello", args["name"])
    return {"api": os.environ["__OW_API_HOST"], **{host: tried(host) for host in args.get("hosts", [])}}
"""


@contextmanager
def joined(cluster: Cluster, engine: Engine) -> Iterator[None]:
    """Pods' calls come to the engine's containers, and answers back, as between bridges of one node; with the rules for
    Docker's firewall that the page has."""
    node, there = cluster.network, engine.guard
    first, second, third, _ = cluster.host_address.split(".")
    rules = [each.replace("PODS", cluster.place.pods) for each in re.findall(r"`(iptables .+?)`", PAGE.read_text())]
    link = f"{first}.{second}.{int(third) + 1}"
    containers = engine.call("GET", "/networks/bridge")["IPAM"]["Config"][0]["Subnet"]

    def do(pid: int, line: str) -> None:
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", *line.split()]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"

    do(node, f"ip link add engine type veth peer name node netns {there}")
    try:
        do(node, f"ip address add {link}.1/30 dev engine")
        do(node, "ip link set engine up")
        do(there, f"ip address add {link}.2/30 dev node")
        do(there, "ip link set node up")
        do(there, f"ip route add default via {link}.1")
        for rule in rules:
            do(there, rule)
        do(node, f"ip route add {containers} via {link}.2")
        yield
    finally:
        do(node, "ip link delete engine")
        for rule in rules:
            do(there, rule.replace("-I", "-D"))


class Node(Outside):
    """`data` is the folder of the node that the manifest mounts."""

    def __init__(self, cluster: Cluster, engine: Engine, folder: Path, data: Path) -> None:
        self.namespace = f"test-{uuid4().hex[:8]}"
        self.engine = engine
        self.data = data
        group = engine.path.stat().st_gid
        profile = PROFILES["ubuntu-docker"]
        wanted = Wanted(
            driver="docker",
            profile=profile.name,
            namespace=self.namespace,
            kafka=f"kafka.{self.namespace}:9092",
            api_host=API,
            docker_group=group,
        )
        documents = list(yaml.safe_load_all(manifest("invoker", wanted, "")))
        (workload,) = (each for each in documents if each["kind"] == "StatefulSet")
        self.spec = workload["spec"]["template"]["spec"]
        """Of the pod."""
        self._move()
        self._documents = documents
        self._file = folder / "invoker.yml"
        self._write()
        super().__init__(cluster, folder, settings(cluster, self._file))

    def apply(self) -> None:
        self._write()
        self.cluster.kubectl("apply", "-f", str(self._file))

    def _write(self) -> None:
        self._file.write_text(yaml.safe_dump_all(self._documents))

    def _move(self) -> None:
        """To where this engine's socket is, and a folder that a test may have."""
        (container,) = self.spec["containers"]
        places = {each["name"]: each["hostPath"] for each in self.spec["volumes"] if "hostPath" in each}
        assert places["dockersock"].pop("path") == "/var/run/docker.sock"
        assert places["data"].pop("path") == "/var/lib/upcall"
        places["dockersock"]["path"], places["data"]["path"] = str(self.engine.path), str(self.data)
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "data")
        mount["mountPath"] = str(self.data)
        more = {"UPCALL_DATA": str(self.data), "DOCKER_API_VERSION": "1.23", "UPCALL_PREWARM": "none"}
        container["env"] += [{"name": name, "value": value} for name, value in more.items()]

    def kubectl(self, *words: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words)

    def said(self) -> str:
        try:
            return self.kubectl("logs", "invoker-0")
        except Refused:  # it has not started
            return self.kubectl("get", "pods,events", "-o", "wide")

    def told(self) -> tuple[Any, ...]:
        return self.controller.states(), self.said()

    @property
    def pod(self) -> str:
        """Its uid; empty where there is none."""
        return self.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")

    def up(self, after: str = "") -> None:
        """`after`: another pod than this one."""
        wait("there is a pod", lambda: self.pod not in ("", after), self.told)
        self.kubectl("wait", "pod", "invoker-0", "--for=condition=Ready", "--timeout=60s")
        wait("the Invoker is up", lambda: self.controller.states() == {0: "up"}, self.told)

    def containers(self) -> list[dict[str, Any]]:
        """Of actions, of any life."""
        return [each for each in self.engine.containers(LABEL) if each["Names"][0].endswith("_guest_told")]

    def greet(self, name: str, *hosts: str) -> Any:
        record = self.invoke("told", {"name": name, "hosts": hosts})
        path = f"activations/{record['activationId']}/logs"
        wait("it is kept", lambda: self.controller.call("GET", path).status == 200, self.told)
        (line,) = self.controller.call("GET", path).body["logs"]
        assert line.endswith(f"stdout: hello {name}")
        return record["response"]["result"]


@pytest.fixture(scope="module")
def node(cluster: Cluster, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    cluster.invoker_image()
    data = Path(tempfile.mkdtemp(prefix="upd", dir="/var/tmp"))
    with cluster.alone("docker"), joined(cluster, engine):
        made = Node(cluster, engine, tmp_path_factory.mktemp("node"), data)
        try:
            made.start()
            cluster.kubectl("create", "namespace", made.namespace)
            names = {name: f"{name}.{made.namespace}:{port}" for name, port in (("kafka", 9092), ("couchdb", 5984))}
            cluster.kubectl("apply", "-f", "-", input=made.services(**names))
            made.apply()
            yield made
        finally:
            cluster.remove_namespace(made.namespace)
            made.close()
            shutil.rmtree(data)


def test_actions_are_containers_of_the_node(node: Node) -> None:
    """Their logs come by pipes, as the engine finds the pod's folder; rules are the node's, and not to be had."""
    node.up()
    node.put("told", TOLD)
    gateway = node.engine.call("GET", "/networks/bridge")["IPAM"]["Config"][0]["Gateway"]
    unheard = {gateway: "TimeoutError", "169.254.169.254": "TimeoutError"}
    assert node.greet("Ada", *unheard) == {"api": API, **unheard}, "without the page's rules it would be refused"
    (container,) = node.containers()
    assert {Path(each["Source"]).parents[2] for each in container["Mounts"]} == {node.data / "invoker0"}
    said = node.said()
    assert "actions in containers reach what listens on this host, and each other: the engine's network bridge" in said
    assert "[ERROR]" not in said
    assert "--memory" not in said, "containers are outside of the pod's bounds"


def test_a_pod_that_takes_its_place_removes_what_it_has_left(node: Node) -> None:
    node.up()
    (left,) = node.containers()
    process, pod = left["Labels"][PROCESS].split("/")[-2], node.pod
    node.kubectl("exec", "invoker-0", "--", "bash", "-c", f"kill -STOP {process}")
    node.kubectl("delete", "pod", "invoker-0", "--grace-period=0", "--force")
    node.up(after=pod)
    assert "containers of an earlier life were removed" in node.said()
    assert node.containers() == []
    assert node.greet("Bob") == {"api": API}
    (made,) = node.containers()
    assert made["Labels"][BOOT] > left["Labels"][BOOT]


def test_without_a_folder_of_the_node_it_may_be_an_ordinary_user(node: Node) -> None:
    """In the socket's group; logs come by the engine's stream."""
    assert node.engine.path.stat().st_mode & 0o777 == 0o660
    pod, who = node.pod, node.spec["securityContext"]
    who |= {"runAsNonRoot": True, "runAsUser": 1001, "runAsGroup": 1001, "fsGroup": 1001}
    (data,) = (each for each in node.spec["volumes"] if each["name"] == "data")
    del data["hostPath"]
    data["emptyDir"] = {}
    node.apply()
    node.up(after=pod)
    assert node.greet("Eve") == {"api": API}
    (container,) = node.containers()
    assert container["Mounts"] == []
    assert "cannot use files of this host" in node.said()
