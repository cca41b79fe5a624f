"""Where a container's cgroups are, as different hosts tell it."""

import os
from pathlib import Path

import pytest

from upcall.containers.docker.freezer import Freezer, places_of
from upcall.containers.sandbox.cgroups import Place

ID = "0123456789abcdef" * 4


class Host:
    """`/proc` of a process 7 and of this one, and trees of cgroups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "7").mkdir()
        self._mounts: list[str] = []
        self._lines: list[str] = []

    def tree(self, name: str, kind: str, options: str, group: str, *files: str, root: str = "/") -> Path:
        """A mounted hierarchy in which process 7 is in `group`."""
        folder = self.folder / name
        inside = folder / group.removeprefix(root.rstrip("/")).lstrip("/")
        inside.mkdir(parents=True)
        for file in files:
            (inside / file).touch()
        self._mounts.append(f"30 25 0:26 {root} {folder} rw shared:1 - {kind} {kind} rw,{options}")
        self._lines.append(f"{len(self._lines)}:{options if kind == 'cgroup' else ''}:{group}")
        (self.proc / "self/mountinfo").write_text("22 1 0:21 / /proc rw - proc proc rw\n" + "\n".join(self._mounts))
        (self.proc / "7/cgroup").write_text("\n".join(self._lines) + "\n")
        return inside

    def places(self, id: str = ID) -> dict[str, Place]:
        return places_of(7, id, self.proc)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_version_1_has_a_tree_for_each(host: Host) -> None:
    memory = host.tree("memory", "cgroup", "memory", f"/docker/{ID}", "memory.oom_control")
    freezer = host.tree("freezer", "cgroup", "cpu,freezer", f"/docker/{ID}", "freezer.state")
    host.tree("pids", "cgroup", "pids", f"/docker/{ID}")
    assert host.places() == {"memory": Place(1, memory), "freezer": Place(1, freezer)}


def test_version_2_has_one_whatever_the_engine_names_its_scopes(host: Host) -> None:
    scope = host.tree("tree", "cgroup2", "", f"/system.slice/docker-{ID}.scope", "memory.events", "cgroup.freeze")
    assert host.places() == {"memory": Place(2, scope), "freezer": Place(2, scope)}


def test_a_hybrid_host_has_version_2_beside_what_counts(host: Host) -> None:
    memory = host.tree("memory", "cgroup", "memory", f"/docker/{ID}", "memory.oom_control")
    unified = host.tree("unified", "cgroup2", "", f"/docker/{ID}", "cgroup.freeze")
    assert host.places() == {"memory": Place(1, memory), "freezer": Place(2, unified)}


def test_a_part_of_a_tree_may_be_mounted(host: Host) -> None:
    group = host.tree("memory", "cgroup", "memory", f"/pod/docker/{ID}", "memory.oom_control", root="/pod")
    assert group == host.folder / "memory/docker" / ID
    assert host.places() == {"memory": Place(1, group)}


def test_a_process_that_is_not_the_containers_is_somebody_else(host: Host) -> None:
    host.tree("memory", "cgroup", "memory", "/user.slice", "memory.oom_control")
    assert host.places() == {}


def test_what_is_not_seen_from_here_is_nowhere(host: Host) -> None:
    host.tree("memory", "cgroup", "memory", f"/docker/{ID}")
    assert host.places() == {}
    assert Freezer(host.proc).find(8, ID) is None


def test_a_freezer_that_may_not_be_written_to_leaves_the_counters(host: Host) -> None:
    memory = host.tree("memory", "cgroup", "memory", f"/docker/{ID}", "memory.oom_control")
    freezer = host.tree("freezer", "cgroup", "freezer", f"/docker/{ID}")
    (freezer / "freezer.state").mkdir()  # not to be opened for writing, by root neither
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    grip = Freezer(host.proc).find(7, ID)
    assert grip is not None
    assert not grip.can_freeze
    assert grip.oom_kills() == 3
    grip.close()


@pytest.mark.parametrize("pid", [0, -1, 1 << 30])
def test_a_process_that_is_not_there_is_not_reached(pid: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert Freezer().reach(pid, ID) is None
    assert Freezer().reach(os.getpid(), ID) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_before_the_first_container_nobody_knows_by_what_they_are_paused() -> None:
    freezer = Freezer()
    assert freezer.how == "not tried yet"
    freezer.reach(os.getpid(), ID)
    assert freezer.how == "the engine"
    freezer.works = True
    assert freezer.how == "the freezer file"
