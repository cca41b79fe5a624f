"""What a host lets be done, read from its files alone; `root` may be another host's, or a made one."""

import os
import platform
import resource
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["absent", "file", "directory", "socket", "other", "unseen"]
SOCKETS = (
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/var/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
)
LIBRARIES = ("/usr/lib/x86_64-linux-gnu/libapparmor.so.1", "/usr/lib/aarch64-linux-gnu/libapparmor.so.1")
FOLDERS = ("/var/lib/docker/containers", "/dind/docker/containers", "/var/log/pods", "/run/runc", "/sys/fs/cgroup")
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


class Place(msgspec.Struct, frozen=True):
    """`usable`: whether this process may read and write it."""

    kind: Kind
    usable: bool = False
    group: int = -1


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
    selinux: bool
    apparmor: bool
    places: Mapping[str, Place]
    disks: Mapping[str, Disk]
    numbers: Mapping[str, int]
    files: int
    tun: bool


def gather(root: Path = Path("/")) -> Node:
    return Node(
        arch=platform.machine(),
        kernel=platform.release(),
        system=_system(root),
        root=os.geteuid() == 0,
        cgroup=_cgroup(root),
        selinux=_text(root / "sys/fs/selinux/enforce") == "1",
        apparmor=_text(root / "sys/module/apparmor/parameters/enabled") == "Y",
        places={path: _place(root / path[1:]) for path in (*SOCKETS, *LIBRARIES, *FOLDERS)},
        disks=dict(_disks(root)),
        numbers={name: int(text) for name in NUMBERS if (text := _text(root / "proc/sys" / name)).isdigit()},
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        tun=(root / "dev/net/tun").exists(),
    )


def _system(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return "Linux"


def _cgroup(root: Path) -> Literal[0, 1, 2]:
    if (root / "sys/fs/cgroup/cgroup.controllers").exists():
        return 2
    return 1 if (root / "sys/fs/cgroup/memory").exists() else 0


def _place(path: Path) -> Place:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Place("absent")
    except OSError:
        return Place("unseen")
    return Place(_kind(found.st_mode), os.access(path, os.R_OK | os.W_OK), found.st_gid)


def _kind(mode: int) -> Kind:
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else "other"


def _disks(root: Path) -> Iterator[tuple[str, Disk]]:
    """One path for each file system."""
    seen: set[int] = set()
    for path in DISKS:
        place = root / path[1:]
        try:
            device, found = place.stat().st_dev, os.statvfs(place)
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        size = found.f_frsize * found.f_blocks
        yield path, Disk(found.f_frsize * found.f_bavail, size, bool(found.f_flag & os.ST_RDONLY))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
