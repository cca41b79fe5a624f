"""Nodes that are not there, for what has to hold with a thousand: kwok plays their kubelets, and nothing runs in pods.

Pods get there that tolerate the taint `kwok.x-k8s.io/node` and select `type: kwok`; they are Ready at once.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes.cluster import programs
from tests.kubernetes.cluster.cluster import Cluster
from tests.system import engine_guard

ANNOTATION = "kwok.x-k8s.io/node"
SIZE = {"cpu": "32", "memory": "256Gi", "pods": "110"}


@contextmanager
def nodes(cluster: Cluster, count: int, **labels: str) -> Iterator[None]:
    """So many, with these labels, Ready; gone afterwards with what is on them."""
    programs.build("kwok")
    player = _play(cluster)
    try:
        made = [_node(number, labels) for number in range(count)]
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(_list(made)))
        cluster.kubectl("wait", "--for=condition=Ready", "node", "-l", "type=kwok", "--timeout=120s")
        yield
    finally:
        cluster.kubectl("delete", "nodes", "-l", "type=kwok", "--wait=false")
        player.terminate()
        player.wait(30)


def _play(cluster: Cluster) -> "subprocess.Popen[bytes]":
    place = cluster.place
    group = engine_guard.home() / place.group / "node" / "cgroup.procs"
    command = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group)]
    command += ["nsenter", f"--net=/proc/{cluster.network}/ns/net", str(programs.bin() / "kwok")]
    command += [f"--kubeconfig={place.kubeconfig}", "--manage-all-nodes=false"]
    command += [f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake", "--node-lease-duration-seconds=40"]
    with (place.folder / "log" / "kwok.log").open("ab") as log:
        return subprocess.Popen(
            [*command, f"--cidr={place.faked}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
        )


def _node(number: int, labels: dict[str, str]) -> dict[str, Any]:
    name = f"faked-{number}"
    about = {
        "name": name,
        "annotations": {ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
        "labels": {"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **labels},
    }
    spec = {"taints": [{"key": ANNOTATION, "value": "fake", "effect": "NoSchedule"}]}
    status = {"allocatable": SIZE, "capacity": SIZE}
    return {"apiVersion": "v1", "kind": "Node", "metadata": about, "spec": spec, "status": status}


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}
