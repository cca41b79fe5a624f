"""What an operator says of pods in which actions run (spec: kubernetes.md §6). Sizes are MB."""

from collections.abc import Mapping
from typing import Any

import msgspec

Object = dict[str, Any]
"""A part of Kubernetes' API, as its JSON has it."""


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """So many thousandths of a CPU for each `memory`, within bounds (`whisk.kubernetes.cpu-scaling`)."""

    millicpus: int
    memory: int
    max_millicpus: int


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """On the node's disk (`whisk.kubernetes.ephemeral-storage`)."""

    limit: int
    factor: float | None = None
    """MB for each MB of memory; None: the limit for all."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The label of nodes that run actions (`whisk.kubernetes.user-pod-node-affinity`)."""

    key: str = "openwhisk-role"
    value: str = "invoker"


class PodOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of all pods of one Invoker; upstream's keys stand below `whisk.kubernetes` where none is named."""

    namespace: str
    """Where they are made (`action-namespace`)."""
    cpu: Cpu | None = None
    storage: Storage | None = None
    place: Place | None = Place()
    """None: any node."""
    template: Mapping[str, Any] = {}
    """A pod on which ours are built (`pod-template`, read by `template.read`)."""
    extra_env: tuple[str, ...] = ()
    """`name=value`, or a name alone for an empty one (`whisk.container-factory.container-args.extra-env-vars`)."""
    field_env: tuple[tuple[str, str], ...] = ()
    """Names, and paths of the pod's own fields, as `spec.nodeName` (`field-ref-environment`)."""
    pull_secrets: tuple[str, ...] = ()
    """Secrets there, with credentials of registries for all pods."""
    apart: bool = False
    """Whether namespaces have credentials of their own: then a user's image is asked for at its registry each time, so
    that none runs what only another one may fetch."""
    api_host: str = ""
    """`http://name[:port]` for `__OW_API_HOST`; empty: there is none."""
