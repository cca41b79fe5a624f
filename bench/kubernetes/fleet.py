"""deploy/upcall-fleet.yml: controller, Invoker, Kafka and PostgreSQL in pods, from `kubectl apply` to the first
activation that is answered and kept. No test of CI's: its images take minutes and half a GB."""

import re
import time

from bench.kubernetes import servers
from bench.row import Row
from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT
from tests.kubernetes.outside import wait
from tests.kubernetes.test_deploy_whole import HELLO, NAMESPACE, Whole

PART = "fleet"
MANIFEST = CHECKOUT / "deploy" / "upcall-fleet.yml"
IMAGES = re.compile(r"image: ((?:apache/kafka|postgres):\S+)")
KEY = re.compile(r"[0-9a-f-]{36}:\w{64}")


def rows(cluster: Cluster, quick: bool) -> list[Row]:
    cluster.invoker_image()
    database, broker = sorted(IMAGES.findall(MANIFEST.read_text()), reverse=True)
    cluster.load(f"docker.io/library/{database}", servers.postgres(), servers.ENTRYPOINT)
    cluster.load(f"docker.io/{broker}", servers.broker(), servers.ENTRYPOINT)
    taken = [_first(cluster) for _ in range(1 if quick else 3)]
    return [Row(PART, "apply to first activation: deploy/upcall-fleet.yml", "s", taken)]


def _first(cluster: Cluster) -> float:
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        try:
            began = time.monotonic()
            cluster.kubectl("apply", "-f", str(MANIFEST))
            fleet = Whole(cluster, "controller")
            fleet.rolled_out("controller", "invoker")
            found = KEY.search(fleet.kubectl("exec", "controller-0", "--", "upcall", "user", "create", "alice"))
            if found is None:
                raise RuntimeError("`upcall user create` shows no key")
            fleet.auth = found[0]
            fleet.call("PUT", "actions/hello?overwrite=true", {"exec": {"kind": "python:3", "code": HELLO}})
            record = fleet.call("POST", "actions/hello?blocking=true", {"name": "Ada"})
            wait(
                "it is kept",
                lambda: record["activationId"] in str(fleet.call("GET", "activations?limit=5")),
                fleet.told,
            )
            return time.monotonic() - began
        finally:
            cluster.remove_namespace(NAMESPACE)
