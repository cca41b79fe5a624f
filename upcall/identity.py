"""Which Invoker this is: its number, by which its topic, its records and its share of the load are found.

The number is the one that `--id` gives. Else it is the ordinal at the end of the host's name, `invoker-3`, but only in
a pod of a StatefulSet, or where `--id-from-hostname` says so: a node called `ip-10-0-0-12` must not become Invoker 12.
Else there is none (spec: invoker.md §4; ids that ZooKeeper keeps are not in this version).

Nothing in a pod says what made it, so it is told by what is there. Kubernetes gives a pod's host name no dot, and
pods of Deployments, DaemonSets and Jobs five random characters of `bcdfghjklmnpqrstvwxz2456789` at its end, which may
all be digits; an ordinal has no leading zero and, here, four digits at most. A pod that shares the network of its node
has the node's name, and the kubelet says so in the first line of its /etc/hosts. A pod that somebody made by hand with
a name like `worker-1` cannot be told from one of a StatefulSet.
"""

import re
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from upcall.errors import Misconfigured

ORDINAL = re.compile(r".*[^-.]-(0|[1-9]\d{0,3})")
ADDRESS = re.compile(r"(.*-)?\d{1,3}(-\d{1,3}){3}")
"""The end of names like `ip-10-0-0-12`."""
HOSTS = Path("/etc/hosts")
NODES_HOSTS = "# Kubernetes-managed hosts file (host network)"
WAYS = (
    "say which Invoker this is: --id N (or UPCALL_ID); or --id-from-hostname, where the host's name ends in a number "
    "of its own, as in invoker-3; or start it in a pod of a StatefulSet, whose ordinal it takes"
)


class Surroundings(msgspec.Struct, frozen=True):
    """What is known of where this process runs."""

    host_name: str
    pod: bool = False
    nodes_network: bool = False
    """Of a pod: that it shares the network, and so the name, of its node."""


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    pod = bool(environment.get("KUBERNETES_SERVICE_HOST"))
    return Surroundings(socket.gethostname(), pod, pod and _nodes_network())


def _nodes_network() -> bool:
    try:
        return HOSTS.read_text(errors="replace").startswith(NODES_HOSTS)
    except OSError:
        return False


def invoker_id(given: int | None, unique_name: str | None, from_hostname: bool, around: Surroundings) -> int:
    """The number. Raises Misconfigured with the ways to one."""
    if given is not None:
        return given
    if from_hostname:
        return _last_field(around.host_name)
    if unique_name is not None:
        raise Misconfigured(
            f"--uniqueName {unique_name} alone needs ids that ZooKeeper keeps, which this version does not have: give "
            "--id N, too"
        )
    ordinal = _ordinal(around)
    if ordinal is None:
        raise Misconfigured(WAYS)
    return ordinal


def _last_field(host_name: str) -> int:
    """As the operator vouches for it."""
    last = host_name.rpartition("-")[2]
    if not last.isascii() or not last.isdigit():
        raise Misconfigured(f"--id-from-hostname: the name of this host, {host_name}, does not end in -N; give --id N")
    return int(last)


def _ordinal(around: Surroundings) -> int | None:
    if not around.pod or around.nodes_network or ADDRESS.fullmatch(around.host_name):
        return None
    match = ORDINAL.fullmatch(around.host_name) if "." not in around.host_name else None
    return int(match[1]) if match else None


def beyond(number: int, environment: Mapping[str, str]) -> list[str]:
    """Remarks where a deployment says how many Invokers there are, and this is none of them."""
    return [
        f"this is Invoker {number}, but {name}={count} says they are 0 to {int(count) - 1}: is one of the two wrong?"
        for name in ("INVOKER_INSTANCES", "INVOKER_COUNT")
        if (count := environment.get(name, "").strip()).isdecimal() and number >= int(count)
    ]
