"""From `kubectl apply` to the first activation answered, image loaded and brokers and database running: of the whole
platform in a pod, and of an Invoker beside a controller that waits for it. And without Kubernetes, on this host."""

import tempfile
import time
from pathlib import Path

from bench.row import Row
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.outside import NAMESPACE, Outside, settings
from tests.kubernetes.test_deploy import HELLO
from tests.kubernetes.test_deploy import MANIFEST as INVOKER
from tests.kubernetes.test_deploy_whole import MANIFEST as WHOLE
from tests.kubernetes.test_deploy_whole import NAME, PROPERTIES, Whole
from tests.kubernetes.test_deploy_whole import NAMESPACE as UPCALL
from tests.system.serving import running

PART = "deploy"
HELLOED = {"exec": {"kind": "python:3", "code": HELLO}}


def rows(cluster: Cluster, quick: bool) -> list[Row]:
    cluster.invoker_image()
    rounds = 1 if quick else 5
    whole = [_whole(cluster) for _ in range(rounds)]
    with tempfile.TemporaryDirectory(prefix="upb") as folder:
        invoker = _invokers(cluster, Path(folder), rounds)
        host = [_host(Path(folder) / f"host{number}" / "data") for number in range(rounds)]
    return [
        Row(PART, "apply to first activation: deploy/upcall.yml", "s", whole),
        Row(PART, "apply to first activation: deploy/invoker.yml", "s", invoker),
        Row(PART, "start to first activation: upcall serve on the host", "s", host),
    ]


def _whole(cluster: Cluster) -> float:
    whole = Whole(cluster, NAME)
    with cluster.alone(UPCALL):
        try:
            cluster.remove_namespace(UPCALL)
            began = time.monotonic()
            cluster.kubectl("apply", "-f", str(WHOLE))
            whole.rolled_out(NAME)
            whole.auth = dict(line.split("=", 1) for line in whole.kubectl(*PROPERTIES).splitlines())["AUTH"]
            whole.call("PUT", "actions/hello?overwrite=true", HELLOED)
            whole.call("POST", "actions/hello?blocking=true", {"name": "Ada"})
            return time.monotonic() - began
        finally:
            cluster.remove_namespace(UPCALL)


def _invokers(cluster: Cluster, folder: Path, rounds: int) -> list[float]:
    """A controller refuses calls until it has heard of the Invoker."""
    outside = Outside(cluster, folder, settings(cluster, INVOKER))
    with cluster.alone(NAMESPACE):
        try:
            cluster.remove_namespace(NAMESPACE)
            outside.start()
            outside.put("hello", HELLO)
            return [_invoker(cluster, outside) for _ in range(rounds)]
        finally:
            cluster.remove_namespace(NAMESPACE)
            outside.close()


def _invoker(cluster: Cluster, outside: Outside) -> float:
    cluster.remove_namespace(NAMESPACE)
    cluster.kubectl("create", "namespace", NAMESPACE)
    services = outside.services(kafka="kafka.openwhisk:9092", couchdb="couchdb.openwhisk:5984")
    cluster.kubectl("apply", "-f", "-", input=services)
    while outside.controller.states().get(0) == "up":
        time.sleep(0.1)
    began = time.monotonic()
    cluster.kubectl("apply", "-f", str(INVOKER))
    while outside.controller.call("POST", "actions/hello?blocking=true", {"name": "Ada"}).status != 200:
        if time.monotonic() - began > 120:
            raise TimeoutError("no Invoker after two minutes")
        time.sleep(0.02)
    return time.monotonic() - began


def _host(data: Path) -> float:
    began = time.monotonic()
    with running(data) as platform:
        platform.create("hello", HELLO)
        platform.invoke("hello", {"name": "Ada"})
        return time.monotonic() - began
