"""`kubectl apply -f deploy/invoker.yml`, as it stands, and what its own comments say to edit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster.cluster import CHECKOUT, Cluster
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
            cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
            cluster.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--grace-period=1")
            cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
            outside.close()


def edited(folder: Path, **changes: str) -> Path:
    """The file with some of its lines written anew, each of which is there."""
    text = MANIFEST.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    made = folder / "invoker.yml"
    made.write_text(text)
    return made


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
    for number in (0, 1):
        wait(f"{number} is ready", lambda number=number: ready(deployed.pod(number)), deployed.told)  # type: ignore[misc]
        said = deployed.kubectl("logs", f"invoker-{number}")
        assert f"invoker{number}" in said
    deployed.greets("Bob")


def ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)
