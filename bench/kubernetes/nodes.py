"""A thousand nodes, which are faked: `upcall manifests` for an Invoker on each, and how long the cluster takes."""

import subprocess
import sys
import time
from uuid import uuid4

from bench.row import Row
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.faked import ANNOTATION, nodes

PART = "nodes"
COUNT, QUICK = 1000, 100


def rows(cluster: Cluster, quick: bool) -> list[Row]:
    count, namespace = QUICK if quick else COUNT, f"nodes-{uuid4().hex[:8]}"
    began = time.monotonic()
    text = _manifests(count, namespace)
    made = time.monotonic() - began
    try:
        with nodes(cluster, count):
            began = time.monotonic()
            cluster.kubectl("apply", "-f", "-", input=text)
            cluster.kubectl("-n", namespace, "rollout", "status", "statefulset", "invoker", "--timeout=280s")
            applied = time.monotonic() - began
            spread = set(cluster.kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={..nodeName}").split())
            began = time.monotonic()
            cluster.kubectl("-n", namespace, "scale", "statefulset", "invoker", "--replicas=0")
            cluster.kubectl("-n", namespace, "wait", "--for=delete", "pod", "-l", "name=invoker", "--timeout=280s")
            gone = time.monotonic() - began
    finally:
        cluster.remove_namespace(namespace)
    return [
        Row(PART, "upcall manifests", "s", [made]),
        Row(PART, "apply to all Invokers ready", "s", [applied], note=f"{count}, each on a faked node"),
        Row(PART, "nodes with an Invoker", "1", [float(len(spread))], target=float(count), better="more"),
        Row(PART, "scale to 0 to all gone", "s", [gone]),
    ]


def _manifests(count: int, namespace: str) -> str:
    options = ["--replicas", str(count), "-n", namespace, "--spread", "required", "--node-selector", "type=kwok"]
    options += ["--toleration", f"{ANNOTATION}=fake:NoSchedule"]
    done = subprocess.run(
        [sys.executable, "-m", "upcall", "manifests", *options], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout
