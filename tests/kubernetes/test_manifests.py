"""A real API server takes what `upcall manifests` writes, as it stands, and lets the pods in where it says so."""

from typing import Any

import pytest
import yaml

from tests.kubernetes.cluster.cluster import Cluster, Refused
from tests.kubernetes.cluster.place import CHECKOUT
from tests.unit.manifests.golden import objects, pod, rows, workloads
from upcall.manifests.document import Object, plain, stream
from upcall.manifests.fleet import fleet
from upcall.manifests.old import old
from upcall.manifests.profiles import PROFILES
from upcall.manifests.single import single
from upcall.manifests.wanted import Wanted

INSTALLED_BESIDES = ("ServiceMonitor", "ScaledObject")
"""Kinds that Prometheus' operator and KEDA bring."""


def applied(cluster: Cluster, found: list[Object]) -> list[str]:
    """What the server would do, a line each; in one go."""
    words = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    return cluster.kubectl(*words, input=stream(found)).splitlines()


def in_namespace(namespace: str) -> list[Object]:
    """Of all profiles, drivers and wishes, and of whole platforms; each that is like another one once."""
    found: list[Object] = []
    for row, wanted in rows():
        found += objects(row, Wanted(**{**fields(wanted), "namespace": namespace}))
    for driver in ("process", "docker", "kubernetes"):
        wanted = Wanted(namespace=namespace, driver=driver, volume="default")
        found += [*single(wanted, PROFILES["ubuntu-docker"]), *fleet(wanted, PROFILES["ubuntu-docker"])]
    for name in ("ubuntu-docker", "flatcar", "dind"):
        found += old(Wanted(namespace=namespace, driver="docker"), PROFILES[name])
    found = [each for each in plain(found) if each["kind"] not in INSTALLED_BESIDES]
    return [each for i, each in enumerate(found) if each not in found[:i]]


def fields(wanted: Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in wanted.__struct_fields__}


def test_the_server_takes_every_object(cluster: Cluster, namespace: str) -> None:
    found = in_namespace(namespace)
    told = applied(cluster, found)
    assert len(told) == len(found)
    assert not [line for line in told if not line.endswith("(server dry run)")]


@pytest.mark.parametrize("name", ["invoker.yml", "upcall.yml", "upcall-fleet.yml"])
def test_the_server_takes_what_is_checked_in(cluster: Cluster, namespace: str, name: str) -> None:
    """In another namespace, as its own need not be there for a trial."""
    text = (CHECKOUT / "deploy" / name).read_text()
    found = list(yaml.safe_load_all(text))
    own = found[0]["metadata"]["name"]
    for each in found[1:]:
        assert each["metadata"]["namespace"] == own
        each["metadata"]["namespace"] = namespace
        for subject in each.get("subjects", []):
            subject["namespace"] = namespace
    assert len(applied(cluster, found[1:])) == len(found) - 1


def test_pods_are_let_in_at_the_level_that_their_namespace_is_labelled_with(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for name, wanted in (
        ("pods", Wanted(driver="kubernetes")),
        ("open", Wanted(driver="process", isolation="none")),
        ("full", Wanted(driver="process")),
        ("engine", Wanted(driver="docker")),
    ):
        made = objects(PROFILES["any"], wanted)
        level = made[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        (workload,) = workloads(made)
        trial = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
        spec = {**pod(workload), "serviceAccountName": "default"}
        if level != "privileged":
            assert applied(cluster, [{**trial, "spec": spec}]) == [f"pod/{name} created (server dry run)"]
        else:
            with pytest.raises(Refused, match='violates PodSecurity "restricted'):
                applied(cluster, [{**trial, "spec": spec}])
