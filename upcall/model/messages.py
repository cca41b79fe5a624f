"""Messages on the bus, and the topics that carry them (spec: bus.md).

Readers are lenient: unknown members are dropped, missing lists and maps are empty, null is absent. Writers send every
member that any version of upstream demands.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from upcall.model.activation import Activation
from upcall.model.entities import Identity
from upcall.model.names import ControllerId, FullyQualifiedName, InvokerId, Json, Transid


class ActivationMessage(msgspec.Struct, rename="camel"):
    """Controller → Invoker: run this action (spec: bus.md §5). `content` holds the merged arguments, encoded."""

    transid: Transid
    action: FullyQualifiedName
    revision: str | None
    user: Identity
    activation_id: str
    root_controller_index: ControllerId
    blocking: bool
    content: Raw | UnsetType = UNSET
    init_args: list[str] = msgspec.field(default_factory=list)
    locked_args: dict[str, str] = msgspec.field(default_factory=dict)
    cause: str | UnsetType | None = UNSET
    trace_context: dict[str, str] | UnsetType | None = UNSET


class ResultMessage(msgspec.Struct, rename="camel"):
    """Invoker → Controller: the result; the slot stays taken (spec: bus.md §7). A bare id means: fetch the record."""

    transid: Transid
    response: Activation | str


class CompletionMessage(msgspec.Struct, rename="camel"):
    """Invoker → Controller: the slot is free."""

    transid: Transid
    activation_id: str
    is_system_error: bool
    instance: InvokerId


class CombinedMessage(msgspec.Struct, rename="camel"):
    """Invoker → Controller: result and free slot in one."""

    transid: Transid
    response: Activation | str
    is_system_error: bool
    instance: InvokerId


class PingMessage(msgspec.Struct, rename="camel"):
    """Invoker → Controllers, each second; upstream calls the instance `name` (spec: bus.md §8)."""

    name: InvokerId
    is_enabled: bool = True


class EventMessage(msgspec.Struct, rename="camel"):
    """User events (spec: bus.md §9.1)."""

    source: str
    event_type: Literal["Activation", "Metric"]
    subject: str
    namespace: str
    user_id: str
    timestamp: int
    body: dict[str, Json]


class CacheKey(msgspec.Struct, frozen=True, rename="camel"):
    """A document's id, `namespace/[package/]name`; upstream may add its revision."""

    main_id: str
    secondary_id: str | UnsetType | None = UNSET


class CacheInvalidationMessage(msgspec.Struct, frozen=True, rename="camel"):
    """Controller → Controllers: a document was written or deleted (spec: bus.md §9.2)."""

    key: CacheKey
    instance_id: str
    """`controller0`"""


Whole = Annotated[int, Meta(ge=0, le=2**53)]
"""In gossip: a number below zero would let others pass a limit, and one without end would be kept."""
Some = Annotated[dict[str, Whole], Meta(max_length=10_000)]


class ClusterMessage(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Controller → Controllers: that it lives, and what it counts; ours, upstream has none
    (docs/adr/0014-controllers.md)."""

    controller: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,128}\Z")]
    incarnation: Whole
    """When it started, in epoch ms."""
    number: Whole
    """Of its messages, from 1."""
    seen: Annotated[dict[str, tuple[Whole, Whole]], Meta(max_length=10_000)] = {}
    """Others: incarnation and number of the last message up to which nothing of theirs is missing."""
    minute: Whole = 0
    """Epoch minutes, which `rates` belong to."""
    rates: Some = {}
    """Attempts in that minute by namespace uuid, of those where it is another number than was told."""
    running: Some = {}
    """Activations in flight, likewise."""
    parts: Whole = 0
    """Not 0: so many messages, this one the last, tell all that is counted."""
    asks: bool = False
    """The others are to say at once what they have seen."""
    whole: bool = False
    """The others are to tell all that they count."""
    leaving: bool = False


Ack = ResultMessage | CompletionMessage | CombinedMessage
Message = ActivationMessage | Ack | PingMessage | EventMessage | CacheInvalidationMessage | ClusterMessage
Carried = Literal["activation", "ack", "ping", "event", "invalidation", "cluster"]


class Topic(msgspec.Struct, frozen=True):
    """A topic's name with its prefix, and what it carries."""

    name: str
    carries: Carried


SYSTEM = "whisk.system"
"""OpenWhisk's own namespace."""


def is_probe(message: ActivationMessage) -> bool:
    """A controller asks whether an Invoker works (spec: bus.md §8.1). Clients' ids never begin with `sid_`."""
    action = message.action
    return (
        action.path == SYSTEM
        and message.transid[:1] == ["sid_invokerHealth"]
        and action.name.startswith("invokerHealthTestAction")
    )


def invoker_topic(instance: int, prefix: str = "") -> Topic:
    return Topic(f"{prefix}invoker{instance}", "activation")


def health_topic(prefix: str = "") -> Topic:
    return Topic(f"{prefix}health", "ping")


def completed_topic(controller: str, prefix: str = "") -> Topic:
    return Topic(f"{prefix}completed{controller}", "ack")


def invalidation_topic(prefix: str = "") -> Topic:
    return Topic(f"{prefix}cacheInvalidation", "invalidation")


def cluster_topic(prefix: str = "") -> Topic:
    return Topic(f"{prefix}upcall.controllers", "cluster")
