"""Names and ids: entity names, fully qualified names, versions, transaction ids, instance ids.

A name is text of 1 to 256 characters; the grammar is upstream's (spec: rest-api.md §2). Everything that is stored or
sent has an id made of names joined by `/`; one id space serves actions, packages, triggers and rules alike.
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from upcall.model import texts

Json = Any
"""User JSON, decoded; the one place where `Any` is right."""

NAME_LIMIT = 256
_NAME = re.compile(r"[\w](?:[\w@ .&-]{0,254}[\w@.&-])?", re.ASCII)
_ACTIVATION_ID = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", re.ASCII)

_LARGEST = 2**31 - 1

FIRST_VERSION = "0.0.1"


def name_error(name: str) -> str | None:
    """What is wrong with an entity's name, in upstream's words, or None."""
    if len(name) > NAME_LIMIT:
        return texts.name_too_long(len(name), NAME_LIMIT)
    return None if _NAME.fullmatch(name) else texts.NAME_ILLEGAL


def namespace_error(namespace: str) -> str | None:
    """What is wrong with a namespace's name, in upstream's words, or None."""
    if len(namespace) > NAME_LIMIT:
        return texts.namespace_too_long(len(namespace), NAME_LIMIT)
    return None if _NAME.fullmatch(namespace) else texts.NAMESPACE_ILLEGAL


def activation_id_error(activation_id: str) -> str | None:
    """What is wrong with an activation's id, in upstream's words, or None (spec: rest-api.md §10)."""
    if len(activation_id) != 32:
        return texts.activation_id_length(len(activation_id))
    return None if _ACTIVATION_ID.fullmatch(activation_id) else texts.ACTIVATION_ID_ILLEGAL


def parse_version(text: str) -> str:
    """`1` → `1.0.0`, `01.2` → `1.2.0`. Raises ValueError for anything that is no version above 0.0.0 of numbers that
    clients can hold."""
    match = _VERSION.fullmatch(text)
    numbers = [int(part or 0) for part in match.groups()] if match else []
    if not any(numbers) or max(numbers) > _LARGEST:
        raise ValueError(f"bad semantic version {text}")
    return ".".join(map(str, numbers))


def next_version(version: str) -> str:
    """The same version with its patch number one higher."""
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


class FullyQualifiedName(msgspec.Struct, frozen=True, omit_defaults=True):
    """An action as messages name it (spec: bus.md §6.2). `path` is `namespace[/package]`."""

    path: str
    name: str
    version: str | None = None
    binding: str | None = None

    @property
    def id(self) -> str:
        """The document's id: `namespace/[package/]name`."""
        return f"{self.path}/{self.name}"

    @property
    def namespace(self) -> str:
        """The namespace that owns it."""
        return self.path.partition("/")[0]


class ControllerId(msgspec.Struct, frozen=True, rename="camel"):
    """`{"asString":"0","instanceType":"controller"}` (spec: bus.md §6.4)."""

    as_string: str
    instance_type: str = "controller"


INVOKERS = 10_000
"""Numbers of Invokers are below: they are places in a controller's list."""
INVOKER_NAME = 253
"""Characters of each of an Invoker's two names: a host's name may have so many."""


class InvokerId(msgspec.Struct, frozen=True, rename="camel"):
    """An Invoker in pings and acks (spec: bus.md §6.4). `user_memory` is a size text: `2147483648 B`."""

    instance: int
    user_memory: str
    instance_type: str = "invoker"
    tags: list[str] = msgspec.field(default_factory=list)
    dedicated_namespaces: list[str] = msgspec.field(default_factory=list)
    busy_memory: str | UnsetType | None = UNSET
    unique_name: str | UnsetType | None = UNSET
    displayed_name: str | UnsetType | None = UNSET

    def __str__(self) -> str:
        """`invoker0/unique/displayed`, as `GET /invokers` shows it."""
        names = (self.unique_name, self.displayed_name)
        return "/".join([f"invoker{self.instance}", *(name for name in names if isinstance(name, str) and name)])


Transid = list[Json]
"""`[id, start]`, `[id, start, true]`, `[id, start, parent]` or `[id, start, true, parent]`; echoed verbatim in acks
(spec: bus.md §6.1). `start` is in epoch ms."""
