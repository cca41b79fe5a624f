"""What a node shows together with what is deployed on it: mounts that are not there, sockets that may not be used, an
engine that is another one (spec: kubernetes.md §9, §10: HOST).

Where nothing mounts it, nothing on a node is missing.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from upcall.containers.docker.engine import NEWEST, OLDEST, parse_version
from upcall.doctor.checks.deployment import without
from upcall.doctor.checks.node import directories, disks, limits
from upcall.doctor.facts.deployment import Object, Workload
from upcall.doctor.facts.node import DOCKER, LIBRARIES, SOCKETS, Node
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Finding
from upcall.manifests.wanted import Driver

SKEW = 5.0
"""Seconds that clocks may be apart."""
NEWER = (6, 12)
"""From this Linux on old JDKs fail where cgroups are of version 2 alone."""
_JVM = re.compile(
    r"(?:^|/)(?:openwhisk/(?:controller|invoker|scheduler)|wurstmeister/kafka|confluentinc/cp-\w+:[3-6]\.\S+"
    r"|zookeeper:3\.[0-7])(?:[.:@-]|$)"
)
"""Images of OpenWhisk and of what is beside it that had those JDKs."""
_OWN_USER = "spc_t"


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A node, the Invokers that may be on it, and the images of all pods there."""

    node: Node
    invokers: Sequence[Workload] = ()
    images: Sequence[str] = ()


def driver(node: Node) -> Driver:
    """Which one fits a node best: of those whose engine is there (spec: kubernetes.md §9)."""
    if node.kind(DOCKER) == "socket":
        return "docker"
    return "kubernetes" if any(node.kind(path) == "socket" for path in SOCKETS) else "process"


def about(node: Node) -> Iterator[Finding]:
    for check in (directories, disks, limits):
        yield from check(node)


def unmakeable(host: Host) -> Iterator[Finding]:
    """A mount of what is not there, where nothing can be made."""
    for each, volume, path in _mounted(host):
        place = host.node.places.get(path)
        if place is not None and place.kind == "absent" and place.read_only:
            words = {"path": path, "volume": f"{volume} mount"}
            evidence = f"{host.node.said} ({host.node.system}): {path} is not there, and its file system is read-only"
            yield FAILURES["HOST-01"].found(each.said, evidence, without(each, volume), words)


def libraries(host: Host) -> Iterator[Finding]:
    """A mount of a library that is not there: an engine makes a directory of its name."""
    for each, volume, path in _mounted(host):
        place = host.node.places.get(path)
        if path in LIBRARIES and place is not None and place.kind == "absent" and not place.read_only:
            evidence = f"{host.node.said} ({host.node.arch}): {path} is not there"
            yield FAILURES["HOST-02"].found(each.said, evidence, without(each, volume), {"path": path})


def engines(host: Host) -> Iterator[Finding]:
    for each in _of_docker(host):
        why = host.node.engine.why if host.node.engine and not host.node.engine.denied else ""
        if host.node.kind(DOCKER) == "absent" or why:
            evidence = f"{host.node.said}: {DOCKER}: {why or 'no such file or directory'}"
            yield FAILURES["HOST-03"].found(each.said, evidence, None, {"node": host.node.said})


def access(host: Host) -> Iterator[Finding]:
    place = host.node.places.get(DOCKER)
    if place is None or place.kind != "socket":
        return
    for each in _of_docker(host):
        pod, own = each.pod.get("securityContext") or {}, each.main.get("securityContext") or {}
        if own.get("privileged"):
            continue
        if not _may(pod, own, place.group, place.mode):
            words = {"path": DOCKER, "group": f" ({place.group})"}
            evidence = f"{host.node.said}: {DOCKER} is for root and group {place.group}"
            found = FAILURES["HOST-05"].found(each.said, evidence, None, words)
            yield found.but(fix=found.fix.replace("GID", str(place.group)))
        elif host.node.selinux == "enforcing" and _type(pod, own) != _OWN_USER:
            evidence = f"{host.node.said}: SELinux enforces, and the pod is not of type {_OWN_USER}"
            yield FAILURES["HOST-05"].found(each.said, evidence, None, {"path": DOCKER})


def versions(host: Host) -> Iterator[Finding]:
    engine = host.node.engine
    if engine is None or not engine.api:
        return
    for each in _of_docker(host):
        if (said := each.variable("DOCKER_API_VERSION")) and (supported := beyond(said, engine.oldest, engine.api)):
            evidence = f"{host.node.said}: Docker {engine.version} speaks API {engine.oldest or '?'} to {engine.api}"
            words = {"client": said, "supported": supported}
            yield FAILURES["HOST-06"].found(each.said, evidence, None, words)


def own_versions(node: Node) -> Iterator[Finding]:
    """An engine that upcall itself cannot talk to."""
    engine = node.engine
    if engine is None or not engine.api:
        return
    ours = "{}.{}".format(*OLDEST), "{}.{}".format(*NEWEST)
    late, early = beyond(engine.api, ours[0], "9999.0"), beyond(engine.oldest or "1.12", "0.0", ours[1])
    if late or early:
        evidence = f"Docker {engine.version} speaks API {engine.oldest or '?'} to {engine.api}"
        words = {"client": f"{ours[0]} to {ours[1]}", "supported": late or early}
        found = FAILURES["HOST-06"].found(node.said, evidence, None, words)
        yield found.but(fix="Update Docker." if late else "Update upcall, or have Docker speak an older API.")


def logs(host: Host) -> Iterator[Finding]:
    """An Invoker that reads containers' logs from files, and an engine that has them elsewhere, or nowhere."""
    node = host.node
    if node.kind(DOCKER) != "socket":
        return
    for each, _, path in _mounted(host):
        if _ours(each) or not path.endswith("/containers"):
            continue
        where = f"{node.engine.root}/containers" if node.engine and node.engine.root else ""
        how = node.engine.logs if node.engine else ""
        evidence = ""
        if where and where != path:
            evidence = f"{node.said}: Docker's folder is {where}, and {path} is mounted"
        elif not where and node.kind(path) == "absent" and not node.places[path].read_only:
            evidence = f"{node.said}: {path} is not there"
        elif how and how != "json-file":
            evidence = f"{node.said}: the log driver of Docker is {how}"
        if evidence:
            yield FAILURES["HOST-07"].found(each.said, evidence, None, {"path": path})


def freezing(host: Host) -> Iterator[Finding]:
    """Who pauses containers by runc, past the engine, cannot where cgroups are of version 2."""
    for each, volume, path in _mounted(host):
        by_engine = each.variable("CONFIG_whisk_docker_containerFactory_useRunc") in ("false", "False")
        if path.endswith("run/runc") and host.node.cgroup == 2 and not by_engine and not _ours(each):
            evidence = f"{host.node.said} has cgroup v2, and {each.said} mounts {path}"
            yield FAILURES["HOST-08"].found(each.said, evidence, without(each, volume))


def groups(node: Node) -> Iterator[Finding]:
    """An engine without the control groups that it makes containers in."""
    if not any(node.kind(path) == "socket" for path in SOCKETS):
        return
    lacking = [name for name in ("memory", "pids") if node.controllers and name not in node.controllers]
    if node.cgroup == 0 and node.kind("/sys/fs/cgroup") != "unseen":
        evidence = f"{node.said} has no cgroups at /sys/fs/cgroup"
    elif lacking:
        evidence = f"{node.said}: cgroup v{node.cgroup} without {', '.join(lacking)}"
    else:
        return
    yield (
        FAILURES["HOST-09"]
        .found(node.said, evidence)
        .but(
            fix="Have the kernel's controllers on (cgroup_enable=memory on its command line), and /sys/fs/cgroup "
            "mounted, as systemd does it."
        )
    )


def clocks(node: Node) -> Iterator[Finding]:
    yield from clock(node.said, node.clock_off)


def clock(where: str, ahead: float | None) -> Iterator[Finding]:
    """`ahead`: seconds, of the API server's; None where that is not known."""
    if ahead is not None and abs(ahead) > SKEW:
        off, side = f"{abs(ahead):.0f} s", "ahead of" if ahead > 0 else "behind"
        evidence = f"the clock of {where} is {off} {side} the API server's"
        yield FAILURES["HOST-15"].found(where, evidence, None, {"node": where, "off": off})


def machines(host: Host) -> Iterator[Finding]:
    """Images with old JDKs; newer tags of them may be well."""
    if host.node.cgroup != 2 or _release(host.node.kernel) < NEWER:
        return
    if found := sorted({each for each in host.images if _JVM.search(each)}):
        evidence = f"{host.node.said} has Linux {host.node.kernel} and cgroup v2; there is {', '.join(found[:3])}"
        yield FAILURES["HOST-16"].found(host.node.said, evidence).but(severity="warning")


def beyond(said: str, oldest: str, newest: str) -> str:
    """The bound that a version is beyond; empty where it is within, or none of them can be read."""
    try:
        version = parse_version(said)
        if version > parse_version(newest):
            return newest
        return oldest if oldest and version < parse_version(oldest) else ""
    except ValueError:
        return ""


def _mounted(host: Host) -> Iterator[tuple[Workload, str, str]]:
    for each in host.invokers:
        for _, volume, path in each.host_paths():
            yield each, volume, str(path.get("path", "")).rstrip("/")


def _ours(each: Workload) -> bool:
    """upcall's Invoker needs neither runc nor files of logs, and whatever mounts it has for them are not looked at."""
    return "upcall" in str(each.main.get("image", ""))


def _of_docker(host: Host) -> Iterator[Workload]:
    return (each for each, _, path in _mounted(host) if path in (DOCKER, DOCKER.removeprefix("/var")))


def _may(pod: Object, own: Object, group: int, mode: int) -> bool:
    """An image's own user is not known; of many it is root."""
    user = own.get("runAsUser", pod.get("runAsUser"))
    if user == 0 or mode & 0o006 == 0o006:
        return True
    given = {*(pod.get("supplementalGroups") or ()), pod.get("fsGroup"), own.get("runAsGroup", pod.get("runAsGroup"))}
    return group in given or (user is None and not own.get("runAsNonRoot", pod.get("runAsNonRoot")))


def _type(pod: Object, own: Object) -> str:
    return str((own.get("seLinuxOptions") or pod.get("seLinuxOptions") or {}).get("type", ""))


def _release(kernel: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", kernel)
    return (int(match[1]), int(match[2])) if match else (0, 0)


ALONE: tuple[Callable[[Node], Iterator[Finding]], ...] = (about, groups, clocks)
"""Of a node, whatever is deployed."""
CHECKS: tuple[Callable[[Host], Iterator[Finding]], ...] = (
    unmakeable, libraries, engines, access, versions, logs, freezing, machines,
)  # fmt: skip
