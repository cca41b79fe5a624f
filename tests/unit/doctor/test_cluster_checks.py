"""Failures that a cluster's objects show without a word of text: each is named, and nothing else is blamed."""

import copy
from typing import Any

import pytest

from tests.unit.doctor.test_checks import NODE, POD, event, ill, node, workload
from upcall.doctor import examine
from upcall.doctor.facts.cluster import Cluster, makes_pods
from upcall.doctor.facts.deployment import Object
from upcall.doctor.facts.deployment import workload as read

NOW = 1_795_400_000.0
LONG_AGO, JUST_NOW = "2026-11-23T00:00:00+00:00", "2026-11-23T02:13:10+00:00"
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no"}]
SOCKET: dict[str, Any] = {
    "volumes": [{"name": "dockersock", "hostPath": {"path": "/var/run/docker.sock", "type": "Socket"}}]
}


def found(*objects: Object, denied: dict[str, list[str]] | None = None) -> list[str]:
    kinds: dict[str, list[Object]] = {}
    for each in objects:
        kinds.setdefault(each["kind"], []).append(each)
    facts = Cluster(server="s", namespace="openwhisk", objects=kinds, denied=denied or {}, at=NOW)
    return [each.id for each in examine.judged(facts).findings]


def named(name: str, made: str = LONG_AGO, labels: dict[str, str] | None = None, **status: Any) -> Object:
    about = {"name": name, "creationTimestamp": made, "labels": labels or {}}
    return {"kind": "Pod", "metadata": about, "spec": {"nodeName": "a"}, "status": {"conditions": [], **status}}


def tainted(effect: str = "NoSchedule", key: str = "dedicated") -> Object:
    made = copy.deepcopy(NODE)
    made["spec"] = {"taints": [{"key": key, "value": "other", "effect": effect}]}
    return made


def waiting(*tolerations: dict[str, str]) -> Object:
    return {**ill(conditions=UNSCHEDULABLE), "spec": {"tolerations": list(tolerations)}}


def test_a_taint_that_nobody_tolerates() -> None:
    assert found(tainted(), waiting()) == ["K8S-02"]
    assert found(tainted("NoExecute"), waiting({"key": "else", "operator": "Exists"})) == ["K8S-02"]
    for toleration in (
        {"operator": "Exists"},
        {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "dedicated", "value": "other"},
    ):
        assert found(tainted(), waiting(toleration)) == []
    assert found(tainted(), NODE, waiting()) == []
    assert found(tainted("PreferNoSchedule"), waiting()) == []
    assert found(tainted(key="node.kubernetes.io/not-ready"), waiting()) == []
    assert found(tainted(), POD) == []


def sized(memory: str) -> Object:
    made = copy.deepcopy(NODE)
    made["status"]["allocatable"] = {"memory": memory}
    return made


def invoker(variable: str, value: str, image: str = "upcall/invoker:1", **pod: Any) -> Object:
    made = workload(**pod)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container.update(image=image, env=[*container["env"], {"name": variable, "value": value}])
    return made


def test_more_memory_beside_the_pods_than_a_node_has() -> None:
    large = invoker("UPCALL_MEMORY", "32 GB", **SOCKET)
    assert found(sized("16Gi"), large) == ["HOST-10"]
    assert found(sized("16Gi"), sized("40000000Ki"), large) == []
    assert found(sized("16Gi"), invoker("UPCALL_MEMORY", "32 GB")) == []
    assert found(sized("much"), large) == []


def test_openwhisks_default_on_a_large_node() -> None:
    small = invoker("CONFIG_whisk_containerPool_userMemory", "2048m", "openwhisk/invoker:nightly")
    lacking = ["CFG-01"]  # its Kafka and its databases
    assert found(sized("64Gi"), small) == [*lacking, "K8S-14"]
    assert found(sized("4Gi"), small) == lacking
    assert found(sized("64Gi"), invoker("UPCALL_MEMORY", "2 GB")) == []


def space(level: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": level}
    return {"kind": "Namespace", "metadata": {"name": "openwhisk", "labels": labels}}


def container(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "invoker", "image": "upcall/invoker:1", "securityContext": context}]}


@pytest.mark.parametrize(
    "pod",
    [SOCKET, {"hostPID": True}, container(privileged=True), container(capabilities={"add": ["SYS_ADMIN"]})],
    ids=["hostPath", "hostPID", "privileged", "capability"],
)
def test_what_a_namespace_does_not_admit(pod: dict[str, Any]) -> None:
    assert found(NODE, space("baseline"), workload(**pod)) == ["HOST-13"]
    assert found(NODE, space("restricted"), workload(**pod)) == ["HOST-13"]
    assert found(NODE, space("privileged"), workload(**pod)) == []
    assert found(NODE, space("baseline"), workload()) == []


def test_how_a_container_ended() -> None:
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": "exec /bin/java: exec format error"}}
    stopped = {"name": "x", "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}
    assert found(NODE, named("invoker-0", containerStatuses=[stopped])) == ["HOST-11"]
    assert found(NODE, named("invoker-0", containerStatuses=[{**stopped, "ready": True}])) == []


def test_pods_that_do_not_come_up_on_their_nodes() -> None:
    labels = {"user-action-pod": "true", "invoker": "invoker0"}
    creating = [{"name": "user-action", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    late = named("wsk0-1", labels=labels, phase="Pending", containerStatuses=creating)
    late["metadata"]["ownerReferences"] = [{"name": "invoker-0"}]
    assert found(NODE, late) == ["K8S-11"]
    late["metadata"]["creationTimestamp"] = JUST_NOW
    assert found(NODE, late) == []
    late["metadata"]["creationTimestamp"] = LONG_AGO
    assert found(NODE, {**late, "spec": {}}) == []
    late["status"]["containerStatuses"] = [{"state": {"waiting": {"reason": "CreateContainerConfigError"}}}]
    assert found(NODE, late) == []


@pytest.mark.parametrize(("name", "id"), [("owdev-init-couchdb-x7", "K8S-18"), ("owdev-install-packages-9", "K8S-12")])
def test_set_ups_that_never_end(name: str, id: str) -> None:
    assert found(NODE, named(name, phase="Pending")) == [id]
    assert found(NODE, named(name, JUST_NOW, phase="Pending")) == []
    assert found(NODE, named(name, phase="Succeeded")) == []


def test_a_probe_that_kills_again_and_again() -> None:
    killed = event("Container invoker failed liveness probe, will be restarted")
    often = {**POD, "status": {**POD["status"], "containerStatuses": [{"ready": True, "restartCount": 3}]}}
    assert found(NODE, often, killed) == ["K8S-24"]
    assert found(NODE, POD, killed) == []
    assert found(NODE, often) == []


def policy(name: str) -> Object:
    admitted = [{"from": [{"podSelector": {"matchLabels": {"name": name}}}]}]
    chosen = {"matchLabels": {"user-action-pod": "true"}}
    return {"kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": {"podSelector": chosen, "ingress": admitted}}


def test_a_policy_that_admits_nobody_who_is_there() -> None:
    controller = named("controller-0", labels={"name": "owdev-controller"}, phase="Running")
    assert found(NODE, controller, policy("owdev-invoker")) == ["K8S-21"]
    assert found(NODE, controller, policy("owdev-controller")) == []


def test_one_number_for_several_invokers() -> None:
    first, second = invoker("UPCALL_INVOKER_ID", "0"), invoker("UPCALL_INVOKER_ID", "0")
    second["metadata"] = {**second["metadata"], "name": "invoker-b"}
    assert found(NODE, first, second) == ["K8S-23"]
    assert found(NODE, first) == []
    several = invoker("UPCALL_INVOKER_ID", "0")
    several["spec"]["replicas"] = 2
    several["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "2"
    assert found(NODE, several) == ["K8S-23"]


def test_rights_that_an_invoker_lacks() -> None:
    assert found(NODE, workload(), denied={"StatefulSet invoker": ["create pods", "get pods/log"]}) == ["K8S-09"]


@pytest.mark.parametrize(
    ("words", "variable", "makes"),
    [
        (["--driver", "kubernetes"], "", True),
        (["--driver=kubernetes"], "", True),
        ([], "kubernetes", True),
        (["--driver", "process"], "", False),
        ([], "", False),
    ],
)
def test_who_makes_pods(words: list[str], variable: str, makes: bool) -> None:
    made = invoker("UPCALL_DRIVER", variable)
    made["spec"]["template"]["spec"]["containers"][0]["args"] = words
    assert makes_pods(read("StatefulSet", made, "openwhisk")) is makes


def test_nodes_of_any_size_are_well() -> None:
    assert found(node(), sized("64Gi"), POD, workload(), space("privileged")) == []


@pytest.mark.parametrize("kind", ["managed", "blackbox"])
def test_a_fraction_that_leaves_one_invoker_of_several(kind: str) -> None:
    several = workload()
    several["spec"]["replicas"] = 3
    several["spec"]["template"]["spec"]["containers"][0]["env"] = []
    controller = invoker(f"CONFIG_whisk_loadbalancer_{kind}Fraction", "0.2", "example/balancer:1")
    controller["metadata"] = {**controller["metadata"], "name": "balancer"}
    assert found(NODE, several, controller) == ["K8S-20"]
    several["spec"]["replicas"] = 10
    assert found(NODE, several, controller) == []
    several["spec"]["replicas"] = 1
    assert found(NODE, several, controller) == []
    controller["spec"]["template"]["spec"]["containers"][0]["env"][-1]["value"] = "much"
    assert found(NODE, several, controller) == []
