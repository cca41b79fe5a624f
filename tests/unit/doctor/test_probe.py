"""The pod that looks into a node: what it may, and on which nodes it is made."""

import asyncio
import os
from typing import Any, cast

import pytest

from upcall.doctor.facts.cluster import Cluster
from upcall.doctor.facts.deployment import Object, Workload
from upcall.doctor.facts.probe import FOLDERS, MOST, pod, probe, sample
from upcall.kubernetes.client import Api, Away, Refused


def node(name: str, ready: str = "True", **info: str) -> Object:
    about = {"osImage": "Debian", "containerRuntimeVersion": "containerd://2.0", "architecture": "amd64", **info}
    status = {"nodeInfo": about, "conditions": [{"type": "Ready", "status": ready}]}
    return {"kind": "Node", "metadata": {"name": name}, "status": status}


def test_it_has_no_right_but_to_read_folders_that_are_on_every_node() -> None:
    made = pod("a", "node", "image")
    spec = made["spec"]
    (container,) = spec["containers"]
    assert [each["hostPath"] for each in spec["volumes"]] == [{"path": each, "type": "Directory"} for each in FOLDERS]
    assert all(os.path.isdir(each) for each in FOLDERS)
    assert all(each["readOnly"] for each in container["volumeMounts"])
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert "privileged" not in container["securityContext"]
    assert not spec["automountServiceAccountToken"]
    assert spec["activeDeadlineSeconds"] <= 60


def test_one_node_of_each_kind_is_looked_into() -> None:
    kinds = [node("a"), node("b"), node("c", osImage="Talos"), node("d", architecture="arm64"), node("e")]
    assert [each["metadata"]["name"] for each in sample(kinds)] == ["a", "c", "d"]
    assert len(sample([node(str(number), osImage=str(number)) for number in range(50)])) == MOST


class Refusing:
    """An API that makes no pods; `asked` are the nodes of those that it was to make."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[tuple[str, str]] = []
        self.deleted = 0

    async def list(self, labels: object) -> tuple[list[Any], str]:
        return [], ""

    async def create(self, made: Object) -> None:
        self.asked.append((made["spec"]["nodeName"], made["spec"]["containers"][0]["image"]))
        raise self.error

    async def delete(self, name: str) -> None:
        self.deleted += 1


def looked(api: Refusing, *nodes: Object, image: str = "", everywhere: bool = False) -> Any:
    cluster = Cluster(server="", namespace="n", objects={"Node": nodes})
    spec: Object = {"containers": [{"name": "invoker", "image": image}]}
    invokers = [Workload(kind="StatefulSet", name="invoker", namespace="n", spec={}, pod=spec)] if image else []
    return asyncio.run(probe(cast(Api, api), cluster, invokers, everywhere=everywhere))


def test_nodes_that_are_not_ready_or_no_linux_are_left_alone() -> None:
    api = Refusing(Refused(403, "no"))
    windows = node("w", operatingSystem="windows")
    found = looked(api, node("a"), node("b"), node("c", ready="False"), windows)
    assert [name for name, _ in api.asked] == ["a"]
    assert (found.alike, list(found.nodes)) == (1, [])
    assert found.unseen == ["1 of 1 nodes are not looked into: no"]
    everywhere = Refusing(Refused(403, "no"))
    assert looked(everywhere, node("a"), node("b"), everywhere=True).unseen == ["2 of 2 nodes are not looked into: no"]
    assert everywhere.deleted == 2


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ("registry.example/upcall/invoker:2", "registry.example/upcall/invoker:2"),
        ("openwhisk/invoker:1.0.0", "upcall/invoker:"),
        ("", "upcall/invoker:"),
    ],
)
def test_the_image_is_the_invokers_own_where_that_is_ours(there: str, taken: str) -> None:
    api = Refusing(Refused(403, "no"))
    looked(api, node("a"), image=there)
    ((_, image),) = api.asked
    assert image.startswith(taken)


def test_an_api_that_goes_away_is_said_to_be() -> None:
    """Of the others nothing is left."""
    api = Refusing(Away("it does not answer"))
    assert looked(api, node("a"), node("b", osImage="Talos")).unseen == [
        "2 of 2 nodes are not looked into: it does not answer"
    ]
    assert api.deleted == 2
