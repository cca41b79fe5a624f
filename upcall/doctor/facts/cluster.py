"""What a cluster says of itself, by its API alone: all is asked at once (spec: kubernetes.md §12)."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from lightkube.resources.apps_v1 import DaemonSet, Deployment, StatefulSet
from lightkube.resources.core_v1 import Event, Node, PersistentVolumeClaim, Pod, Service
from lightkube.resources.storage_v1 import StorageClass

from upcall.doctor.facts.deployment import Object
from upcall.kubernetes.client import Api, Refused

KINDS = {
    each.__name__: each
    for each in (Node, Pod, Event, StatefulSet, DaemonSet, Deployment, Service, PersistentVolumeClaim, StorageClass)
}


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """`objects` by kind, of one namespace where the kind has any. `unseen`: why others are not there, in sentences."""

    server: str
    namespace: str
    objects: Mapping[str, Sequence[Object]]
    unseen: Sequence[str] = ()

    def of(self, kind: str) -> Sequence[Object]:
        return self.objects.get(kind, ())


async def gather(api: Api) -> Cluster:
    """Raises Away."""
    answers = await asyncio.gather(*(_list(api, kind) for kind in KINDS))
    seen = {kind: found for kind, found in zip(KINDS, answers, strict=True) if not isinstance(found, str)}
    unseen = [found for found in answers if isinstance(found, str)]
    return Cluster(server=api.server, namespace=api.namespace, objects=seen, unseen=unseen)


async def _list(api: Api, kind: str) -> list[Object] | str:
    try:
        found = await api.all(KINDS[kind])
    except Refused as error:
        return f"{kind}s are not seen: {error}"
    return [{**each, "kind": kind} for each in found]
