"""Cold starts by the kubernetes driver, from REST to the answer, with `upcall serve` outside of the cluster: from a pod
of the warm pool, and from one that is made for it; beside a bare pod of the same image, made by the same client until
it has answered /init and /run. By turns; the warm pool fills itself again before each."""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from uuid import uuid4

import msgspec

from bench.row import Row
from tests.kubernetes.cluster.cluster import Cluster
from tests.system.serving import Platform, running
from upcall.containers.kubernetes.labels import NAMESPACE as TENANT
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import PodOptions
from upcall.containers.kubernetes.spec import PORT, pod
from upcall.containers.kubernetes.state import state
from upcall.kubernetes.client import Api
from upcall.ports import ContainerSpec

PART = "cold"
CODE = "def main(args):\n    print('x')\n    return args\n"
WARM = 150.0
"""ms, of an action that takes a pod of the warm pool."""


def rows(cluster: Cluster, quick: bool) -> list[Row]:
    image, place, turns = cluster.image("python"), f"bench-{uuid4().hex[:8]}", 5 if quick else 25
    cluster.kubectl("create", "namespace", place)
    warm, made, bare = [list[float]() for _ in range(3)]
    try:
        with cluster.inside(), ExitStack() as stack:
            prewarmed = stack.enter_context(_serving(cluster, place, 0, "python:3=1"))
            without = stack.enter_context(_serving(cluster, place, 1, "none"))
            for turn in range(turns):
                _fill(cluster, place)
                warm.append(_first_call(prewarmed, turn))
                _fill(cluster, place)
                one, other = asyncio.run(_pair(cluster, place, image, without, turn))
                made.append(one)
                bare.append(other)
    finally:
        cluster.remove_namespace(place)
    ratio = [one / other for one, other in zip(made, bare, strict=True)]
    return [
        Row(PART, "cold action: pod of the warm pool", "ms", warm, target=WARM),
        Row(PART, "cold action: pod made for it", "ms", made),
        Row(PART, "cold action: bare pod", "ms", bare, note="the floor"),
        Row(PART, "cold action: made against bare", "x", ratio, target=1.15),
    ]


@contextmanager
def _serving(cluster: Cluster, place: str, number: int, prewarm: str) -> Iterator[Platform]:
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "UPCALL_KUBERNETES_NAMESPACE": place,
        "UPCALL_KUBERNETES_NODE_AFFINITY": "off",
        "UPCALL_PREWARM": prewarm,
        "UPCALL_KUBERNETES_RELEASE": f"bench{number}",
    }
    with (
        tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder,
        running(Path(folder) / "data", "--driver", "kubernetes", "--memory", "8192", environment=environment) as made,
    ):
        yield made


def _fill(cluster: Cluster, place: str) -> None:
    """Wait until a generic pod listens; one that was taken has its tenant's label by then."""
    while True:
        time.sleep(0.5)
        shown = json.loads(cluster.kubectl("-n", place, "get", "pods", "-o", "json"))["items"]
        generic = [each for each in shown if "prewarm" in each["metadata"]["name"]]
        if any(_ready(each) and TENANT not in each["metadata"]["labels"] for each in generic):
            return


def _ready(shown: dict[str, dict[str, object]]) -> bool:
    conditions = shown["status"].get("conditions", [])
    assert isinstance(conditions, list)
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _first_call(platform: Platform, turn: int) -> float:
    body = {"exec": {"kind": "python:default", "code": CODE}, "limits": {"memory": 256}}
    answer = platform.call("PUT", f"actions/a{turn}", body)
    assert answer.status == 200, answer.body
    began = time.perf_counter()
    answer = platform.invoke(f"a{turn}", {}, "blocking=true&result=true")
    took = (time.perf_counter() - began) * 1e3
    assert answer.status == 200, answer.body
    platform.call("DELETE", f"actions/a{turn}")
    return took


async def _pair(cluster: Cluster, place: str, image: str, platform: Platform, turn: int) -> tuple[float, float]:
    """Both at one moment: a kubelet looks at its containers once in a second; what begins just before waits less."""
    await asyncio.sleep(random.random())
    made, bare = await asyncio.gather(
        asyncio.to_thread(_first_call, platform, turn), _bare(cluster, place, image, turn)
    )
    return made, bare


async def _bare(cluster: Cluster, place: str, image: str, turn: int) -> float:
    """ms until a pod has run an action, asked of Kubernetes and of the pod directly."""
    maker = Maker(invoker=9, release="bare", instance="bare", boot="bare")
    spec = ContainerSpec(kind="python:3", image=image, memory=256, name=f"bare_{turn}", tenant="guest")
    api = Api(namespace=place, kubeconfig=cluster.kubeconfig)
    try:
        _, version = await api.list(maker.kin())
        began = time.perf_counter()
        await api.create(pod(spec, PodOptions(namespace=place, place=None), maker, action="bare"))
        host = ""
        async for _, each in api.watch(maker.kin(), version):
            host = state(each).host
            if host:
                break
        await _run(host)
        took = (time.perf_counter() - began) * 1e3
        await api.delete(f"bare-{turn}")
    finally:
        await api.close()
    return took


async def _run(host: str) -> None:
    while True:
        try:
            (await asyncio.open_connection(host, PORT))[1].close()
            break
        except OSError:
            await asyncio.sleep(0.005)
    connection = HTTPConnection(host, PORT)
    init = {"value": {"name": "a", "main": "main", "code": CODE, "binary": False}}
    for path, body in (("/init", init), ("/run", {"value": {}})):
        connection.request("POST", path, msgspec.json.encode(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    connection.close()
