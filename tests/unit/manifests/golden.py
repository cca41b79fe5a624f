"""What is checked in, and manifests of all that can be wished for."""

import itertools
from typing import Any

from upcall.manifests.document import Object, plain
from upcall.manifests.invoker import invoker
from upcall.manifests.profiles import PROFILES, Profile
from upcall.manifests.wanted import DRIVERS, Wanted

WISHES: tuple[dict[str, Any], ...] = (
    {},
    {"replicas": 3, "release": "owdev", "namespace": "whisk", "node_selector": {"openwhisk-role": "invoker"}},
    {"store": "postgresql://u:hushhush@db/n", "volume": "fast", "cpu": "2", "tls_secret": "certificate"},
    {"daemon": True, "zookeeper": "zk:2181", "tolerations": ("dedicated=invoker:NoSchedule", "gpu", "x:NoExecute")},
    {"scaler": "hpa", "monitor": True, "secret": "mine", "spread": "required", "pull_secret": "registry"},
    {"scaler": "keda", "registry": "registry.example/team", "runtimes": '{"runtimes": {}}', "spread": "none"},
)


def rows() -> list[tuple[Profile, Wanted]]:
    """Each profile with each driver that works there and each set of wishes."""
    return [
        (row, Wanted(profile=row.name, driver=driver, **wishes))
        for row, driver, wishes in itertools.product(PROFILES.values(), DRIVERS, WISHES)
        if driver not in row.refused and (driver != "process" or row.capabilities)
    ]


def objects(row: Profile, wanted: Wanted) -> list[Object]:
    made: list[Object] = plain(invoker(wanted, row))
    return made


def by_kind(found: list[Object], kind: str) -> list[Object]:
    return [each for each in found if each["kind"] == kind]


def workloads(found: list[Object]) -> list[Object]:
    return [each for each in found if each["kind"] in ("StatefulSet", "DaemonSet")]


def pod(workload: Object) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec
