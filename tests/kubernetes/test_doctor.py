"""Failures that are made on the real cluster are named there, and nothing else is blamed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.outside import wait
from tests.kubernetes.test_deploy import MANIFEST

UPCALL = Path(sys.executable).with_name("upcall")
NAMESPACE = "doctor"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[Cluster]:
    with cluster.alone(NAMESPACE):
        cluster.remove_namespace(NAMESPACE)
        cluster.kubectl("create", "namespace", NAMESPACE)
        try:
            yield cluster
        finally:
            cluster.remove_namespace(NAMESPACE, wait=False)


@pytest.fixture
def ask(namespace: Cluster) -> Iterator[Ask]:
    """Runs the command as people do."""

    def doctor(*flags: str) -> dict[str, Any]:
        environment = {**os.environ, "KUBECONFIG": str(namespace.kubeconfig)}
        command = [str(UPCALL), "doctor", "-n", NAMESPACE, "--json", *flags]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        found: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout)[0] if done.stdout else {}
        assert found, done.stderr
        assert done.returncode == {"error": 2, "warning": 1}.get(_worst(found), 0)
        return found

    yield doctor
    for kind in ("statefulset", "pod", "persistentvolumeclaim"):
        namespace.kubectl("-n", NAMESPACE, "delete", kind, "--all", "--force", "--grace-period=0")


def _worst(found: dict[str, Any]) -> str:
    return min((each["severity"] for each in found["findings"]), default="")


def named(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["id"], each["where"]) for each in found["findings"]}


def pod(**spec: Any) -> str:
    mounts = [{"name": each["name"], "mountPath": "/there"} for each in spec.get("volumes", ())]
    container = {"name": "main", "image": "registry.example.invalid/none:1", "volumeMounts": mounts}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ill", "namespace": NAMESPACE}}
    return json.dumps({**made, "spec": {"containers": [container], **spec}})


def test_a_cluster_without_faults_has_no_finding(ask: Ask) -> None:
    found = ask()
    assert (found["findings"], found["unseen"]) == ([], [])


@pytest.mark.parametrize(
    ("id", "spec"),
    [
        ("K8S-01", {"nodeSelector": {"openwhisk-role": "nobody"}}),
        ("K8S-10", {}),
        ("HOST-03", {"volumes": [{"name": "s", "hostPath": {"path": "/run/none/docker.sock", "type": "Socket"}}]}),
    ],
)
def test_a_pod_that_does_not_run(namespace: Cluster, ask: Ask, id: str, spec: dict[str, Any]) -> None:
    namespace.kubectl("apply", "-f", "-", input=pod(**spec))
    wait(
        f"{id} is named",
        lambda: (id, "pod ill") in named(ask()),
        lambda: (named(ask()), namespace.kubectl("-n", NAMESPACE, "get", "events")),
    )
    assert named(ask()) == {(id, "pod ill")}


def test_a_manifest_is_made_for_the_nodes_that_are_there(namespace: Cluster) -> None:
    environment = {**os.environ, "KUBECONFIG": str(namespace.kubeconfig)}
    command = [str(UPCALL), "manifests", "--profile", "auto"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.startswith("upcall: the nodes are of the profile any (")
    assert "containerd://" in done.stderr
    assert "\nkind: StatefulSet\n" in done.stdout


def test_a_claim_without_a_class(namespace: Cluster, ask: Ask) -> None:
    about = {"name": "data", "namespace": NAMESPACE}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": spec}
    namespace.kubectl("apply", "-f", "-", input=json.dumps(claim))
    assert named(ask()) == {("K8S-05", "PersistentVolumeClaim data")}


def test_numbers_that_differ_are_mended(namespace: Cluster, ask: Ask) -> None:
    """The StatefulSet of deploy/invoker.yml, without pods that could be ill: replicas 0."""
    text = namespace.kubectl("create", "--dry-run=client", "-o", "json", "-f", str(MANIFEST))
    objects: list[dict[str, Any]] = []
    while text := text.strip():
        each, end = json.JSONDecoder().raw_decode(text)
        objects, text = [*objects, each], text[end:]
    (found,) = (each for each in objects if each["kind"] == "StatefulSet")
    found["metadata"]["namespace"] = NAMESPACE
    found["spec"]["replicas"] = 0
    namespace.kubectl("apply", "-f", "-", input=json.dumps(found))
    assert named(ask()) == {("K8S-03", "StatefulSet invoker")}
    ask("--fix")
    assert named(ask()) == set()


def invoker(**pod: Any) -> str:
    """A StatefulSet without pods that could be ill."""
    container = {"name": "invoker", "image": "upcall/invoker:1", "args": ["invoker", "--driver", "kubernetes"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 330, "enableServiceLinks": False, **pod}
    template = {"metadata": {"labels": {"app": "i"}}, "spec": spec}
    made = {"serviceName": "i", "replicas": 0, "selector": {"matchLabels": {"app": "i"}}, "template": template}
    about = {"name": "invoker", "namespace": NAMESPACE}
    return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": about, "spec": made})


@pytest.fixture
def permitted(namespace: Cluster) -> Iterator[Callable[[str], None]]:
    """Lets the namespace's service account do so to pods."""

    def permit(verbs: str) -> None:
        inside = ("-n", NAMESPACE)
        namespace.kubectl(*inside, "create", "role", "pods", f"--verb={verbs}", "--resource=pods,pods/log")
        account = f"--serviceaccount={NAMESPACE}:default"
        namespace.kubectl(*inside, "create", "rolebinding", "pods", "--role=pods", account)

    yield permit
    namespace.kubectl("-n", NAMESPACE, "delete", "role,rolebinding", "pods", "--ignore-not-found")


def test_an_invoker_without_its_role(namespace: Cluster, ask: Ask, permitted: Callable[[str], None]) -> None:
    namespace.kubectl("apply", "-f", "-", input=invoker())
    assert named(ask()) == {("K8S-09", "StatefulSet invoker")}
    permitted("create,delete,get,list,watch")
    wait("its rights are seen", lambda: named(ask()) == set(), lambda: ask()["findings"])


def test_a_namespace_that_does_not_admit_an_invoker(
    namespace: Cluster, ask: Ask, permitted: Callable[[str], None]
) -> None:
    permitted("*")
    namespace.kubectl("apply", "-f", "-", input=invoker(hostPID=True))
    namespace.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=baseline")
    try:
        assert named(ask()) == {("HOST-13", "StatefulSet invoker")}
    finally:
        namespace.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce-")
    assert named(ask()) == set()
