"""Activation records: what a call of an action came to.

A record is built once per activation, on the hot path: the garbage collector need not know of it, and what is only
passed on stays encoded. `result` holds the bytes that the runtime sent, `annotations` the array that `upcall.core.run`
put together from per-action pieces.
"""

from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

SUCCESS, APPLICATION_ERROR, DEVELOPER_ERROR, WHISK_ERROR = range(4)
STATUS = ("success", "application error", "action developer error", "whisk internal error")


class Response(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The outcome as stored and sent on the bus. `size` is the length of the runtime's text in UTF-16 units, absent
    in errors that the platform made (spec: store.md §6)."""

    status_code: int = SUCCESS
    result: Raw | UnsetType = UNSET
    size: int | UnsetType | None = UNSET


class Activation(msgspec.Struct, rename="camel", gc=False):
    """A record as it is on the bus; in the store `_id`, `entityType` and `updated` join it (spec: store.md §6).

    `namespace` is the invoking one; `start` and `end` are epoch ms (`end` 0: not ended), `duration` ms.
    """

    entity_type: ClassVar[str] = "activation"

    namespace: str
    name: str
    subject: str
    activation_id: str
    start: int
    end: int = 0
    duration: int | UnsetType | None = UNSET
    cause: str | UnsetType | None = UNSET
    response: Response = Response()
    logs: list[str] = msgspec.field(default_factory=list)
    version: str = "0.0.1"
    publish: bool = False
    annotations: Raw = Raw(b"[]")

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.activation_id}"


def error(status: int, text: str) -> Response:
    """A response of the platform's making: `{"error": text}`."""
    return Response(status, Raw(msgspec.json.encode({"error": text})))
