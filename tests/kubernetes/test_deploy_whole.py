"""`kubectl apply -f deploy/upcall.yml`: the whole platform in a pod."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.cluster.cluster import Cluster, Refused
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import wait

MANIFEST = CHECKOUT / "deploy" / "upcall.yml"
NAMESPACE, NAME = "upcall", "upcall"
PART = "app.kubernetes.io/name=upcall"
"""All that is ours."""
HELLO = "def main(args):\n    return {'greeting': 'Hello ' + args['name']}\n"
PROPERTIES = ("exec", "upcall-0", "--", "cat", "/var/lib/upcall/.wskprops")


class Whole:
    """What the file makes, called through its Service."""

    def __init__(self, cluster: Cluster, service: str) -> None:
        self.cluster = cluster
        self._service = service
        self.auth = ""

    def kubectl(self, *words: str) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *words)

    def told(self) -> str:
        """What there is to know when something is not as it should be."""
        return self.kubectl("get", "pods,events", "-o", "wide") + self.kubectl(
            "logs", "-l", PART, "--prefix", "--tail=40"
        )

    def rolled_out(self, *sets: str) -> None:
        try:
            for each in sets:
                self.kubectl("rollout", "status", "statefulset", each, "--timeout=90s")
        except Refused as late:
            raise AssertionError(f"{late}\n{self.told()}") from late

    def call(self, method: str, path: str, body: Any = None) -> Any:
        place = ("get", "service", self._service, "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
        headers = {
            "Authorization": f"Basic {b64encode(self.auth.encode()).decode()}",
            "Content-Type": "application/json",
        }
        url = f"http://{self.kubectl(*place)}/api/v1/namespaces/_/{path}"
        request = urllib.request.Request(
            url, None if body is None else json.dumps(body).encode(), headers, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def whole(cluster: Cluster) -> Iterator[Whole]:
    cluster.invoker_image()
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            cluster.kubectl("apply", "-f", str(MANIFEST))
            made = Whole(cluster, NAME)
            made.rolled_out(NAME)
            made.auth = dict(line.split("=", 1) for line in made.kubectl(*PROPERTIES).splitlines())["AUTH"]
            made.call("PUT", "actions/hello?overwrite=true", {"exec": {"kind": "python:3", "code": HELLO}})
            yield made
        finally:
            cluster.remove_namespace(NAMESPACE, wait=False)


def test_an_activation_is_answered_through_the_service(whole: Whole) -> None:
    record = whole.call("POST", "actions/hello?blocking=true", {"name": "Ada"})
    assert record["response"]["result"] == {"greeting": "Hello Ada"}


def test_what_it_keeps_outlasts_its_process(whole: Whole) -> None:
    whole.kubectl("exec", "upcall-0", "--", "python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    count = ("get", "pod", "upcall-0", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
    wait("it starts again", lambda: int(whole.kubectl(*count)) == 1, whole.told)
    whole.rolled_out(NAME)
    record = whole.call("POST", "actions/hello?blocking=true", {"name": "Bob"})
    assert record["response"]["result"] == {"greeting": "Hello Bob"}
