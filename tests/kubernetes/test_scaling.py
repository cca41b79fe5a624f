"""Scaling down and rolling updates lose nothing (D8): what was accepted has one record each, while load comes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster.cluster import Cluster, Refused
from tests.kubernetes.outside import NAMESPACE, Outside, settings, wait
from tests.kubernetes.test_deploy import MANIFEST, Deployed

ACTIONS = 4
CODE = "import time\ndef main(args):\n    time.sleep(0.1)\n    return {'number': args['number']}\n"


@pytest.fixture(scope="module")
def scaled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with two_invokers(cluster, tmp_path_factory.mktemp("outside")) as deployed:
        yield deployed


@contextmanager
def two_invokers(cluster: Cluster, folder: Path) -> Iterator[Deployed]:
    """As deploy/invoker.yml has them, with some actions."""
    cluster.invoker_image()
    outside = Deployed(cluster, folder, settings(cluster, MANIFEST))
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            outside.start()
            cluster.kubectl("create", "namespace", NAMESPACE)
            services = outside.services(kafka="kafka.openwhisk:9092", couchdb="couchdb.openwhisk:5984")
            cluster.kubectl("apply", "-f", "-", input=services)
            cluster.kubectl("apply", "-f", str(MANIFEST))
            outside.kubectl("scale", "statefulset", "invoker", "--replicas=2")
            outside.up(0, 1)
            for number in range(ACTIONS):
                outside.put(f"busy{number}", CODE)
            yield outside
        finally:
            cluster.remove_namespace(NAMESPACE, wait=False)
            outside.close()


class Load:
    """One caller that does not wait and one that does, of some actions by turns, so that all Invokers have some."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._over = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[Any] = []
        self.waits: list[float] = []
        """ms, of the one that waits."""
        self._threads = [threading.Thread(target=self._call, args=(way,)) for way in ("", "?blocking=true")]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def burst(self) -> None:
        """More than can run at once, so that topics have some."""
        for number in range(ACTIONS):
            self._one("", number)

    def _call(self, way: str) -> None:
        number = 0
        while not self._over.wait(0.1):
            number += 1
            self._one(way, number)

    def _one(self, way: str, number: int) -> None:
        began = time.perf_counter()
        answer = self._outside.controller.call("POST", f"actions/busy{number % ACTIONS}{way}", {"number": number})
        if way:
            self.waits.append((time.perf_counter() - began) * 1e3)
        if answer.status in (200, 202):
            self.accepted.append(answer.body["activationId"])
        else:
            self.refused.append((way, answer))


def outcomes(deployed: Deployed, ids: list[str]) -> dict[str, Any]:
    """Statuses by activation, of those that have a record."""
    found = {each: deployed.controller.call("GET", f"activations/{each}") for each in ids}
    return {each: answer.body["response"]["status"] for each, answer in found.items() if answer.status == 200}


def ended_well(deployed: Deployed, load: Load) -> None:
    assert load.refused == []
    assert len(set(load.accepted)) == len(load.accepted) > 20
    left = set(load.accepted)

    def all_recorded() -> bool:
        for each, status in outcomes(deployed, list(left)).items():
            assert status == "success", (each, deployed.told())
            left.discard(each)
        return not left

    wait("all that was accepted has a record", all_recorded, lambda: (len(left), deployed.told()))


def test_an_invoker_that_goes_leaves_nothing_in_its_topic(scaled: Deployed) -> None:
    with Load(scaled) as load:
        for _ in range(15):
            load.burst()
        scaled.kubectl("scale", "statefulset", "invoker", "--replicas=1")
        scaled.kubectl("wait", "pod", "invoker-1", "--for=delete", "--timeout=60s")
        time.sleep(1)
    ended_well(scaled, load)
    assert scaled.controller.states()[1] == "down"
    told = json.loads(scaled.kubectl("get", "statefulset", "invoker", "-o", "json"))
    assert told["status"]["replicas"] == 1


def test_a_number_that_comes_back_goes_on(scaled: Deployed) -> None:
    scaled.kubectl("scale", "statefulset", "invoker", "--replicas=2")
    scaled.up(0, 1)
    with Load(scaled) as load:
        time.sleep(3)
    ended_well(scaled, load)


def test_the_replicas_count_and_variables_that_say_otherwise_are_named_once(scaled: Deployed) -> None:
    """The manifest says one, and `kubectl scale` has said two."""
    said = "the StatefulSet invoker has 2 replicas, and that is what counts"
    wait("the number is compared", lambda: said in scaled.kubectl("logs", "invoker-1"), seconds=20)
    told = scaled.kubectl("logs", "invoker-1")
    assert told.count("INVOKER_COUNT") == 1
    assert "is one of the two wrong" not in told


def test_a_rolling_update_loses_nothing(scaled: Deployed) -> None:
    with Load(scaled) as load:
        time.sleep(1)
        scaled.kubectl("rollout", "restart", "statefulset", "invoker")
        scaled.kubectl("rollout", "status", "statefulset", "invoker", "--timeout=90s")
        scaled.up(0, 1)
    ended_well(scaled, load)


def evicted(deployed: Deployed, number: int) -> str:
    """As `kubectl drain` does it; what Kubernetes has against it, empty where nothing."""
    name = f"invoker-{number}"
    wish = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    try:
        deployed.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(wish))
    except Refused as refusal:
        return str(refusal)
    return ""


def test_nodes_that_are_drained_take_one_invoker_at_a_time_and_lose_nothing(scaled: Deployed) -> None:
    with Load(scaled) as load:
        time.sleep(1)
        for number in (0, 1):
            wait("it may be evicted", lambda n=number: not evicted(scaled, n), scaled.told)  # type: ignore[misc]
            assert "disruption budget" in evicted(scaled, 1 - number)
            scaled.kubectl("wait", "pod", f"invoker-{number}", "--for=delete", "--timeout=60s")
            scaled.up(0, 1)
    ended_well(scaled, load)
