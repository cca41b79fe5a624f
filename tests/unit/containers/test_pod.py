"""What is peculiar to a pod: which groups are opened, what actions may not reach, where their own network is not."""

import os
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from upcall.containers.sandbox import addresses, cgroups, pod
from upcall.runtimes.python import linux

ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0100F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "100.64.0.1")
    monkeypatch.setenv("NODE_IP", "192.168.7.9")


def networks(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


@pytest.mark.usefixtures("here")
def test_api_node_and_gateway_are_guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = tmp_path / "route"
    routes.write_text(ROUTES)
    assert pod.guarded(routes) == networks("10.244.0.1", "100.64.0.1", "192.168.7.9")
    monkeypatch.delenv("NODE_IP")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert pod.guarded(routes) == networks("10.244.0.1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert pod.guarded(routes) == []


@pytest.mark.usefixtures("here")
def test_actions_network_is_not_where_the_clusters_may_be() -> None:
    """A pod has a default route and one to its neighbours; Services and other nodes' pods are behind the first."""
    sight = addresses.Sight((), (), {}, frozenset(), ())
    kept = pod.kept(networks("10.244.0.7"))
    assert kept == networks("10.0.0.0/8", "100.64.0.0/10")
    assert addresses.free(sight, None, kept) == networks("198.18.0.0/16", "172.29.0.0/16", "192.168.0.0/16")
    wanted = IPv4Network("10.99.0.0/16")
    assert addresses.free(sight, wanted, kept) == [wanted], "the operator knows better"


def test_only_closed_groups_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "521 517 0:32 /kubepods/a /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory\n"
        "522 517 0:33 /kubepods/a /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids\n"
        "523 517 0:34 / /sys/fs/cgroup/unified ro,nosuid - cgroup2 cgroup2 rw\n"
        "524 517 0:35 / /proc/sys ro,nosuid - proc proc rw\n"
    )
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(linux, "mount", lambda _source, target, _kind, flags: seen.append((target, flags)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    pod.open_cgroups(mountinfo)
    assert seen == []
    request.getfixturevalue("here")
    pod.open_cgroups(mountinfo)
    again = linux.MS_REMOUNT | linux.MS_BIND
    all_flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    assert seen == [("/sys/fs/cgroup/memory", again | all_flags), ("/sys/fs/cgroup/unified", again | linux.MS_NOSUID)]


def test_at_the_top_of_a_containers_tree_all_make_way(tmp_path: Path) -> None:
    """Version 2 allows no processes beside children: there this is process 1, or is started by it."""
    (tmp_path / "cgroup.procs").write_text("1\n7\n")
    moved: list[str] = []

    class Leaf(type(tmp_path)):  # type: ignore[misc]
        def write_text(self, text: str, *_: object, **__: object) -> int:
            moved.append(f"{self.parent.name} {text}")
            return len(text)

    cgroups._make_way(Leaf(tmp_path), everybody=True)
    assert moved == ["upcall-platform 0", "upcall-platform 1", "upcall-platform 7"]
    moved.clear()
    cgroups._make_way(Leaf(tmp_path), everybody=False)
    assert moved == ["upcall-platform 0"], "elsewhere others are not ours to move"
    assert os.listdir(tmp_path / "upcall-platform") == []
