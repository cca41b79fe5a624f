"""Root folders of hosts, one for each row of the matrix (spec: kubernetes.md §9), as the doctor's pod sees them."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from upcall.doctor.facts.engine import Engine
from upcall.doctor.facts.node import DOCKER, LIBRARIES
from upcall.manifests.wanted import Driver

CONTAINERD = "/run/containerd/containerd.sock"
LOGS = "/var/lib/docker/containers"
X86, ARM = LIBRARIES
ENGINE = Engine(
    version="20.10.24", api="1.41", oldest="1.12", root="/var/lib/docker", logs="json-file", storage="overlay2",
    cgroup="2", runc="1.1.5",
)  # fmt: skip
"""Of Docker."""


class Row(NamedTuple):
    """`fixed`: mount points that nobody can write to. `seed`: what the manifest of 2017 is blamed for there; `profile`:
    of `upcall manifests`."""

    name: str
    system: str
    profile: str
    driver: Driver
    sockets: tuple[str, ...] = (DOCKER,)
    library: str = ""
    logs: str = "/var/log/pods"
    cgroup: int = 2
    fixed: tuple[str, ...] = ()
    selinux: str = ""
    arch: str = "x86_64"
    seed: tuple[str, ...] = ()


def _containerd(
    name: str, system: str, profile: str, *, fixed: bool = False, selinux: str = "", socket: str = CONTAINERD,
    library: str = "", cgroup: int = 2,
) -> Row:  # fmt: skip
    lost = "HOST-01" if fixed else "HOST-02"
    seed = ("HOST-03", *([] if library else [lost]), *(["HOST-08"] if cgroup == 2 else []))
    return Row(
        name, system, profile, "kubernetes", (socket,), library, cgroup=cgroup, selinux=selinux,
        fixed=("/usr",) if fixed else (), seed=tuple(sorted(seed)),
    )  # fmt: skip


ROWS = (
    Row("ubuntu-20", "Ubuntu 20.04.6 LTS", "ubuntu-docker", "docker", library=X86, logs=LOGS, cgroup=1),
    Row("ubuntu-22", "Ubuntu 22.04.4 LTS", "ubuntu-docker", "docker", library=X86, logs=LOGS, seed=("HOST-08",)),
    Row(
        "arm64", "Debian GNU/Linux 12 (bookworm)", "ubuntu-docker", "docker", library=ARM, logs=LOGS, arch="aarch64",
        seed=("HOST-02", "HOST-08"),
    ),
    Row(
        "coreos-old", "Container Linux by CoreOS 2135.6.0 (Rhyolite)", "flatcar", "docker", logs=LOGS, cgroup=1,
        fixed=("/usr",), selinux="0", seed=("HOST-01",),
    ),
    _containerd("flatcar", "Flatcar Container Linux by Kinvolk 3815.2.5", "rhel", fixed=True, selinux="0"),
    _containerd("bottlerocket", "Bottlerocket OS 1.19.2 (aws-k8s-1.29)", "bottlerocket", fixed=True, selinux="1"),
    _containerd(
        "bottlerocket-old", "Bottlerocket OS 1.0.0 (aws-k8s-1.17)", "bottlerocket", fixed=True, selinux="1",
        socket="/run/dockershim.sock", cgroup=1,
    ),
    _containerd(
        "openshift", "Red Hat Enterprise Linux CoreOS 414.92", "openshift", fixed=True, selinux="1",
        socket="/var/run/crio/crio.sock",
    ),
    _containerd("rhel-8", "Rocky Linux 8.9 (Green Obsidian)", "rhel", selinux="1", cgroup=1),
    _containerd("rhel-9", "Red Hat Enterprise Linux 9.3 (Plow)", "rhel", selinux="1"),
    Row("eks-docker", "Amazon Linux 2", "ubuntu-docker", "docker", logs=LOGS, cgroup=1, seed=("HOST-02",)),
    _containerd("eks", "Amazon Linux 2023.4.20240401", "eks"),
    _containerd("gke", "Container-Optimized OS from Google", "gke", fixed=True),
    _containerd("aks", "Ubuntu 22.04.4 LTS", "aks", library=X86),
    _containerd("iks", "Ubuntu 20.04.6 LTS", "iks", library=X86, cgroup=1),
    _containerd("kind", "Debian GNU/Linux 12 (bookworm)", "kind"),
    Row(
        "minikube", "Buildroot 2023.02.9", "minikube", "docker", (DOCKER, "/run/cri-dockerd.sock"), logs=LOGS,
        seed=("HOST-02", "HOST-08"),
    ),
    Row("docker-desktop", "Docker Desktop", "docker-desktop", "docker", logs=LOGS, seed=("HOST-02", "HOST-08")),
    _containerd("k3s", "K3s v1.29", "k3s", socket="/run/k3s/containerd/containerd.sock"),
    _containerd(
        "microk8s", "Ubuntu 22.04.4 LTS", "microk8s", socket="/var/snap/microk8s/common/run/containerd.sock",
        library=X86,
    ),
    _containerd("talos", "Talos (v1.7.0)", "talos", fixed=True),
    Row(
        "dind", "Debian GNU/Linux 9 (stretch)", "dind", "docker", library=X86, logs="/dind/docker/containers", cgroup=1,
        seed=("HOST-07",),
    ),
    Row("none", "Alpine Linux v3.19", "any", "process", (), cgroup=1, seed=("HOST-02", "HOST-03")),
)  # fmt: skip


def make(root: Path, row: Row) -> Path:
    """Its files; sockets nobody listens on. /var/run is a link, absolute, as hosts have it."""
    for folder in ("run", "var", "usr/lib", "etc", "sys/fs/cgroup", "proc/1", "proc/sys/kernel", "proc/sys/fs/inotify"):
        (root / folder).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    for path in row.sockets:
        socket(root, path)
    if row.library:
        write(root, row.library, "ELF")
    (root / row.logs[1:]).mkdir(parents=True)
    write(root, "/etc/os-release", f'NAME=x\nPRETTY_NAME="{row.system}"\n')
    if row.cgroup == 2:
        write(root, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    else:
        (root / "sys/fs/cgroup/memory").mkdir()
        write(root, "/proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t9\t1\npids\t6\t9\t1\n")
    if row.selinux:
        write(root, "/sys/fs/selinux/enforce", row.selinux)
    write(root, "/proc/sys/kernel/arch", row.arch)
    write(root, "/proc/sys/kernel/osrelease", "6.1.0-18" if row.cgroup == 2 else "5.4.0-174")
    write(root, "/proc/sys/fs/inotify/max_user_instances", "128")
    points = [("/", "rw"), ("/run", "rw"), *((point, "ro") for point in row.fixed)]
    lines = [f"{20 + n} 1 8:{n} / {point} {how},relatime - ext4 /dev/{n} rw" for n, (point, how) in enumerate(points)]
    write(root, "/proc/1/mountinfo", "\n".join(lines))
    return root


def socket(root: Path, path: str, mode: int = 0o660) -> None:
    there = root / path.replace("/var/run/", "/run/")[1:]
    there.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(there, stat.S_IFSOCK | mode)
    there.chmod(mode)


def write(root: Path, path: str, text: str) -> None:
    there = root / path[1:]
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(text)
