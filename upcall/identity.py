"""Which Invoker this is: its number, by which its topic, its records and its share of the load are found.

The number is the one that `--id` gives. Else, where there is a unique name, it is the one that ZooKeeper keeps for it,
as OpenWhisk's Invokers have theirs: that is a `Claim`, made good when the process starts (`upcall.zookeeper`), never
where settings are only shown. Else it is the ordinal at the end of the host's name, `invoker-3`, but only in a pod of a
StatefulSet, or where `--id-from-hostname` says so: a node called `ip-10-0-0-12` must not become Invoker 12. Else there
is none (spec: invoker.md §4).

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
from upcall.extras import missing

ORDINAL = re.compile(r".*[^-.]-(0|[1-9]\d{0,3})")
ADDRESS = re.compile(r"(.*-)?\d{1,3}(-\d{1,3}){3}")
"""The end of names like `ip-10-0-0-12`."""
HOSTS = Path("/etc/hosts")
NODES_HOSTS = "# Kubernetes-managed hosts file (host network)"
COUNTS = ("INVOKER_INSTANCES", "INVOKER_COUNT")
"""Variables with the number of Invokers, of two times (spec: kubernetes.md §1)."""
WAYS = (
    "say which Invoker this is: --id N (or UPCALL_ID); or --uniqueName NAME, whose number ZooKeeper keeps "
    "(ZOOKEEPER_HOSTS); or --id-from-hostname, where the host's name ends in a number of its own, as in invoker-3; or "
    "start it in a pod of a StatefulSet, whose ordinal it takes"
)


class Surroundings(msgspec.Struct, frozen=True):
    """What is known of where this process runs."""

    host_name: str
    pod: bool = False
    nodes_network: bool = False
    """Of a pod: that it shares the network, and so the name, of its node."""


class Claim(msgspec.Struct, frozen=True):
    """What to ask ZooKeeper for: the number of a name, or that it be `overwrite` from now on."""

    hosts: str
    name: str
    overwrite: int | None = None


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    pod = bool(environment.get("KUBERNETES_SERVICE_HOST"))
    return Surroundings(socket.gethostname(), pod, pod and _nodes_network())


def _nodes_network() -> bool:
    try:
        return HOSTS.read_text(errors="replace").startswith(NODES_HOSTS)
    except OSError:
        return False


def invoker_id(
    given: int | None,
    unique_name: str | None,
    from_hostname: bool,
    around: Surroundings,
    *,
    hosts: str = "",
    overwrite: int | None = None,
) -> int | Claim:
    """The number, or who has it. Raises Misconfigured with the ways to one."""
    if given is not None:
        return given
    if from_hostname:
        return _last_field(around.host_name)
    if unique_name:
        return _claim(hosts, unique_name, overwrite)
    if overwrite is not None:
        raise Misconfigured("--overwriteId N is for a name whose number ZooKeeper keeps: give --uniqueName NAME, too")
    ordinal = _ordinal(around)
    if ordinal is None:
        raise Misconfigured(WAYS)
    return ordinal


def _claim(hosts: str, name: str, overwrite: int | None) -> Claim:
    """The name becomes a node's."""
    if not hosts:
        raise Misconfigured(
            f"--uniqueName {name} without --id: ZooKeeper keeps its number; name that by --zookeeper-hosts HOST:PORT "
            "or the variable ZOOKEEPER_HOSTS, or give --id N, too"
        )
    if "/" in name or name in (".", ".."):
        raise Misconfigured(
            f"--uniqueName {name} cannot be a node of ZooKeeper, which keeps its number: a name has no '/' and is "
            "neither '.' nor '..'; give --id N, too, or another name"
        )
    return Claim(hosts, name, overwrite)


def claimed(claim: Claim) -> int:
    """What ZooKeeper says; blocks for some seconds at most. Raises Misconfigured."""
    try:
        from upcall.zookeeper import number_of
    except ImportError as error:
        raise missing("--uniqueName without --id", "kazoo") from error
    return number_of(claim.hosts, claim.name, claim.overwrite)


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
    """Remarks where a deployment says how many Invokers there are, and this is none of them, or says two numbers."""
    given = _counts(environment)
    differ = len({*map(int, given.values())}) > 1
    return [f"{' and '.join(f'{name}={text}' for name, text in given.items())} differ, and mean the same"] * differ + [
        f"this is Invoker {number}, but {name}={count} says they are 0 to {int(count) - 1}: is one of the two wrong?"
        for name, count in given.items()
        if number >= int(count)
    ]


def unlike(owner: str, replicas: int, environment: Mapping[str, str]) -> str | None:
    """The remark where a deployment's variables say another number than its StatefulSet, which is the one that counts:
    `kubectl scale` changes the set alone (spec: kubernetes.md §3)."""
    other = [f"{name}={text}" for name, text in _counts(environment).items() if int(text) != replicas]
    if not other:
        return None
    return (
        f"the StatefulSet {owner} has {replicas} replicas, and that is what counts; {' and '.join(other)} "
        "may be changed to the same number, or deleted: nothing depends on it"
    )


def _counts(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name in COUNTS if (text := environment.get(name, "").strip()).isdecimal()}
