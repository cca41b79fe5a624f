"""What a host's files show (spec: kubernetes.md §9, §10)."""

from collections.abc import Callable, Iterator

from upcall.doctor.facts.node import DOCKER, LIBRARIES, Node
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import CommandPatch, Finding
from upcall.model.sizes import MB

FULL, SMALL = 0.03, 1024 * MB
"""A disk is full that has less than this part of itself left, and fewer bytes than that."""
LEAST = {"fs/inotify/max_user_instances": 64, "fs/file-max": 65536, "kernel/pid_max": 16384}
WANTED = {"fs/inotify/max_user_instances": 8192, "fs/file-max": 1_000_000, "kernel/pid_max": 4_194_304}
FILES = 1024


def directories(node: Node) -> Iterator[Finding]:
    """Where a mount without a type has made one."""
    for path in LIBRARIES:
        if path in node.places and node.places[path].kind == "directory":
            patch = CommandPatch(argv=("rmdir", path))
            yield FAILURES["HOST-02"].found(node.said, f"{path} is a directory", patch, {"path": path})
    if DOCKER in node.places and node.places[DOCKER].kind == "directory":
        patch = CommandPatch(argv=("rmdir", DOCKER))
        yield FAILURES["HOST-04"].found(node.said, f"{DOCKER} is a directory", patch, {"path": DOCKER})


def socket(node: Node) -> Iterator[Finding]:
    found = node.places.get(DOCKER)
    if found is not None and found.kind == "socket" and not found.usable:
        words = {"path": DOCKER, "group": f" ({found.group})"}
        fix = f"supplementalGroups: [{found.group}]"
        told = FAILURES["HOST-05"].found(node.said, f"{DOCKER} is for group {found.group}", None, words)
        yield told.but(severity="warning", fix=told.fix.replace("supplementalGroups: [GID]", fix))


def disks(node: Node) -> Iterator[Finding]:
    for path, disk in node.disks.items():
        if not disk.read_only and disk.size and disk.free < SMALL and disk.free / disk.size < FULL:
            evidence = f"{path}: {disk.free // MB} of {disk.size // MB} MB are free"
            yield FAILURES["HOST-12"].found(node.said, evidence, None, {"node": node.said})


def limits(node: Node) -> Iterator[Finding]:
    for name, least in LEAST.items():
        if (there := node.numbers.get(name)) is not None and there < least:
            key = name.replace("/", ".")
            patch = CommandPatch(argv=("sysctl", "-w", f"{key}={WANTED[name]}"))
            words = {"limit": f"{key} is {there}", "setting": f"sysctl -w {key}={WANTED[name]}"}
            yield FAILURES["HOST-14"].found(node.said, f"{key} = {there}", patch, words)
    if node.files < FILES:
        words = {"limit": f"{node.files} open files", "setting": "ulimit -n 65536, or LimitNOFILE= of the service"}
        yield FAILURES["HOST-14"].found(node.said, f"RLIMIT_NOFILE {node.files}", None, words)


CHECKS: tuple[Callable[[Node], Iterator[Finding]], ...] = (directories, socket, disks, limits)
