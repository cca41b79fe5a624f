"""Which cgroups are used, and how a group of version 2 behaves (version 1: contract and system suites)."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from upcall.containers.sandbox import guardian
from upcall.containers.sandbox.cgroups import Group, Life, Place, detect, offered

UNIFIED = next(
    (Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line), None
)
usable = pytest.mark.skipif(
    UNIFIED is None or not os.access(UNIFIED, os.W_OK), reason="no cgroup version 2 tree that may be written to"
)


def a_mountinfo(folder: Path, *mounts: tuple[str, str, str]) -> Path:
    file = folder / "mountinfo"
    lines = [f"30 25 0:26 / {where} rw shared:1 - {kind} {kind} rw,{options}" for where, kind, options in mounts]
    file.write_text("\n".join(["22 1 0:21 / /proc rw - proc proc rw", *lines]) + "\n")
    return file


def an_own(folder: Path, *lines: str) -> Path:
    file = folder / "own"
    file.write_text("\n".join(lines) + "\n")
    return file


def a_tree(folder: Path, controllers: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("cgroup.controllers", controllers), ("cgroup.subtree_control", ""), ("cgroup.procs", "")):
        (folder / name).write_text(text)
    return folder


def test_version_1_trees_are_used_where_they_can_be_written(tmp_path: Path) -> None:
    for name in ("memory", "pids", "cpu,freezer"):
        (tmp_path / name).mkdir()
    mounts = [(str(tmp_path / name), "cgroup", name) for name in ("memory", "pids", "cpu,freezer", "missing")]
    found = detect(a_mountinfo(tmp_path, *mounts), an_own(tmp_path, "1:memory:/"))
    assert found == {
        "memory": Place(1, tmp_path / "memory" / "upcall"),
        "pids": Place(1, tmp_path / "pids" / "upcall"),
        "freezer": Place(1, tmp_path / "cpu,freezer" / "upcall"),
        "cpu": Place(1, tmp_path / "cpu,freezer" / "upcall"),
    }


def test_what_is_offered_is_what_would_be_used_and_nothing_is_changed(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", "memory pids io")
    mounts, own = a_mountinfo(tmp_path, (str(tree), "cgroup2", "nsdelegate")), an_own(tmp_path, "0::/some.slice")
    assert offered(mounts, own) == {"memory", "pids", "freezer"}
    assert (tree / "cgroup.subtree_control").read_text() == ""
    assert set(detect(mounts, own)) == offered(mounts, own)
    assert offered(a_mountinfo(tmp_path, ("/nowhere", "cgroup2", "rw")), own) == set()


def test_version_2_alone_gives_all_of_them_and_hands_its_controllers_down(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", "memory pids")
    found = detect(a_mountinfo(tmp_path, (str(tree), "cgroup2", "nsdelegate")), an_own(tmp_path, "0::/some.slice"))
    place = Place(2, tree / "upcall")
    assert found == {"memory": place, "pids": place, "freezer": place}
    assert (tree / "cgroup.subtree_control").read_text() == "+memory +pids"
    a_tree(tree, "cpu memory pids")
    found = detect(a_mountinfo(tmp_path, (str(tree), "cgroup2", "nsdelegate")), an_own(tmp_path, "0::/some.slice"))
    assert found == {"memory": place, "pids": place, "freezer": place, "cpu": place}
    assert (tree / "cgroup.subtree_control").read_text() == "+cpu"  # by itself, since it may be refused


def test_a_hybrid_host_uses_version_2_for_what_version_1_does_not_have(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", "pids")
    (tmp_path / "memory").mkdir()
    mounts = a_mountinfo(tmp_path, (str(tree), "cgroup2", ""), (str(tmp_path / "memory"), "cgroup", "memory"))
    found = detect(mounts, an_own(tmp_path, "0::/"))
    assert {name: place.version for name, place in found.items()} == {"memory": 1, "pids": 2, "freezer": 2}


def test_a_user_gets_its_delegated_tree_and_the_platform_moves_to_a_leaf_where_it_is_in_the_way(tmp_path: Path) -> None:
    own = a_tree(tmp_path / "tree" / "user.slice" / "me.service", "memory pids")
    control = own / "cgroup.subtree_control"
    control.unlink()
    control.mkdir()  # refuses to be written, as the kernel does while processes are in the way
    leaf = own / "upcall-platform"
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text("")
    mounts = a_mountinfo(tmp_path, (str(tmp_path / "tree"), "cgroup2", ""))
    found = detect(mounts, an_own(tmp_path, "0::/user.slice/me.service"))
    assert (leaf / "cgroup.procs").read_text() == "0"
    assert found.get("memory") is None  # the fake refuses again after the move: nothing is claimed


def test_nothing_is_claimed_where_nothing_is_mounted(tmp_path: Path) -> None:
    assert detect(a_mountinfo(tmp_path), an_own(tmp_path, "0::/")) == {}


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def life() -> Iterator[Life]:
    assert UNIFIED is not None
    made = Life({"freezer": Place(2, UNIFIED / "upcall")}, f"test-{os.getpid()}")
    made.make()
    yield made
    paths = [str(path) for path in made.paths]
    guardian.clean(paths, None)
    guardian.leave(paths)
    assert not made.paths[0].exists()


def a_counter(group: Group, file: Path) -> subprocess.Popen[bytes]:
    """A process of the group that writes on and on."""
    process = subprocess.Popen(["/bin/sh", "-c", f"read go; while :; do echo >> {file}; done"], stdin=subprocess.PIPE)
    (group.paths[0] / "cgroup.procs").write_text(str(process.pid))
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    wait_for(file.exists)
    return process


@usable
def test_a_frozen_group_of_version_2_stands_still_until_it_is_thawed(life: Life, tmp_path: Path) -> None:
    group = life.group("1", 0, 0)
    process = a_counter(group, tmp_path / "out")
    group.freeze()
    wait_for(group.frozen)
    size = (tmp_path / "out").stat().st_size
    time.sleep(0.05)
    assert (tmp_path / "out").stat().st_size == size
    group.thaw()
    wait_for(lambda: (tmp_path / "out").stat().st_size > size)
    assert not group.frozen()
    process.kill()
    process.wait()
    group.close()


@usable
def test_cleaning_a_life_kills_what_is_frozen_in_it(life: Life, tmp_path: Path) -> None:
    group = life.group("1", 0, 0)
    process = a_counter(group, tmp_path / "out")
    group.freeze()
    wait_for(group.frozen)
    guardian.clean([str(path) for path in life.paths], str(tmp_path))
    assert process.wait(5) == -9
    assert not group.paths[0].exists()
    assert not tmp_path.exists()
    tmp_path.mkdir()
    group.close()
