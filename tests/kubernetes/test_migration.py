"""docs/migration.md: our Invoker in the pods of OpenWhisk's StatefulSet, with its chart's environment, and back."""

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import programs
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import Outside, wait
from tests.system.deployments import HELM_STATEFUL_SET
from tests.system.zookeeper import Keeper
from tests.system.zookeeper import required as zookeeper_required

PAGE = (CHECKOUT / "docs" / "migration.md").read_text()
NAME = "owdev-invoker"
pytestmark = pytest.mark.timeout(300)  # pods are replaced twice
NUMBER = 1
"""That ZooKeeper has for the pod, which is not its ordinal."""
COMMAND = """if [[ -v UPCALL_DRIVER ]]; then :; else exec sleep infinity; fi  # theirs cannot run here
/init.sh --uniqueName $INVOKER_NAME"""
MAPPING = f"/invokers/idAssignment/mapping/{NAME}-0"


def blocks(language: str) -> list[str]:
    """Of the section on Helm's chart."""
    section = PAGE.split("## Instead of one: Helm's chart")[1].split("\n## ")[0]
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for text in found]


class Theirs(Outside):
    """OpenWhisk's StatefulSet, as its chart makes it; what runs in it until the migration does nothing."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        super().__init__(cluster, folder, HELM_STATEFUL_SET)
        (folder / "keeper").mkdir()
        self.namespace = namespace
        self.keeper = Keeper(folder / "keeper", cluster.host_address)
        self.folder = folder

    def start(self) -> None:
        super().start()
        self.keeper.start()
        with self.keeper.client() as client:
            client.create("/invokers/idAssignment/counter", b"", makepath=True)
            client.create("/invokers/idAssignment/mapping/other-invoker-0", (0).to_bytes(4, "big"), makepath=True)
            client.create(MAPPING, NUMBER.to_bytes(4, "big"))
        self.kubectl("apply", "-f", "-", input=json.dumps(self.stateful_set()))
        self.kubectl("rollout", "status", "statefulset", NAME)

    def close(self) -> None:
        super().close()
        self.keeper.kill()

    def kubectl(self, *words: str, input: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words, input=input)

    def environment(self) -> dict[str, str]:
        changed = {
            "KAFKA_HOSTS": self.broker.bootstrap,
            "ZOOKEEPER_HOSTS": self.keeper.hosts,
            "CONFIG_whisk_couchdb_host": self.couch.address,
            "CONFIG_whisk_couchdb_port": str(self.couch.port),
        }
        kubernetes = ("INVOKER_NAME", "KUBERNETES_SERVICE_HOST")
        return {name: value for name, value in (HELM_STATEFUL_SET | changed).items() if name not in kubernetes}

    def stateful_set(self) -> dict[str, Any]:
        pod_name = {"name": "INVOKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        given = [{"name": name, "value": value} for name, value in self.environment().items()]
        container = {
            "name": "invoker",
            "image": self.cluster.invoker_image(),
            "command": ["/bin/bash", "-c", COMMAND],
            "env": [pod_name, *given],
            "ports": [{"name": "invoker", "containerPort": 8080}],
        }
        labels = {"name": NAME}
        return {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": NAME, "labels": labels},
            "spec": {
                "replicas": 1,
                "serviceName": NAME,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
                },
            },
        }

    def told(self) -> str:
        logs = self.kubectl("logs", "-l", f"name={NAME}", "--tail=40")
        return self.kubectl("get", "pods,events", "-o", "wide") + logs

    def run(self, script: str) -> str:
        """As the page has it, for this namespace."""
        found = {**environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        found["PATH"] = f"{CHECKOUT / '.venv' / 'bin'}:{programs.bin()}:{found['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("-n openwhisk", f"-n {self.namespace}")],
            cwd=self.folder,
            env=found,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.told()
        return done.stdout


@pytest.fixture
def theirs(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Theirs]:
    zookeeper_required()
    made = Theirs(cluster, namespace, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_our_invoker_serves_in_their_pods_and_leaves_them_as_they_were(theirs: Theirs) -> None:
    look, change, back = blocks("sh")
    (patch,) = blocks("yaml")
    (theirs.folder / "invoker.patch.yml").write_text(patch)

    settings = theirs.run(look)
    assert theirs.broker.bootstrap in settings
    theirs.run(change)
    wait("it is up", lambda: theirs.controller.states().get(NUMBER) == "up", theirs.told)
    theirs.put("hello", "def main(args):\n    return {'greeting': 'Hello ' + args['name']}\n")
    assert theirs.invoke("hello", {"name": "Ada"})["response"]["result"] == {"greeting": "Hello Ada"}

    theirs.run(back)
    theirs.kubectl("rollout", "status", "statefulset", NAME)
    (container,) = json.loads(theirs.kubectl("get", "pod", f"{NAME}-0", "-o", "json"))["spec"]["containers"]
    assert "UPCALL_DRIVER" not in {each["name"] for each in container["env"]}
    with theirs.keeper.client() as client:
        assert client.get(MAPPING)[0] == NUMBER.to_bytes(4, "big")
        assert sorted(client.get_children("/invokers/idAssignment/mapping")) == ["other-invoker-0", f"{NAME}-0"]
    assert theirs.controller.states()[NUMBER] != "up"
