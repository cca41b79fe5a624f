"""`kubectl apply -f deploy/invoker.yml`, as it stands, and what its own comments say to edit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import NAMESPACE, Outside, settings, wait

MANIFEST = CHECKOUT / "deploy" / "invoker.yml"
HELLO = "def main(args):\n    print('hello', args['name'])\n    return {'greeting': 'Hello ' + args['name']}\n"
ROLE = "openwhisk-role"


class Deployed(Outside):
    """In the namespace that the file makes."""

    def kubectl(self, *words: str, input: str | None = None) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *words, input=input)

    def pod(self, number: int) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return next((each for each in found if each["metadata"]["name"] == f"invoker-{number}"), {})

    def told(self) -> str:
        """What there is to know when something is not as it should be."""
        pods = self.kubectl("get", "pods,events", "-o", "wide")
        return pods + self.kubectl("logs", "-l", "name=invoker", "--prefix", "--tail=40")

    def up(self, *numbers: int) -> None:
        """Wait until exactly these Invokers are up."""

        def met() -> bool:
            states = self.controller.states()
            return {number for number, state in states.items() if state == "up"} == set(numbers)

        wait(f"{numbers} are up", met, lambda: (self.controller.states(), self.told()))

    def greets(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = self.invoke("hello", {"name": name})
        assert record["response"]["result"] == {"greeting": f"Hello {name}"}
        return record


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    cluster.invoker_image()
    outside = Deployed(cluster, tmp_path_factory.mktemp("outside"), settings(cluster, MANIFEST))
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            outside.start()
            cluster.kubectl("create", "namespace", NAMESPACE)
            services = outside.services(kafka="kafka.openwhisk:9092", couchdb="couchdb.openwhisk:5984")
            cluster.kubectl("apply", "-f", "-", input=services)
            cluster.kubectl("apply", "-f", str(MANIFEST))
            outside.up(0)
            outside.put("hello", HELLO)
            yield outside
        finally:
            cluster.remove_namespace(NAMESPACE, wait=False)
            outside.close()


def edited(folder: Path, changes: dict[str, str]) -> str:
    """The file with some of its lines written anew, each of which is there once or more."""
    text = MANIFEST.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    made = folder / "invoker.yml"
    made.write_text(text)
    return str(made)


def test_an_activation_runs_is_kept_and_has_its_logs(deployed: Deployed) -> None:
    record = deployed.greets("Ada")
    path = f"activations/{record['activationId']}"
    wait("it is kept", lambda: deployed.controller.call("GET", path).status == 200, deployed.told)
    kept = deployed.controller.call("GET", path).body
    assert kept["response"]["result"] == {"greeting": "Hello Ada"}
    (line,) = kept["logs"]
    assert line.endswith("stdout: hello Ada")


def test_scale_alone_is_enough_and_each_has_the_id_of_its_pod(deployed: Deployed) -> None:
    deployed.kubectl("scale", "statefulset", "invoker", "--replicas=2")
    deployed.up(0, 1)
    assert {"invoker0", "invoker1"} <= deployed.topics()
    deployed.kubectl("wait", "pod", "-l", "name=invoker", "--for=condition=Ready", "--timeout=60s")
    for number in (0, 1):
        said = deployed.kubectl("logs", f"invoker-{number}")
        assert f"invoker{number} is ready" in said or f"invoker{number}/" in said, said
    deployed.greets("Bob")


def test_a_pod_that_is_killed_comes_back_with_its_id(deployed: Deployed) -> None:
    before = deployed.pod(0)["metadata"]["uid"]
    deployed.kubectl("delete", "pod", "invoker-0", "--grace-period=0", "--force")
    wait("another is there", lambda: deployed.pod(0).get("metadata", {}).get("uid", before) != before, deployed.told)
    deployed.up(*range(replicas(deployed)))
    deployed.kubectl("wait", "pod", "invoker-0", "--for=condition=Ready", "--timeout=60s")
    deployed.greets("Eve")


def test_the_count_and_the_node_selector_are_edited_in_the_file(deployed: Deployed, tmp_path: Path) -> None:
    """Two of them, on nodes with a label: none has it at first."""
    node = deployed.cluster.node
    counts = {"replicas: 1\n": "replicas: 2\n", 'value: "1"': 'value: "2"'}
    deployed.kubectl(
        "apply", "-f", edited(tmp_path, {**counts, "nodeSelector: {}": f"nodeSelector: {{{ROLE}: invoker}}"})
    )
    wait("one is for nodes with the label", lambda: pending(deployed), deployed.told)
    try:
        deployed.cluster.kubectl("label", "node", node, f"{ROLE}=invoker")
        deployed.kubectl("rollout", "status", "statefulset", "invoker", "--timeout=90s")
    finally:
        deployed.cluster.kubectl("label", "node", node, f"{ROLE}-")
    deployed.up(0, 1)
    for number in (0, 1):
        spec = deployed.pod(number)["spec"]
        assert (spec["nodeSelector"], spec["nodeName"]) == ({ROLE: "invoker"}, node)
        counted = {each["name"]: each["value"] for each in spec["containers"][0]["env"] if "value" in each}
        assert counted["INVOKER_COUNT"] == counted["INVOKER_INSTANCES"] == "2"
    deployed.greets("Mallory")


def replicas(deployed: Deployed) -> int:
    return int(deployed.kubectl("get", "statefulset", "invoker", "-o", "jsonpath={.spec.replicas}"))


def pending(deployed: Deployed) -> bool:
    conditions = [each for number in (0, 1) for each in deployed.pod(number).get("status", {}).get("conditions", [])]
    return any(
        each.get("reason") == "Unschedulable" and "node affinity/selector" in each["message"] for each in conditions
    )
