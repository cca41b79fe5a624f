"""What every stored document has in common."""

from typing import ClassVar, Protocol

import msgspec

from upcall.model.names import Json


class Document(Protocol):
    """A `msgspec.Struct` that a store keeps under `id`; `entity_type` is its `entityType` member when stored."""

    entity_type: ClassVar[str]

    @property
    def id(self) -> str:
        """`namespace/[package/]name`, `namespace/activationId`, `subject` or `namespace/limits`."""


class KeyValue(msgspec.Struct):
    """An annotation: any JSON under a key."""

    key: str
    value: Json
