"""What a cluster says of itself, by its API alone: all is asked at once (spec: kubernetes.md §12)."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
from lightkube.resources.apps_v1 import DaemonSet, Deployment, StatefulSet
from lightkube.resources.core_v1 import Event, Namespace, Node, PersistentVolumeClaim, Pod, Service
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.resources.storage_v1 import StorageClass

from upcall.containers.kubernetes.driver import NEEDED
from upcall.doctor.facts.deployment import WORKLOADS, Object, Workload
from upcall.doctor.facts.deployment import Deployment as Deployed
from upcall.kubernetes.client import Api, Refused

KINDS = {
    each.__name__: each
    for each in (
        Node,
        Namespace,
        Pod,
        Event,
        StatefulSet,
        DaemonSet,
        Deployment,
        Service,
        PersistentVolumeClaim,
        StorageClass,
        NetworkPolicy,
    )
}


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """`objects` by kind, of one namespace where the kind has any. `unseen`: why others are not there, in sentences."""

    server: str
    namespace: str
    objects: Mapping[str, Sequence[Object]]
    unseen: Sequence[str] = ()
    denied: Mapping[str, Sequence[str]] = {}
    """By Invoker that makes pods itself: what its service account may not do, as in "create pods"."""
    at: float = 0.0
    """When that was, in epoch seconds."""

    def of(self, kind: str) -> Sequence[Object]:
        return self.objects.get(kind, ())


async def gather(api: Api) -> Cluster:
    """Raises Away."""
    answers = await asyncio.gather(*(_list(api, kind) for kind in KINDS))
    seen = {kind: found for kind, found in zip(KINDS, answers, strict=True) if not isinstance(found, str)}
    unseen = [found for found in answers if isinstance(found, str)]
    found = Cluster(server=api.server, namespace=api.namespace, objects=seen, unseen=unseen, at=time.time())
    try:
        denied = await _denied(api, found)
    except Refused as error:
        return msgspec.structs.replace(found, unseen=[*unseen, f"Rights of Invokers are not seen: {error}"])
    return msgspec.structs.replace(found, denied=denied)


def deployment(cluster: Cluster) -> Deployed:
    """Its workloads and Services."""
    objects = [each for kind in (*WORKLOADS, "Service") for each in cluster.of(kind)]
    return Deployed(objects=objects, namespace=cluster.namespace)


async def _denied(api: Api, cluster: Cluster) -> dict[str, list[str]]:
    """Raises Refused where we may not ask on behalf of others."""
    found: dict[str, list[str]] = {}
    for each in deployment(cluster).invokers():
        if not makes_pods(each):
            continue
        account = f"system:serviceaccount:{each.namespace}:{each.pod.get('serviceAccountName') or 'default'}"
        may = await asyncio.gather(*(api.may(verb, "pods", part, user=account) for verb, part in NEEDED))
        lacking = [
            f"{verb} pods{'/' if part else ''}{part}"
            for (verb, part), allowed in zip(NEEDED, may, strict=True)
            if not allowed
        ]
        if lacking:
            found[each.said] = lacking
    return found


def makes_pods(each: Workload) -> bool:
    """Whether it has the kubernetes driver."""
    words = [str(word) for word in (*(each.main.get("command") or ()), *(each.main.get("args") or ()))]
    given = next((after for word, after in pairwise(words) if word == "--driver"), "")
    return "kubernetes" in (given, each.variable("UPCALL_DRIVER")) or "--driver=kubernetes" in words


async def _list(api: Api, kind: str) -> list[Object] | str:
    try:
        found = await api.all(KINDS[kind])
    except Refused as error:
        return f"{kind}s are not seen: {error}"
    return [{**each, "kind": kind} for each in found]
