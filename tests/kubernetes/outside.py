"""What deploy/invoker.yml does not bring, on this host: Kafka, the CouchDB stand-in, and a controller. Pods reach them
by the names that the file has."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from confluent_kafka.admin import AdminClient

from tests.kubernetes.cluster.cluster import Cluster
from tests.system import kafka, pouchdb
from tests.system.fleet.member import Member

AUTH = f"{uuid4()}:{'k' * 64}"
"""Of the guest."""
NAMESPACE = "openwhisk"


class Outside:
    """Brokers and database as `settings`, the file's, name them; `controller` is not started."""

    def __init__(self, cluster: Cluster, folder: Path, settings: dict[str, str]) -> None:
        for name in ("kafka", "couch"):
            (folder / name).mkdir()
        self.cluster = cluster
        self.broker = kafka.Broker(kafka.jars(), folder / "kafka", cluster.host_address)
        admin = (settings["CONFIG_whisk_couchdb_username"], settings["CONFIG_whisk_couchdb_password"])
        self.couch = pouchdb.Server(pouchdb.programs(), folder / "couch", cluster.host_address, admin)
        databases = {name: value for name, value in settings.items() if name.startswith("CONFIG_whisk_couchdb_")}
        environment = {
            **databases,
            "CONFIG_whisk_couchdb_host": self.couch.address,
            "CONFIG_whisk_couchdb_port": str(self.couch.port),
            "KAFKA_HOSTS": self.broker.bootstrap,
            "UPCALL_AUTH": AUTH,
            "UPCALL_ACTION_NETWORK": "none",
            "LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000",
            "LIMITS_ACTIONS_INVOKES_CONCURRENT": "1000",
        }
        self.controller = Member("controller", 0, folder, environment, AUTH)

    def start(self) -> None:
        self.broker.start()
        self.couch.start()
        self.controller.start()

    def close(self) -> None:
        for each in (self.controller, self.couch, self.broker):
            each.kill()

    def services(self, **where: str) -> str:
        """Manifests of Services that lead here, by name: `kafka="kafka.openwhisk:9092"`."""
        ports = {"kafka": self.broker.port, "couchdb": self.couch.port}
        made = [each for name, place in where.items() for each in self._service(place, ports[name])]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": made})

    def _service(self, place: str, port: int) -> list[dict[str, Any]]:
        name, _, namespace = str(urlsplit(f"//{place}").hostname).partition(".")
        about = {"name": name, "namespace": namespace}
        ours = [{"port": urlsplit(f"//{place}").port, "targetPort": port}]
        labels = {"kubernetes.io/service-name": name}
        endpoints = {"metadata": {**about, "labels": labels}, "addressType": "IPv4", "ports": [{"port": port}]}
        endpoints["endpoints"] = [{"addresses": [self.cluster.host_address]}]
        return [
            {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": {"ports": ours}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **endpoints},
        ]

    def topics(self) -> set[str]:
        found = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0}).list_topics(timeout=20)
        return set(found.topics)

    def put(self, name: str, code: str) -> None:
        action = {"exec": {"kind": "python:3", "code": code}}
        assert self.controller.call("PUT", f"actions/{name}?overwrite=true", action).status == 200

    def invoke(self, name: str, arguments: Any = None) -> Any:
        """The record of a blocking activation."""
        answer = self.controller.call("POST", f"actions/{name}?blocking=true", arguments or {})
        assert answer.status == 200, answer
        return answer.body


def settings(cluster: Cluster, manifest: Path) -> dict[str, str]:
    """Of its ConfigMap and its Secret."""
    text = cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", str(manifest)).strip()
    found: dict[str, str] = {}
    while text:
        each, end = json.JSONDecoder().raw_decode(text)
        found |= each.get("data", {}) | each.get("stringData", {})
        text = text[end:].lstrip()
    return found


def wait(what: str, met: Callable[[], Any], told: Callable[[], Any] = str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s: {told()}"
        time.sleep(0.1)
