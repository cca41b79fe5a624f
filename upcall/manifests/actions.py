"""Who reaches the pods in which actions run, and what they reach (`--driver kubernetes`)."""

from collections.abc import Sequence

from upcall.containers.kubernetes.labels import USER
from upcall.containers.kubernetes.policy import policies
from upcall.manifests.document import Object, Remarked
from upcall.manifests.driver import release
from upcall.manifests.wanted import PORT, Wanted, labels, selector

WEB = (80, 443, PORT)


def apart(wanted: Wanted, ports: Sequence[int] = (PORT,)) -> list[Object]:
    """`ports` are the API's. Nothing where actions are no pods."""
    if wanted.driver != "kubernetes":
        return []
    ours = {key: value for key, value in selector(wanted, "").items() if value}
    found = policies(wanted.namespace, ours, home=wanted.namespace, release=release(wanted), api_ports=ports)
    return [*(_labelled(wanted, each) for each in found), *([] if wanted.api_host else [_foreign_api(wanted)])]


def _labelled(wanted: Wanted, policy: Object) -> Object:
    metadata = {**policy["metadata"], "labels": labels(wanted, "actions")}
    return {**policy, "metadata": metadata}


def _foreign_api(wanted: Wanted) -> Object:
    """The API of OpenWhisk's deployments is in pods of another make, in this namespace."""
    others = [{"podSelector": {"matchExpressions": [{"key": USER, "operator": "DoesNotExist"}]}}]
    ports = [{"protocol": "TCP", "port": port} for port in WEB]
    name = f"{release(wanted)}-actions-api"
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": wanted.namespace, "labels": labels(wanted, "actions")},
        "spec": {
            "podSelector": {"matchLabels": {USER: "true", "release": release(wanted)}},
            "policyTypes": ["Egress"],
            "egress": [{"to": Remarked(others, above="OpenWhisk's API, in this namespace."), "ports": ports}],
        },
    }
