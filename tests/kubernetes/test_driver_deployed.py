"""`upcall manifests --driver kubernetes`, applied as it stands: its Invoker runs actions in pods."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.outside import NAMESPACE, settings, wait
from tests.kubernetes.test_deploy import HELLO, Deployed
from upcall.cli.manifests import command
from upcall.containers.kubernetes.labels import NAMESPACE as TENANT

OURS = "user-action-pod=true"


@pytest.fixture(scope="module")
def deployed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    for name in ("invoker", "python"):
        cluster.image(name)
    folder = tmp_path_factory.mktemp("outside")
    manifest = folder / "invoker.yml"
    made = CliRunner().invoke(command, ["--driver", "kubernetes", "--output", str(manifest)])
    assert made.exit_code == 0, made.output
    outside = Deployed(cluster, folder, settings(cluster, manifest))
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            outside.start()
            cluster.kubectl("create", "namespace", NAMESPACE)
            services = outside.services(kafka="kafka.openwhisk:9092", couchdb="couchdb.openwhisk:5984")
            cluster.kubectl("apply", "-f", "-", input=services)
            cluster.kubectl("apply", "-f", str(manifest))
            outside.up(0)
            outside.put("hello", HELLO)
            yield outside
        finally:
            cluster.remove_namespace(NAMESPACE, wait=False)
            outside.close()


def actions(deployed: Deployed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(deployed.kubectl("get", "pods", "-l", OURS, "-o", "json"))["items"]
    return found


def test_an_activation_runs_in_a_pod_that_the_invoker_owns_and_has_its_logs(deployed: Deployed) -> None:
    record = deployed.greets("Ada")
    path = f"activations/{record['activationId']}"
    wait("it is kept", lambda: deployed.controller.call("GET", path).status == 200, deployed.told)
    (line,) = deployed.controller.call("GET", path).body["logs"]
    assert line.endswith("stdout: hello Ada")

    def tenants() -> list[dict[str, Any]]:
        return [each for each in actions(deployed) if each["metadata"]["labels"].get(TENANT) == "guest"]

    wait("it has its tenant's label", tenants, deployed.told)
    (pod,) = tenants()
    owner = deployed.pod(0)["metadata"]
    assert [(each["name"], each["uid"]) for each in pod["metadata"]["ownerReferences"]] == [
        (owner["name"], owner["uid"])
    ]
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "256Mi"}


def test_a_stop_leaves_no_pod_of_an_action(deployed: Deployed) -> None:
    deployed.greets("Bob")
    assert actions(deployed)
    shown = deployed.kubectl(
        "exec", "invoker-0", "--", "env", "UPCALL_DATA=/var/lib/upcall/invoker0", "upcall", "status"
    )
    assert "kubernetes driver, each in a pod of its own" in shown
    deployed.kubectl("scale", "statefulset", "invoker", "--replicas=0")
    wait("the Invoker has gone", lambda: not deployed.pod(0), deployed.told)
    wait("no pod is left", lambda: not actions(deployed), deployed.told)
