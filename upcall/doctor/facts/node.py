"""What a host lets be done, read from its files and its Docker engine; `root` may be another host's, or a made one.

    python -m upcall.doctor.facts.node --root /host     prints it as JSON

In a pod the host's folders are mounted one by one below `root`, read-only: so whether a file system can be written to
is what the host's own table of mounts says, and what is in no mounted folder is unseen.
"""

import os
import platform
import resource
import stat
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from upcall.doctor.facts import clock
from upcall.doctor.facts.engine import Engine
from upcall.doctor.facts.engine import gather as ask
from upcall.doctor.facts.paths import Mounts, mounts, read, resolve

Kind = Literal["absent", "file", "directory", "socket", "other", "unseen"]
DOCKER = "/var/run/docker.sock"
SOCKETS = (
    DOCKER,
    "/run/containerd/containerd.sock",
    "/run/dockershim.sock",
    "/run/cri-dockerd.sock",
    "/var/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
)
LIBRARIES = ("/usr/lib/x86_64-linux-gnu/libapparmor.so.1", "/usr/lib/aarch64-linux-gnu/libapparmor.so.1")
FOLDERS = ("/var/lib/docker/containers", "/dind/docker/containers", "/var/log/pods", "/run/runc", "/sys/fs/cgroup")
CANDIDATES = (*SOCKETS, *LIBRARIES, *FOLDERS)
DISKS = ("/", "/var", "/var/lib/docker", "/var/lib/containerd")
NUMBERS = (
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "fs/file-max",
    "kernel/pid_max",
    "kernel/threads-max",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "user/max_user_namespaces",
)


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """`usable`: whether this process may read and write it. `mode`: its permissions. `read_only`: whether nothing can
    be made there, of what is absent, too."""

    kind: Kind
    usable: bool = False
    group: int = -1
    mode: int = 0
    read_only: bool = False


class Disk(msgspec.Struct, frozen=True):
    """Bytes."""

    free: int
    size: int
    read_only: bool


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """`numbers`: of /proc/sys, those that are there. `files`: open files that a process may have at most."""

    arch: str
    kernel: str
    system: str
    root: bool
    cgroup: Literal[0, 1, 2]
    selinux: Literal["off", "permissive", "enforcing"]
    apparmor: bool
    places: Mapping[str, Place]
    disks: Mapping[str, Disk]
    numbers: Mapping[str, int]
    files: int
    tun: bool
    name: str = ""
    """In a cluster; empty: this host."""
    controllers: Sequence[str] = ()
    """Of cgroups."""
    engine: Engine | None = None
    """Docker's, where it has a socket."""
    clock_off: float | None = None
    """Seconds that its clock is ahead of the API server's; None where nobody was asked."""

    @property
    def said(self) -> str:
        return f"node {self.name}" if self.name else "this host"

    def kind(self, path: str) -> Kind:
        return self.places[path].kind if path in self.places else "unseen"


def gather(root: Path = Path("/"), more: Iterable[str] = ()) -> Node:
    """`more`: other paths to look at."""
    table = _mounts(root)
    system = _said(read(root, "/etc/os-release"))
    places = {path: _place(root, path, table) for path in (*CANDIDATES, *more)}
    return Node(
        arch=read(root, "/proc/sys/kernel/arch") or platform.machine(),
        kernel=read(root, "/proc/sys/kernel/osrelease") or platform.release(),
        system=system,
        root=os.geteuid() == 0,
        cgroup=(cgroup := _cgroup(root)),
        controllers=_controllers(root, cgroup),
        selinux=_selinux(root),
        apparmor=read(root, "/sys/module/apparmor/parameters/enabled") == "Y",
        places=places,
        disks=dict(_disks(root, table)),
        numbers={name: int(text) for name in NUMBERS if (text := read(root, f"/proc/sys/{name}")).isdigit()},
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        tun=(root / "dev/net/tun").exists(),
        engine=ask(root / resolve(root, DOCKER)[1:]) if places[DOCKER].kind == "socket" else None,
    )


def _said(release: str) -> str:
    for line in release.splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return "Linux"


def _cgroup(root: Path) -> Literal[0, 1, 2]:
    if (root / "sys/fs/cgroup/cgroup.controllers").exists():
        return 2
    return 1 if (root / "sys/fs/cgroup/memory").exists() else 0


def _controllers(root: Path, cgroup: int) -> Sequence[str]:
    if cgroup == 2:
        return read(root, "/sys/fs/cgroup/cgroup.controllers").split()
    lines = (line.split() for line in read(root, "/proc/cgroups").splitlines() if not line.startswith("#"))
    return [each[0] for each in lines if cgroup and each[-1:] == ["1"]]


def _selinux(root: Path) -> Literal["off", "permissive", "enforcing"]:
    match read(root, "/sys/fs/selinux/enforce"):
        case "1":
            return "enforcing"
        case "0":
            return "permissive"
    return "off"


def _mounts(root: Path) -> Mounts | None:
    """None where they are not known: then each file system is asked."""
    text = read(root, "/proc/self/mountinfo" if root == Path("/") else "/proc/1/mountinfo")
    return mounts(text) if text else None


def _place(root: Path, path: str, table: Mounts | None) -> Place:
    try:
        there = resolve(root, path)
        found = (root / there[1:]).lstat()
    except (FileNotFoundError, NotADirectoryError):
        if _framed(root) and not (root / there.split("/")[1]).exists():
            return Place("unseen")
        return Place("absent", read_only=_read_only(root, there, table))
    except OSError:
        return Place("unseen")
    usable = os.access(root / there[1:], os.R_OK | os.W_OK)
    read_only = _read_only(root, there, table)
    return Place(_kind(found.st_mode), usable, found.st_gid, stat.S_IMODE(found.st_mode), read_only)


def _framed(root: Path) -> bool:
    """Whether folders of the host are mounted there, and it is not the host's root itself."""
    try:
        return (root / "etc").stat().st_dev != root.stat().st_dev
    except OSError:
        return False


def _read_only(root: Path, path: str, table: Mounts | None) -> bool:
    if table is not None:
        return table.read_only(path)
    place = root / path[1:]
    while not place.exists() and place != root:
        place = place.parent
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _kind(mode: int) -> Kind:
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def _disks(root: Path, table: Mounts | None) -> Iterator[tuple[str, Disk]]:
    """One path for each file system."""
    seen: set[int] = set()
    for path in DISKS:
        if path == "/" and _framed(root):
            continue
        try:
            there = resolve(root, path)
            place = root / there[1:]
            device, found = place.stat().st_dev, os.statvfs(place)
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        size = found.f_frsize * found.f_blocks
        yield path, Disk(found.f_frsize * found.f_bavail, size, _read_only(root, there, table))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print it, with the distance to the API server's clock where this is in a pod."""
    parser = ArgumentParser("upcall.doctor.facts.node")
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--path", action="append", default=[], help="another one to look at")
    parser.add_argument("--name", default="", help="the node's")
    asked = parser.parse_args(arguments)
    found = gather(asked.root, asked.path)
    found = msgspec.structs.replace(found, name=asked.name, clock_off=clock.ahead(clock.in_pod(), time.time))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
