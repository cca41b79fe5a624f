"""The chart on the cluster: `helm install`, an activation, `upgrade`, `rollback`, `uninstall`. Kafka and CouchDB's
stand-in are on this host, as a cluster's own are somewhere else."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.kubernetes.charts import CHART, Helm
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.outside import AUTH, wait
from tests.system import kafka, pouchdb

ADMIN = ("whisk_admin", "it's $ecret")
RELEASE = "blue"
pytestmark = pytest.mark.timeout(300)  # Helm waits for pods, three times


class Installed:
    def __init__(self, cluster: Cluster, namespace: str, broker: kafka.Broker, couch: pouchdb.Server) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.helm = Helm(cluster.kubeconfig)
        self._values = {
            "kafka": {"external": True, "connect_string": broker.bootstrap},
            "db": {
                "external": True,
                "host": couch.address,
                "port": couch.port,
                "auth": dict(zip(("username", "password"), ADMIN, strict=True)),
            },
            "whisk": {"auth": {"guest": AUTH}, "containerPool": {"userMemory": "512m"}},
            "nginx": {"httpsNodePort": 31001},
            "settings": {"UPCALL_ACTION_NETWORK": "none"},
        }

    def __call__(self, verb: str, *words: str) -> str:
        given = ["-n", self.namespace, "--wait", "--timeout", "180s"]
        return self.helm(verb, RELEASE, *words, *given)

    def put(self, verb: str, folder: Path, *words: str) -> str:
        (folder / "values.json").write_text(json.dumps(self._values))
        return self(verb, str(CHART), "-f", str(folder / "values.json"), *words)

    def kubectl(self, *words: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The API, by its Service."""
        place = self.kubectl("get", "service", f"{RELEASE}-controller", "-o", "jsonpath={.spec.clusterIP}")
        headers = {"Authorization": "Basic " + b64encode(AUTH.encode()).decode(), "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body).encode()
        asked = Request(f"http://{place}:8080{path}", text, headers, method=method)
        with urlopen(asked, timeout=90) as answer:
            return json.load(answer)

    def up(self) -> int:
        """Invokers."""
        return list(self.call("GET", "/invokers").values()).count("up")


@pytest.fixture
def installed(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Installed]:
    cluster.invoker_image()
    for name in ("kafka", "couch"):
        (tmp_path / name).mkdir()
    broker = kafka.Broker(kafka.jars(), tmp_path / "kafka", cluster.host_address)
    couch = pouchdb.Server(pouchdb.programs(), tmp_path / "couch", cluster.host_address, ADMIN)
    try:
        broker.start()
        couch.start()
        yield Installed(cluster, namespace, broker, couch)
    finally:
        couch.kill()
        broker.kill()


def test_install_invoke_upgrade_roll_back_uninstall(installed: Installed, tmp_path: Path) -> None:
    said = installed.put("install", tmp_path)
    assert f"kubectl -n {installed.namespace} exec {RELEASE}-controller-0 -- upcall user create alice" in said
    assert "nginx: controllers answer themselves" in said
    assert "redis" not in said
    wait("an Invoker is up", lambda: installed.up() == 1)
    code = "def main(args):\n    return {'greeting': 'Hello ' + args['name']}\n"
    action = "/api/v1/namespaces/_/actions/hello"
    installed.call("PUT", action, {"exec": {"kind": "python:3", "code": code}})
    assert greeted(installed, action) == {"greeting": "Hello Ada"}

    operator = password(installed)
    installed.put("upgrade", tmp_path, "--set", "invoker.replicas=2")
    assert password(installed) == operator
    wait("two are up", lambda: installed.up() == 2)

    installed("rollback", "1")
    replicas = installed.kubectl("get", "statefulset", f"{RELEASE}-invoker", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "1"
    wait("one is up", lambda: installed.up() == 1)
    assert greeted(installed, action) == {"greeting": "Hello Ada"}

    installed("uninstall")
    kinds = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
    left = (kinds, "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name")
    wait("nothing is left", lambda: not installed.kubectl("get", *left), lambda: installed.kubectl("get", *left))


def greeted(installed: Installed, action: str) -> Any:
    return installed.call("POST", f"{action}?blocking=true&result=true", {"name": "Ada"})


def password(installed: Installed) -> str:
    return installed.kubectl("get", "secret", f"{RELEASE}-upcall", "-o", "jsonpath={.data.UPCALL_OPERATOR_PASSWORD}")
