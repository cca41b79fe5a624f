"""Messages on the bus, and the topics that carry them (spec: bus.md).

Readers are lenient: unknown members are dropped, missing lists and maps are empty, null is absent. Writers send every
member that any version of upstream demands.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

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


Ack = ResultMessage | CompletionMessage | CombinedMessage
Message = ActivationMessage | Ack | PingMessage | EventMessage


class Topic(msgspec.Struct, frozen=True):
    """A topic's name with its prefix, and what it carries."""

    name: str
    carries: Literal["activation", "ack", "ping", "event"]


def invoker_topic(instance: int, prefix: str = "") -> Topic:
    return Topic(f"{prefix}invoker{instance}", "activation")


def completed_topic(controller: str, prefix: str = "") -> Topic:
    return Topic(f"{prefix}completed{controller}", "ack")
