"""Messages as bytes, for adapters that leave the process (spec: bus.md §1, §5–§9).

Decoding has two ways. The first takes what every current peer writes and costs a few microseconds. What it refuses is
read again by the lenient one: null counts as absent, a bare string names an action, an id may be a number, a
transaction id anything. Only what that cannot make sense of is an error.

Acks carry no mark of their shape: `instance` and `response` tell (spec: bus.md §7).
"""

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, Raw

from upcall.errors import Unreadable
from upcall.model.messages import (
    Ack,
    ActivationMessage,
    CacheInvalidationMessage,
    Carried,
    ClusterMessage,
    CombinedMessage,
    CompletionMessage,
    EventMessage,
    Message,
    PingMessage,
    ResultMessage,
)

encode: Final = msgspec.json.Encoder().encode
_NULL, _FALSE = Raw(b"null"), Raw(b"false")
_UNKNOWN = Raw(b'["sid_unknown"]')
"""A transaction id in the place of one that cannot be read (spec: bus.md §6.1)."""
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_DECODERS: dict[type[Message], Callable[[bytes], Any]] = {
    kind: msgspec.json.Decoder(kind).decode
    for kind in (
        ActivationMessage,
        ResultMessage,
        CompletionMessage,
        CombinedMessage,
        PingMessage,
        EventMessage,
        CacheInvalidationMessage,
        ClusterMessage,
    )
}


def decode(carries: Carried, data: bytes) -> Message:
    """Raises Unreadable, with the reason."""
    try:
        kind = _ack(data) if carries == "ack" else _KINDS[carries]
        try:
            message = cast(Message, _DECODERS[kind](data))
        except msgspec.ValidationError:
            message = cast(Message, _DECODERS[kind](_mended(data)))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"not a message of the kind {carries}: {error}") from error
    if isinstance(message, ActivationMessage):
        _forget_null(message)
    return message


def _forget_null(message: ActivationMessage) -> None:
    if message.content == _NULL:
        message.content = UNSET
    if message.cause is None:
        message.cause = UNSET
    if message.trace_context is None:
        message.trace_context = UNSET


_KINDS: dict[Carried, type[Message]] = {
    "activation": ActivationMessage,
    "ping": PingMessage,
    "event": EventMessage,
    "invalidation": CacheInvalidationMessage,
    "cluster": ClusterMessage,
}


def _ack(data: bytes) -> type[Ack]:
    members = _members(data)
    if "instance" not in members:
        return ResultMessage
    return CombinedMessage if "response" in members else CompletionMessage


_VERBATIM = ("content", "transid", "revision", "body")
"""Members whose value is the sender's own: null in them means null."""


def _mended(data: bytes) -> bytes:
    members = {
        name: value if name in _VERBATIM else _without_null(value)
        for name, value in _members(data).items()
        if value != _NULL or name in ("revision", "transid")
    }
    if not bytes(members.get("transid", _UNKNOWN)).startswith(b"["):
        members["transid"] = _UNKNOWN
    members.setdefault("revision", _NULL)
    action = members.get("action", Raw(b""))
    if bytes(action).startswith(b'"'):
        path, _, name = msgspec.json.decode(action, type=str).strip("/").rpartition("/")
        members["action"] = Raw(encode({"path": path, "name": name}))
    if "instance" in members:  # an ack that frees a slot
        members.setdefault("isSystemError", _FALSE)
    activation_id = bytes(members.get("activationId", Raw(b"")))
    if activation_id.isdigit():
        members["activationId"] = Raw(b'"%b"' % activation_id)
    return encode(members)


def _without_null(value: Raw) -> Raw:
    """The same without members that are null, one level down and two: as deep as our messages go."""
    if not bytes(value).startswith(b"{"):
        return value
    return Raw(encode({k: _without_null(v) for k, v in _members(value).items() if v != _NULL}))
