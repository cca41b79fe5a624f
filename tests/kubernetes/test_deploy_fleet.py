"""`kubectl apply -f deploy/upcall-fleet.yml`: controller, Invoker, Kafka and PostgreSQL in pods, by its head."""

import re
from collections.abc import Iterator

import pytest

from tests.kubernetes import servers
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import wait
from tests.kubernetes.test_deploy_whole import HELLO, NAMESPACE, Whole

MANIFEST = CHECKOUT / "deploy" / "upcall-fleet.yml"
IMAGES = re.compile(r"image: ((?:apache/kafka|postgres):\S+)")
KEY = re.compile(r"[0-9a-f-]{36}:\w{64}")


@pytest.fixture(scope="module")
def fleet(cluster: Cluster) -> Iterator[Whole]:
    cluster.invoker_image()
    database, broker = sorted(IMAGES.findall(MANIFEST.read_text()), reverse=True)
    cluster.load(f"docker.io/library/{database}", servers.postgres(), servers.ENTRYPOINT)
    cluster.load(f"docker.io/{broker}", servers.broker(), servers.ENTRYPOINT)
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            cluster.kubectl("apply", "-f", str(MANIFEST))
            made = Whole(cluster, "controller")
            made.rolled_out("controller", "invoker")
            found = KEY.search(made.kubectl("exec", "controller-0", "--", "upcall", "user", "create", "me"))
            assert found is not None
            made.auth = found[0]
            yield made
        finally:
            cluster.remove_namespace(NAMESPACE, wait=False)


def test_an_activation_goes_from_the_controller_by_kafka_to_the_invoker_and_into_the_store(fleet: Whole) -> None:
    fleet.call("PUT", "actions/hello?overwrite=true", {"exec": {"kind": "python:3", "code": HELLO}})
    record = fleet.call("POST", "actions/hello?blocking=true", {"name": "Ada"})
    assert record["response"]["result"] == {"greeting": "Hello Ada"}
    wait("it is kept", lambda: record["activationId"] in str(fleet.call("GET", "activations?limit=5")), fleet.told)
    said = fleet.kubectl("logs", "invoker-0")
    assert "invoker0" in said
