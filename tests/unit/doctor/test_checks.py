"""Each failure, put into objects as an API gives them, is named, and nothing else is blamed."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from upcall.doctor import examine
from upcall.doctor.facts.cluster import Cluster
from upcall.doctor.facts.deployment import Object, parse
from upcall.doctor.facts.node import Disk, Node, Place
from upcall.doctor.finding import ObjectPatch
from upcall.errors import Misconfigured

ROOT = Path(__file__).parents[3]
GOLDENS = sorted(Path(__file__).parents[1].joinpath("manifests", "golden").glob("*.yml"))
NEWEST = [each for each in GOLDENS if not each.name.startswith("2017-")]
SEED = Path(__file__).parents[1] / "manifests" / "golden" / "2017-ubuntu-docker.yml"
NODE: Object = {
    "kind": "Node",
    "metadata": {"name": "a", "labels": {"openwhisk-role": "invoker"}},
    "status": {
        "nodeInfo": {"containerRuntimeVersion": "docker://20.10.7", "osImage": "Ubuntu 22.04.4 LTS"},
        "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    },
}
POD: Object = {
    "kind": "Pod",
    "metadata": {"name": "invoker-0"},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


def workload(**pod: Any) -> Object:
    container = {"name": "invoker", "image": "upcall/invoker:1", "env": [{"name": "INVOKER_COUNT", "value": "1"}]}
    template = {"containers": [container], "terminationGracePeriodSeconds": 330, "enableServiceLinks": False, **pod}
    return {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "metadata": {"name": "invoker", "namespace": "openwhisk"},
        "spec": {"replicas": 1, "template": {"spec": template}},
        "status": {"replicas": 1, "readyReplicas": 1},
    }


def found(*objects: Object) -> list[str]:
    kinds: dict[str, list[Object]] = {}
    for each in objects:
        kinds.setdefault(each["kind"], []).append(each)
    facts = Cluster(server="https://cluster", namespace="openwhisk", objects=kinds)
    return [each.id for each in examine.judged(facts).findings]


def node(**info: str) -> Object:
    made = copy.deepcopy(NODE)
    made["status"]["nodeInfo"].update(info)
    return made


def event(message: str, kind: str = "Pod", name: str = "invoker-0") -> Object:
    about = {"kind": kind, "name": name}
    return {"kind": "Event", "type": "Warning", "reason": "Failed", "message": message, "involvedObject": about}


def ill(**status: Any) -> Object:
    return {**POD, "status": {"phase": "Pending", "conditions": [], **status}}


SOCKET = {"volumes": [{"name": "dockersock", "hostPath": {"path": "/var/run/docker.sock", "type": "Socket"}}]}
APPARMOR = "/usr/lib/x86_64-linux-gnu/libapparmor.so.1"
LIBRARY = {
    "volumes": [{"name": "x", "emptyDir": {}}, {"name": "apparmor", "hostPath": {"path": APPARMOR, "type": "File"}}],
    "containers": [
        {"name": "invoker", "volumeMounts": [{"name": "x"}, {"name": "apparmor", "mountPath": APPARMOR}]},
    ],
}


def test_a_healthy_cluster_has_nothing() -> None:
    assert found(NODE, POD, workload(), event("Liveness probe failed: late, and well since")) == []
    assert found(node(), workload(**SOCKET), workload(**LIBRARY)) == []


def test_no_docker_where_its_socket_is_mounted() -> None:
    assert found(node(containerRuntimeVersion="containerd://2.0"), workload(**SOCKET)) == ["HOST-03"]
    assert found(node(containerRuntimeVersion="containerd://2.0"), workload()) == []


def test_a_library_of_a_system_that_nobody_writes_to_is_named_with_its_patch() -> None:
    facts = Cluster(
        server="", namespace="openwhisk",
        objects={"Node": [node(osImage="Flatcar Container Linux 3815")], "StatefulSet": [workload(**LIBRARY)]},
    )  # fmt: skip
    (named,) = examine.judged(facts).findings
    assert (named.id, named.where) == ("HOST-01", "StatefulSet invoker")
    operations = [
        {"op": "remove", "path": "/spec/template/spec/containers/0/volumeMounts/1"},
        {"op": "remove", "path": "/spec/template/spec/volumes/1"},
    ]
    assert named.patch == ObjectPatch(
        kind="StatefulSet", name="invoker", namespace="openwhisk", operations=operations
    )  # fmt: skip


def test_a_full_disk_of_a_node() -> None:
    full = copy.deepcopy(NODE)
    full["status"]["conditions"][0]["status"] = "True"
    assert found(full, POD) == ["HOST-12"]


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("HOST-01", "Error: failed to start container: mkdir /usr/lib/x86_64-linux-gnu: read-only file system"),
        ("K8S-01", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        ("K8S-02", "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: other}."),
        ("K8S-05", "pod has unbound immediate PersistentVolumeClaims."),
    ],
)
def test_events_of_pods_that_do_not_run(id: str, message: str) -> None:
    assert found(NODE, ill(), event(message)) == [id]
    assert found(NODE, POD, event(message)) == []


def test_an_event_of_an_earlier_pod_by_that_name() -> None:
    told = event("mkdir /run/runc: read-only file system")
    told["involvedObject"]["uid"] = "earlier"
    now = {**ill(), "metadata": {"name": "invoker-0", "uid": "now"}}
    assert found(NODE, now, told) == []
    told["involvedObject"]["uid"] = "now"
    assert found(NODE, now, told) == ["HOST-01"]


def test_a_pod_that_may_not_be_made() -> None:
    refused = workload()
    refused["status"] = {"replicas": 0}
    message = (
        'create Pod failed: pods "invoker-0" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes'
    )
    assert found(NODE, refused, event(message, "StatefulSet", "invoker")) == ["HOST-13"]


def test_an_image_that_cannot_be_fetched() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "upcall/invoker:1"'}
    assert found(NODE, ill(containerStatuses=[{"state": {"waiting": waiting}}])) == ["K8S-10"]


def test_a_daemon_set_for_which_no_node_has_the_label() -> None:
    daemon: Object = {
        "kind": "DaemonSet",
        "metadata": {"name": "other"},
        "spec": {"template": {"spec": {"nodeSelector": {"openwhisk-role": "invoker"}}}},
        "status": {"desiredNumberScheduled": 0},
    }
    assert found(NODE, daemon) == ["K8S-01"]
    assert found(NODE, {**daemon, "status": {"desiredNumberScheduled": 1, "numberReady": 1}}) == []


def test_a_claim_that_no_class_provides() -> None:
    claim: Object = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "status": {"phase": "Pending"}}
    usual = {"storageclass.kubernetes.io/is-default-class": "true"}
    provided: Object = {"kind": "StorageClass", "metadata": {"name": "fast", "annotations": usual}}
    assert found(claim) == ["K8S-05"]
    assert found(claim, provided) == []
    assert found({**claim, "spec": {"storageClassName": "slow"}}, provided) == ["K8S-05"]


def test_pods_that_have_outlived_their_invoker() -> None:
    about = {"name": "wsk7-1-guest", "labels": {"user-action-pod": "true", "invoker": "invoker7"}}
    orphan = {**POD, "metadata": about}
    assert found(POD, orphan) == ["K8S-16"]
    assert found(POD, orphan, {**POD, "metadata": {"name": "owdev-invoker-7"}}) == []
    assert found(POD, {**POD, "metadata": {**about, "ownerReferences": [{"name": "invoker-7"}]}}) == []


def test_many_services_in_every_pod() -> None:
    services: list[Object] = [{"kind": "Service", "metadata": {"name": f"s{number}"}} for number in range(200)]
    assert found(workload(enableServiceLinks=True), *services) == ["K8S-22"]
    assert found(workload(), *services) == []


@pytest.mark.parametrize("file", [*NEWEST, *sorted((ROOT / "deploy").glob("*.yml"))], ids=lambda each: each.name)
def test_what_we_write_has_nothing(file: Path) -> None:
    assert examine.manifest(parse(file.read_text(), file.name)).findings == []


def test_numbers_that_differ_are_named_with_their_patch() -> None:
    text = SEED.read_text().replace("replicas: 1", "replicas: 3")
    (named,) = examine.manifest(parse(text, "invoker.yml")).findings
    assert named.id == "K8S-03"
    assert isinstance(named.patch, ObjectPatch)
    assert {each["value"] for each in named.patch.operations} == {"3"}


def test_the_traps_of_the_manifest_of_2017() -> None:
    text = """
apiVersion: apps/v1beta1
kind: StatefulSet
metadata: {name: owdev-invoker}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: invoker
        image: openwhisk/invoker
        command: ["/bin/bash", "-c", "COMPONENT_NAME=$(hostname | cut -d'-' -f2) /invoker/bin/invoker"]
      volumes:
      - name: dockersock
        hostPath: {path: /var/run/docker.sock}
"""
    named = examine.manifest(parse(text, "invoker.yml")).findings
    assert [each.id for each in named] == ["K8S-04", "K8S-08", "HOST-04", "K8S-15"]


@pytest.mark.parametrize("text", ["a: [", "just words", "- a\n- b", "{a: 1}"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"file\.yml"):
        parse(text, "file.yml")


HEALTHY = Node(
    arch="x86_64", kernel="6.1", system="Debian", root=False, cgroup=2, selinux="off", apparmor=True,
    places={"/var/run/docker.sock": Place("socket", usable=True, group=999)},
    disks={"/": Disk(10 << 30, 100 << 30, read_only=False)},
    numbers={"fs/inotify/max_user_instances": 128, "kernel/unprivileged_userns_clone": 1}, files=1 << 20, tun=True,
)  # fmt: skip


def on(**changes: Any) -> list[str]:
    return [each.id for each in examine.machine(msgspec.structs.replace(HEALTHY, **changes)).findings]


def test_a_healthy_machine_has_nothing() -> None:
    assert on() == []


def test_what_a_mount_has_made_of_a_missing_file() -> None:
    assert on(places={APPARMOR: Place("directory")}) == ["HOST-02"]
    assert on(places={"/var/run/docker.sock": Place("directory")}) == ["HOST-04"]


def test_a_socket_of_others() -> None:
    assert on(places={"/var/run/docker.sock": Place("socket", usable=False, group=998)}) == ["HOST-05"]


def test_a_disk_that_is_nearly_full() -> None:
    assert on(disks={"/": Disk(100 << 20, 100 << 30, read_only=False)}) == ["HOST-12"]
    assert on(disks={"/": Disk(0, 1 << 30, read_only=True)}) == []


def test_limits_of_the_host() -> None:
    assert on(numbers={"fs/inotify/max_user_instances": 8}) == ["HOST-14"]
    assert on(files=256) == ["HOST-14"]
