"""What is peculiar to a Kubernetes pod.

Its control groups are its own, bound read-only to where a host has all of them. Who has CAP_SYS_ADMIN may have them
written to, in the mount namespace of the pod's container alone. What is made below counts for the pod, so its limits
hold for all actions together.

Its node is no address of its own, and what the pod may ask of the cluster's API no action may: both are refused to
actions as a host's own addresses are.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from upcall.runtimes.python import linux

_IN_POD = "KUBERNETES_SERVICE_HOST"
"""A variable that the kubelet sets in each container: the API's address."""
_NODE = "NODE_IP"
"""One that manifests set: the node's address."""
_RANGES = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")))
"""That are nobody's in the internet."""
_FLAGS = {"nosuid": linux.MS_NOSUID, "nodev": linux.MS_NODEV, "noexec": linux.MS_NOEXEC}


def here() -> bool:
    return _IN_POD in os.environ


def open_cgroups(mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Make them writable; nothing outside of a pod, and where it is not allowed."""
    if here():
        for folder, flags in _closed(mountinfo):
            with contextlib.suppress(OSError):
                linux.mount("none", folder, None, linux.MS_REMOUNT | linux.MS_BIND | flags)


def _closed(mountinfo: Path) -> Iterator[tuple[str, int]]:
    """Where read-only hierarchies are, and with which flags."""
    for line in mountinfo.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        folder, options = fields.split(" ")[4:6]
        words = options.split(",")
        if rest.split(" ")[0] in ("cgroup", "cgroup2") and "ro" in words:
            yield folder, sum(flag for name, flag in _FLAGS.items() if name in words)


def guarded(routes: Path = Path("/proc/net/route")) -> list[IPv4Network]:
    """The cluster's API, the pod's node and its gateways; nothing outside of a pod."""
    if not here():
        return []
    with routes.open() as file:
        fields = [line.split() for line in file.readlines()[1:]]
    found = {IPv4Address(bytes.fromhex(gateway)[::-1]) for _, _, gateway, *_ in fields if int(gateway, 16)}
    return [IPv4Network(address) for address in sorted({*found, *_known(_NODE), *_known(_IN_POD)})]


def kept(own: Iterable[IPv4Network]) -> list[IPv4Network]:
    """Where the cluster's addresses may be, to which a pod has no routes of their own: the ranges of those that it
    knows, its `own` and the API's. Nothing outside of a pod."""
    if not here():
        return []
    known = [*own, *map(IPv4Network, _known(_IN_POD))]
    return [range_ for range_ in _RANGES if any(range_.overlaps(network) for network in known)]


def _known(name: str) -> list[IPv4Address]:
    with contextlib.suppress(ValueError):  # missing, a name, or of IPv6, which actions do not reach
        return [IPv4Address(os.environ.get(name, ""))]
    return []
