"""Which number an Invoker takes, and which it must not."""

import sys
from pathlib import Path

import pytest

from upcall import identity
from upcall.errors import Misconfigured
from upcall.identity import Claim, Surroundings, beyond, claimed, invoker_id, surroundings, unlike


def in_pod(host_name: str) -> Surroundings:
    return Surroundings(host_name, pod=True)


def test_what_is_said_wins_over_every_name() -> None:
    assert invoker_id(7, "unique", True, in_pod("invoker-3")) == 7


@pytest.mark.parametrize(
    ("name", "number"), [("invoker-0", 0), ("owdev-invoker-3", 3), ("a-1-12", 12), ("i-9999", 9999)]
)
def test_a_pod_of_a_stateful_set_takes_its_ordinal(name: str, number: int) -> None:
    assert invoker_id(None, None, False, in_pod(name)) == number


@pytest.mark.parametrize(
    "name",
    [
        "invoker-7d4f9b5c6d-24567",  # a Deployment's, whose random end is digits alone
        "invoker-7d4f9b5c6d-x2x4z",
        "invoker-03",
        "ip-10-0-0-12",  # a node's
        "10-0-0-12",
        "node-3.example.org",
        "pool.worker-3",
        "invoker",
        "-3",
        "3",
        "invoker-٣",
    ],
)
def test_a_pod_of_another_name_takes_none(name: str) -> None:
    with pytest.raises(Misconfigured, match=r"--id N .*--uniqueName.*--id-from-hostname.* StatefulSet"):
        invoker_id(None, None, False, in_pod(name))


def test_a_pod_on_its_nodes_network_does_not_take_the_nodes_number() -> None:
    with pytest.raises(Misconfigured, match="--id N"):
        invoker_id(None, None, False, Surroundings("worker-3", pod=True, nodes_network=True))


def test_outside_a_pod_a_host_name_counts_only_if_it_is_asked_for() -> None:
    around = Surroundings("ip-10-0-0-12")
    with pytest.raises(Misconfigured, match="--id N"):
        invoker_id(None, None, False, around)
    assert invoker_id(None, None, True, around) == 12
    assert invoker_id(None, "unique", True, around) == 12


def test_a_host_name_without_a_number_is_named() -> None:
    with pytest.raises(Misconfigured, match="the name of this host, laptop, does not end in -N; give --id N"):
        invoker_id(None, None, True, Surroundings("laptop"))


def test_a_unique_name_is_asked_for_before_an_ordinal_is_taken() -> None:
    around = in_pod("owdev-invoker-3")
    assert invoker_id(None, "owdev-invoker-3", False, around, hosts="a:1") == Claim("a:1", "owdev-invoker-3")
    assert invoker_id(None, "", False, around, hosts="a:1") == 3
    with pytest.raises(Misconfigured, match=r"--uniqueName owdev-invoker-3 without --id: .*ZOOKEEPER_HOSTS.* --id N"):
        invoker_id(None, "owdev-invoker-3", False, around)


def test_without_kazoo_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "upcall.zookeeper", None)
    with pytest.raises(Misconfigured, match="--uniqueName without --id needs the package kazoo: "):
        claimed(Claim("a:1", "u"))


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n", True),
        ("# Kubernetes-managed hosts file.\n127.0.0.1 localhost\n", False),
        (None, False),
    ],
)
def test_a_pod_is_known_by_its_variable_and_its_network_by_the_kubelets_file(
    text: str | None, nodes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = tmp_path / "hosts"
    if text is not None:
        hosts.write_text(text)
    monkeypatch.setattr(identity, "HOSTS", hosts)
    found = surroundings({"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert (found.pod, found.nodes_network) == (True, nodes)
    assert not surroundings({}).pod
    assert not surroundings({}).nodes_network


def test_a_number_that_the_deployment_has_no_place_for_is_remarked() -> None:
    assert beyond(2, {"INVOKER_INSTANCES": "3", "INVOKER_COUNT": ""}) == []
    (remark,) = beyond(3, {"INVOKER_INSTANCES": "3", "INVOKER_COUNT": "x"})
    assert "Invoker 3" in remark
    assert "INVOKER_INSTANCES=3" in remark
    assert beyond(1, {"INVOKER_INSTANCES": "3", "INVOKER_COUNT": "03"}) == []
    differ, *others = beyond(5, {"INVOKER_INSTANCES": "3", "INVOKER_COUNT": "4"})
    assert differ == "INVOKER_INSTANCES=3 and INVOKER_COUNT=4 differ, and mean the same"
    assert len(others) == 2


def test_a_set_that_was_scaled_is_remarked_once_and_counts() -> None:
    assert unlike("invoker", 3, {"INVOKER_INSTANCES": "3", "INVOKER_COUNT": " 03 "}) is None
    assert unlike("invoker", 3, {}) is None
    remark = unlike("invoker", 3, {"INVOKER_INSTANCES": "1", "INVOKER_COUNT": "1"}) or ""
    assert "the StatefulSet invoker has 3 replicas" in remark
    assert "INVOKER_INSTANCES=1 and INVOKER_COUNT=1" in remark
    assert "INVOKER_COUNT" not in (unlike("invoker", 3, {"INVOKER_INSTANCES": "1", "INVOKER_COUNT": "3"}) or "")
