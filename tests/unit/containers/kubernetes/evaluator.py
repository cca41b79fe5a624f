"""What NetworkPolicies let through, by the API's rules (networking.k8s.io/v1), as far as ours use them."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec


class Pod(msgspec.Struct, frozen=True):
    """Or, without a namespace, any other host."""

    address: str
    namespace: str = ""
    labels: Mapping[str, str] = {}


def passes(policies: Sequence[Mapping[str, Any]], source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection is let out of its source and into its target."""
    return _side(policies, "Egress", source, target, port, protocol) and _side(
        policies, "Ingress", target, source, port, protocol
    )


def _side(policies: Sequence[Mapping[str, Any]], kind: str, own: Pod, other: Pod, port: int, protocol: str) -> bool:
    about = [
        policy["spec"]
        for policy in policies
        if own.namespace == policy["metadata"]["namespace"]
        and _has(own.labels, policy["spec"]["podSelector"])
        and kind in policy["spec"]["policyTypes"]
    ]
    rules = [rule for spec in about for rule in spec.get(kind.lower(), ())]
    peers = "from" if kind == "Ingress" else "to"
    return not about or any(
        _port(rule.get("ports"), port, protocol)
        and (not rule.get(peers) or any(_peer(each, other) for each in rule[peers]))
        for rule in rules
    )


def _port(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    return not ports or any((each["port"], each.get("protocol", "TCP")) == (port, protocol) for each in ports)


def _peer(peer: Mapping[str, Any], pod: Pod) -> bool:
    if block := peer.get("ipBlock"):
        address, out = ip_address(pod.address), [ip_network(each) for each in block.get("except", ())]
        return address in ip_network(block["cidr"]) and not any(address in each for each in out)
    return (
        bool(pod.namespace)
        and _has({"kubernetes.io/metadata.name": pod.namespace}, peer["namespaceSelector"])
        and _has(pod.labels, peer["podSelector"])
    )


def _has(labels: Mapping[str, str], selector: Mapping[str, Any]) -> bool:
    wanted: Mapping[str, str] = selector["matchLabels"]
    return wanted.items() <= labels.items()
