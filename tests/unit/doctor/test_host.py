"""Every row of the matrix of hosts: what is blamed there, and each failure of a host alone (spec: kubernetes.md §9)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.unit.doctor.roots import ENGINE, ROWS, X86, Row, make, socket, write
from tests.unit.doctor.test_checks import SEED
from upcall.doctor import examine
from upcall.doctor.checks.host import driver
from upcall.doctor.facts.deployment import Object, Workload, parse
from upcall.doctor.facts.engine import Engine
from upcall.doctor.facts.node import DOCKER, Node, gather
from upcall.doctor.finding import ObjectPatch
from upcall.manifests.document import stream
from upcall.manifests.invoker import invoker
from upcall.manifests.profiles import profile
from upcall.manifests.wanted import Wanted

UBUNTU = ROWS[1]


def seed() -> Workload:
    """The manifest of 2017, with upstream's Invoker."""
    (found,) = parse(SEED.read_text().replace("upcall/invoker", "openwhisk/invoker"), "invoker.yml").invokers()
    return found


def ours(row: Row) -> Workload:
    """What is made for the row, with the driver that the doctor takes to fit."""
    wanted = Wanted(profile=row.profile, driver=row.driver, docker_group=os.getgid())
    (found,) = parse(stream(invoker(wanted, profile(row.profile)), ""), "made.yml").invokers()
    return found


def node(root: Path, row: Row) -> Node:
    found = gather(root)
    data = "/dind/docker" if row.logs.startswith("/dind") else "/var/lib/docker"
    engine = msgspec.structs.replace(ENGINE, root=data) if DOCKER in row.sockets else None
    return msgspec.structs.replace(found, name="a", engine=engine, files=1 << 20)


def blamed(found: Node, *invokers: Workload, images: tuple[str, ...] = ()) -> list[str]:
    return [each.id for each in examine.nodes([found], invokers, images)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row(tmp_path: Path, row: Row) -> None:
    found = node(make(tmp_path, row), row)
    assert (found.system, found.arch, found.cgroup) == (row.system, row.arch, row.cgroup)
    assert found.selinux == {"": "off", "0": "permissive", "1": "enforcing"}[row.selinux]
    assert driver(found) == row.driver
    assert blamed(found, ours(row)) == []
    assert sorted(blamed(found, seed())) == sorted(row.seed)


class Case(NamedTuple):
    """A failure, and how it comes to a host that is well, or to what is on it."""

    id: str
    root: Callable[[Path], None] = lambda _: None
    seen: Callable[[Node], Node] = lambda node: node
    pod: Callable[[Object], None] = lambda _: None
    images: tuple[str, ...] = ()
    whose: str = "ours"


def changed(**changes: Any) -> Callable[[Node], Node]:
    return lambda node: msgspec.structs.replace(node, **changes)


def engine(**changes: Any) -> Callable[[Node], Node]:
    return changed(engine=msgspec.structs.replace(ENGINE, **changes))


def only(name: str) -> Callable[[Object], None]:
    """No mount but one."""

    def change(pod: Object) -> None:
        pod["volumes"] = [each for each in pod["volumes"] if each["name"] == name]

    return change


def no_docker(root: Path) -> None:
    (root / "run/docker.sock").unlink()


def directory(root: Path) -> None:
    no_docker(root)
    (root / "run/docker.sock").mkdir()


def fixed(root: Path) -> None:
    (root / X86[1:]).unlink()
    with (root / "proc/1/mountinfo").open("a") as table:
        table.write("\n30 1 8:1 / /usr ro - ext4 /dev/1 ro")


def library(root: Path) -> None:
    (root / X86[1:]).unlink()
    (root / X86[1:]).mkdir()


def another_group(pod: Object) -> None:
    pod["securityContext"] |= {"runAsUser": 1001, "supplementalGroups": [47]}


def api(version: str) -> Callable[[Object], None]:
    return lambda pod: pod["containers"][0]["env"].append({"name": "DOCKER_API_VERSION", "value": version})


def few(root: Path) -> None:
    write(root, "/proc/sys/fs/inotify/max_user_instances", "8")


def uncontrolled(root: Path) -> None:
    write(root, "/sys/fs/cgroup/cgroup.controllers", "cpu io pids")


CASES = {
    "a mount on a read-only /usr": Case("HOST-01", root=fixed, pod=only("apparmor"), whose="seed"),
    "a library that is a directory": Case("HOST-02", root=library),
    "no Docker": Case("HOST-03", root=no_docker, seen=changed(engine=None)),
    "a socket of nobody": Case("HOST-03", seen=changed(engine=Engine(why="connection refused"))),
    "a socket that is a directory": Case("HOST-04", root=directory, seen=changed(engine=None)),
    "another group": Case("HOST-05", pod=another_group),
    "SELinux": Case("HOST-05", root=lambda root: write(root, "/sys/fs/selinux/enforce", "1")),
    "a client too old": Case("HOST-06", pod=api("1.24"), seen=engine(oldest="1.44")),
    "a client too new": Case("HOST-06", pod=api("1.52")),
    "an engine too old for us": Case("HOST-06", seen=engine(api="1.24")),
    "an engine too new for us": Case("HOST-06", seen=engine(api="1.99", oldest="1.60")),
    "another folder": Case("HOST-07", seen=engine(root="/data"), pod=only("dockerrootdir"), whose="seed"),
    "another log driver": Case("HOST-07", seen=engine(logs="journald"), pod=only("dockerrootdir"), whose="seed"),
    "runc past the engine": Case("HOST-08", pod=only("runc"), whose="seed"),
    "a controller that is off": Case("HOST-09", root=uncontrolled),
    "no cgroups": Case("HOST-09", seen=changed(cgroup=0, controllers=())),
    "a full disk": Case("HOST-12", seen=changed(disks={"/var": {}})),
    "too few inotify instances": Case("HOST-14", root=few),
    "a clock ahead": Case("HOST-15", seen=changed(clock_off=61.0)),
    "a clock behind": Case("HOST-15", seen=changed(clock_off=-61.0)),
    "an old JDK": Case("HOST-16", seen=changed(kernel="6.14.0"), images=("docker.io/openwhisk/controller:1.0.0",)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_failure_alone(tmp_path: Path, case: Case) -> None:
    root = make(tmp_path, UBUNTU)
    case.root(root)
    found = case.seen(node(root, UBUNTU))
    if "/var" in found.disks and case.id == "HOST-12":
        found = msgspec.structs.replace(found, disks={"/var": msgspec.convert(FULL, type(gather().disks["/"]))})
    each = seed() if case.whose == "seed" else ours(UBUNTU)
    case.pod(each.pod)
    assert blamed(found, each, images=case.images) == [case.id]


FULL = {"free": 1 << 20, "size": 1 << 40, "read_only": False}


def test_what_is_near_a_failure_is_none(tmp_path: Path) -> None:
    found, each = node(make(tmp_path, UBUNTU), UBUNTU), ours(UBUNTU)
    images = ("quay.io/strimzi/kafka:latest", "openwhisk/python3action:1.17", "upcall/invoker:1")
    near = msgspec.structs.replace(found, kernel="6.14.0", clock_off=2.0)
    assert blamed(near, each, images=images) == []
    old = msgspec.structs.replace(found, kernel="6.11.9")
    assert blamed(old, each, images=("openwhisk/controller:1",)) == []
    first = msgspec.structs.replace(found, kernel="6.14.0", cgroup=1)
    assert blamed(first, each, images=("openwhisk/controller:1",)) == []
    asked = ours(UBUNTU)
    api("1.40")(asked.pod)
    assert blamed(found, asked) == []


def test_a_mount_is_taken_out_by_its_patch(tmp_path: Path) -> None:
    root = make(tmp_path, UBUNTU)
    fixed(root)
    (named,) = (each for each in examine.nodes([node(root, UBUNTU)], [seed()]) if each.id == "HOST-01")
    assert isinstance(named.patch, ObjectPatch)
    assert [each["op"] for each in named.patch.operations] == ["remove", "remove"]
    assert "node a" in named.evidence


def test_links_do_not_lead_out_of_the_root(tmp_path: Path) -> None:
    root = make(tmp_path / "root", ROWS[-1])
    (root / "run/docker.sock").symlink_to("/etc/os-release")
    assert gather(root).places[DOCKER].kind == "file"
    (root / "run/docker.sock").unlink()
    (root / "run/docker.sock").symlink_to("../../../../../../etc/os-release")
    assert gather(root).places[DOCKER].kind == "file"
    (root / "run/docker.sock").unlink()
    socket(tmp_path, "/docker.sock")
    (root / "run/docker.sock").symlink_to(tmp_path / "docker.sock")
    assert gather(root).places[DOCKER].kind == "absent"
    (root / "run/docker.sock").unlink()
    (root / "run/docker.sock").symlink_to("docker.sock")
    assert gather(root).places[DOCKER].kind == "unseen"


def test_the_last_mount_of_a_place_counts(tmp_path: Path) -> None:
    root = make(tmp_path, UBUNTU)
    fixed(root)
    assert gather(root).places[X86].read_only
    with (root / "proc/1/mountinfo").open("a") as table:
        table.write("\n31 1 8:1 / /usr rw - ext4 /dev/1 rw\n32 1 8:1 / /usr/lib64 ro - ext4 /dev/1 ro")
    assert not gather(root).places[X86].read_only
