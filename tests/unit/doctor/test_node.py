"""A host's files are read from where they lie."""

import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from upcall.doctor.facts.node import Node, gather


def test_a_made_root_is_read(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/x86_64-linux-gnu/libapparmor.so.1").mkdir(parents=True)
    (tmp_path / "var/run").mkdir(parents=True)
    (tmp_path / "proc/sys/fs/inotify").mkdir(parents=True)
    (tmp_path / "proc/sys/fs/inotify/max_user_instances").write_text("8\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME=x\nPRETTY_NAME="Flatcar Container Linux"\n')
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpu memory")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "var/run/docker.sock"))
        node = gather(tmp_path)
    assert node.places["/usr/lib/x86_64-linux-gnu/libapparmor.so.1"].kind == "directory"
    assert node.places["/var/run/docker.sock"].kind == "socket"
    assert node.places["/run/containerd/containerd.sock"].kind == "absent"
    assert node.numbers == {"fs/inotify/max_user_instances": 8}
    assert (node.system, node.cgroup, node.tun) == ("Flatcar Container Linux", 2, False)
    assert set(node.disks) == {"/"}


def test_this_machine_is_read() -> None:
    node = gather()
    assert node.kernel
    assert node.disks["/"].size > node.disks["/"].free > 0
    assert node.files > 0


def test_what_was_read_is_printed_as_json(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Talos (v1.7.0)"\n')
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-m", "upcall.doctor.facts.node", "--root", str(tmp_path), "--path", "/data"]
    done = subprocess.run([*command, "--name", "a"], check=True, capture_output=True, text=True)
    node = msgspec.json.decode(done.stdout, type=Node)
    assert (node.said, node.system, node.kind("/data")) == ("node a", "Talos (v1.7.0)", "directory")
    assert node.places["/var/run/docker.sock"].kind == "absent"
