"""All objects of a deployment of Invokers, in the order in which they need each other."""

from typing import Any

from upcall.manifests.actions import apart
from upcall.manifests.document import Object, Remarked
from upcall.manifests.driver import Needs, needs
from upcall.manifests.pod import TLS, template
from upcall.manifests.profiles import Profile
from upcall.manifests.scaling import scaling
from upcall.manifests.servers import claims
from upcall.manifests.stores import credentials, place
from upcall.manifests.wanted import LONGEST, PORT, Wanted, meta, selector

PLAIN_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
GRACE = LONGEST + 10
"""Seconds: less than the pod's, so that the Invoker says itself how it ended."""
SETTLED = 10
"""Seconds that a pod is ready before the next one is replaced: controllers take an Invoker after a ping and a test."""


def invoker(wanted: Wanted, profile: Profile) -> list[Object]:
    need = needs(wanted, profile)
    return [
        *namespace(wanted.namespace, need.admission),
        account(wanted),
        *invoker_role(wanted, need.rules),
        *admitted(wanted, profile, need),
        _config(wanted, need),
        *_secret(wanted),
        _service(wanted),
        _workload(wanted, profile, need),
        _budget(wanted),
        _policy(wanted),
        *apart(wanted),
        *scaling(wanted),
    ]


def namespace(name: str, admission: str) -> list[Object]:
    """Those that every cluster has are left as they are."""
    if name in PLAIN_NAMESPACES:
        return []
    labels = {"pod-security.kubernetes.io/enforce": admission}
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}]


def account(wanted: Wanted, part: str = "invoker") -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(wanted, wanted.of(part), part)}


def invoker_role(wanted: Wanted, more: list[Object]) -> list[Object]:
    """An Invoker reads how many there are to be, so that one that is not to come back empties its topic."""
    own = {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": [wanted.name], "verbs": ["get"]}
    return role(wanted, "invoker", [*([] if wanted.daemon else [own]), *more])


def admitted(wanted: Wanted, profile: Profile, need: Needs) -> list[Object]:
    """On OpenShift a pod that needs rights has to be let have them by name; the namespace's label is not enough."""
    if not profile.scc or need.admission != "privileged":
        return []
    group, about = "rbac.authorization.k8s.io", meta(wanted, f"{wanted.name}-scc", "invoker")
    subject = {"kind": "ServiceAccount", "name": wanted.name, "namespace": wanted.namespace}
    chosen = {"apiGroup": group, "kind": "ClusterRole", "name": "system:openshift:scc:privileged"}
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": chosen,
            "subjects": [subject],
        }
    ]


def role(wanted: Wanted, part: str, rules: list[Object]) -> list[Object]:
    """Of the part's account; none without rules."""
    if not rules:
        return []
    group, name = "rbac.authorization.k8s.io", wanted.of(part)
    about = meta(wanted, name, part)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": wanted.namespace}
    chosen = {"apiGroup": group, "kind": "Role", "name": name}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": about, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": about,
            "roleRef": chosen,
            "subjects": [subject],
        },
    ]


def _config(wanted: Wanted, need: Needs) -> Object:
    data: dict[str, Any] = {
        "KAFKA_HOSTS": wanted.kafka,
        **place(wanted),
        **_api(wanted),
        **need.environment,
        "UPCALL_GRACE": Remarked(f"{GRACE} s", beside="for running actions, when a pod is to go"),
        **({"RUNTIMES_MANIFEST": wanted.runtimes} if wanted.runtimes else {}),
        **({"ZOOKEEPER_HOSTS": wanted.zookeeper} if wanted.zookeeper else {}),
        **({"UPCALL_TLS_CERT": f"{TLS}/tls.crt", "UPCALL_TLS_KEY": f"{TLS}/tls.key"} if wanted.tls_secret else {}),
    }
    remark = "Any setting of docs/reference/settings.md, and OpenWhisk's names for them. After a change:\n" + (
        f"kubectl -n {wanted.namespace} rollout restart {'daemonset' if wanted.daemon else 'statefulset'} {wanted.name}"
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "data": Remarked(data, above=remark),
    }


def _api(wanted: Wanted) -> Object:
    if wanted.api_host:
        return {"UPCALL_API_HOST": wanted.api_host}
    return {
        "WHISK_API_HOST_NAME": f"nginx.{wanted.namespace}",
        "WHISK_API_HOST_PROTO": "https",
        "WHISK_API_HOST_PORT": "443",
    }


def _secret(wanted: Wanted) -> list[Object]:
    if wanted.secret:
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": meta(wanted, wanted.name, "invoker"),
            "stringData": Remarked(credentials(wanted), above="Put your own here."),
        }
    ]


def _service(wanted: Wanted) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "spec": {
            "clusterIP": Remarked("None", beside=f"gives pods names: {wanted.name}-0.{wanted.name}.{wanted.namespace}"),
            "publishNotReadyAddresses": True,
            "selector": selector(wanted, "invoker"),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def _workload(wanted: Wanted, profile: Profile, need: Needs) -> Object:
    pod, chosen = template(wanted, profile, need), {"matchLabels": selector(wanted, "invoker")}
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    about = {"apiVersion": "apps/v1", "metadata": meta(wanted, wanted.name, "invoker")}
    settled = Remarked(SETTLED, beside="until controllers have heard of it: then the next one may stop")
    if wanted.daemon:
        spec: Object = {"minReadySeconds": settled, "selector": chosen, "updateStrategy": update, "template": pod}
        return {**about, "kind": "DaemonSet", "spec": spec}
    spec = {
        **_count(wanted),
        "serviceName": wanted.name,
        "podManagementPolicy": Remarked("Parallel", beside="Invokers do not wait for each other"),
        "updateStrategy": update,
        "selector": chosen,
        "template": pod,
        **({} if wanted.driver == "docker" else claims(wanted)),
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": about["metadata"], "spec": spec}


def _count(wanted: Wanted) -> Object:
    """None where a scaler has the say: to apply the file again would take it away."""
    if wanted.scaler != "none":
        return {}
    said = (
        "How many Invokers. To have more, put the same number here and at INVOKER_COUNT and\n"
        "INVOKER_INSTANCES below, or just\n"
        f"kubectl -n {wanted.namespace} scale statefulset {wanted.name} --replicas N"
    )
    return {"replicas": Remarked(wanted.replicas, above=said)}


def _budget(wanted: Wanted) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(wanted, "invoker")}},
    }


def _policy(wanted: Wanted) -> Object:
    """Kubelets' probes come through always."""
    others: Object = {"podSelector": {"matchExpressions": [{"key": "user-action-pod", "operator": "DoesNotExist"}]}}
    said = "Pods of this namespace, but no actions."
    if wanted.monitor:
        others, said = (
            {"namespaceSelector": {}, **others},
            "Pods of all namespaces, as Prometheus' is any, but no actions.",
        )
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta(wanted, wanted.name, "invoker"),
        "spec": {
            "podSelector": {"matchLabels": selector(wanted, "invoker")},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": Remarked([others], above=said),
                    "ports": [{"port": "http"}],
                }
            ],
        },
    }
