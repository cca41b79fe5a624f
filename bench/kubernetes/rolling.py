"""A rolling restart of two Invokers of deploy/invoker.yml under load: what is lost, and how much longer callers wait.
The load is of one caller that waits and one that does not, of actions that take 100 ms."""

import tempfile
import time
from pathlib import Path

from bench.row import Row
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.test_scaling import Load, ended_well, two_invokers

PART = "rolling"


def rows(cluster: Cluster, quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder, two_invokers(cluster, Path(folder)) as deployed:
        with Load(deployed) as calm:
            time.sleep(10 if quick else 40)
        with Load(deployed) as rolled:
            deployed.kubectl("rollout", "restart", "statefulset", "invoker")
            deployed.kubectl("rollout", "status", "statefulset", "invoker", "--timeout=300s")
            time.sleep(2)
        for load in (calm, rolled):
            ended_well(deployed, load)  # raises where anything was refused or has no record
    return [
        Row(PART, "requests lost: of " + str(len(rolled.accepted)), "", [float(len(rolled.refused))], target=0),
        Row(PART, "a call that is waited for: calm", "ms", calm.waits),
        Row(PART, "a call that is waited for: in a rolling restart", "ms", rolled.waits),
        Row(PART, "p99: calm", "ms", [_late(calm.waits)]),
        Row(PART, "p99: in a rolling restart", "ms", [_late(rolled.waits)]),
    ]


def _late(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100]
