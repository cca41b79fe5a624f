"""NetworkPolicies about the pods in which actions run (spec: kubernetes.md §5.4). Pure: what the API is sent.

| `--action-network` | reach of actions                                                                               |
|--------------------|------------------------------------------------------------------------------------------------|
| private            | the platform, names (cluster DNS), the world; no other pod or Service, no metadata of clouds   |
| none               | the platform alone, no names                                                                   |
| host               | whatever their network leads to                                                                |

Nobody reaches them but the platform's pods, whichever runs actions: an Invoker, or `upcall serve`, which is both
(K8S-21). The kubelet's probes come through always, as do host network's pods with many plugins.

What the world is, a policy can only say by addresses: all but those that are nobody's in it. Clusters whose pods or
Services have public addresses name these (`inner`). Policies are carried out by the network's plugin; some have none.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from upcall.containers.kubernetes.labels import USER
from upcall.containers.kubernetes.options import Object
from upcall.containers.kubernetes.spec import PORT

Reach = Literal["none", "private", "host"]

NAME = "upcall-actions"
_LOCAL_DNS = "169.254.20.10/32"
"""Of a cache on each node, where a cluster has that."""
_NOT_THE_WORLD: Mapping[str, Sequence[str]] = {
    "0.0.0.0/0": (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    ),
    "::/0": ("::/127", "fc00::/7", "fe80::/10", "ff00::/8", "64:ff9b::/96"),
}
"""What of all addresses is private, the host's own, or for tests (RFC 6890); metadata services are link-local, and some
private. 64:ff9b::/96 leads to all of the first."""


def policies(
    namespace: str,
    platform: Mapping[str, str],
    *,
    home: str,
    release: str = "",
    reach: Reach = "private",
    api_ports: Sequence[int] = (8080,),
    inner: Sequence[str] = (),
) -> list[Object]:
    """For the actions' `namespace`. `platform` are labels that its pods have, `home` is their namespace; `release`
    narrows it to one deployment's pods; `inner` are further networks that are not the world."""
    there: Object = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": home}},
        "podSelector": {"matchLabels": dict(platform)},
    }
    pods = {USER: "true"} | ({"release": release} if release else {})
    spec: Object = {
        "podSelector": {"matchLabels": pods},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [there], "ports": [{"protocol": "TCP", "port": PORT}]}],
    }
    if reach != "host":
        api: Object = {"to": [there], "ports": [{"protocol": "TCP", "port": port} for port in api_ports]}
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [api] if reach == "none" else [api, _names(), _world(inner)]
    metadata = {"name": f"{release}-{NAME}" if release else NAME, "namespace": namespace}
    return [{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}]


def _names() -> Object:
    """Cluster DNS, by whichever name its pods are known, all in one namespace."""
    servers: list[Object] = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place}},
            "podSelector": {"matchLabels": labels},
        }
        for place, labels in (
            ("kube-system", {"k8s-app": "kube-dns"}),
            ("openshift-dns", {"dns.operator.openshift.io/daemonset-dns": "default"}),
        )
    ]
    servers.append({"ipBlock": {"cidr": _LOCAL_DNS}})
    ports = [{"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")]
    return {"to": servers, "ports": ports}


def _world(inner: Sequence[str]) -> Object:
    blocks = []
    for network, others in _NOT_THE_WORLD.items():
        own = [each for each in inner if (":" in each) == (":" in network)]
        blocks.append({"ipBlock": {"cidr": network, "except": [*others, *own]}})
    return {"to": blocks}
