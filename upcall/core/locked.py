"""Arguments that came encrypted (spec: container.md §2.4): the value's form, and the content with plain values in it.

A locked value is base64 text of: the iv's length (4 bytes, big-endian), the iv, the cipher text of AES-GCM with its
tag. The plain text is JSON. The iv is 12 bytes for aes-128 and 128 bytes for aes-256, as upstream writes them; any
length is read.

Only text can be locked, and only in an object: everything else stays as it is, and so does what names an algorithm that
nobody has (`noop`). What cannot be opened is an error and never the action's argument: an action that takes cipher text
for a value could store it, or compare it.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable

import msgspec
from msgspec import Raw

from upcall.errors import Unreadable
from upcall.model import texts
from upcall.model.entities import Parameter
from upcall.model.messages import ActivationMessage

ALGORITHMS = {"aes-128": 16, "aes-256": 32}
"""Bytes of a key."""
IV_BYTES = {"aes-128": 12, "aes-256": 128}
_LENGTH = 4
Open = Callable[[str, bytes, bytes], bytes]
"""Of an algorithm, an iv and a cipher text: the plain text. Raises LookupError where there is no key, ValueError where
the key does not fit."""
Seal = Callable[[bytes], tuple[bytes, bytes]]
"""Of a plain text: an iv of its own, and the cipher text."""

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def unlocked(message: ActivationMessage, open_: Open) -> ActivationMessage:
    """The message with plain values, another one than was given: that stays locked. Raises Unreadable with a text for
    the caller."""
    content = message.content
    if not isinstance(content, Raw) or not bytes(content).lstrip().startswith(b"{"):
        return message
    try:
        members = _members(content)
    except (ValueError, RecursionError):
        raise Unreadable(texts.RUN_DIED) from None
    for name, algorithm in message.locked_args.items():
        if algorithm in ALGORITHMS and bytes(members.get(name, b"")).lstrip().startswith(b'"'):
            members[name] = _plain(name, algorithm, members[name], open_)
    return msgspec.structs.replace(message, content=Raw(_encode(members)), locked_args={})


def locked(parameter: Parameter, algorithm: str, seal: Seal) -> Parameter:
    """The same with its value locked; one that says that it is locked stays."""
    if parameter.encryption:
        return parameter
    iv, sealed = seal(bytes(parameter.value))
    text = b64encode(len(iv).to_bytes(_LENGTH, "big") + iv + sealed)
    return msgspec.structs.replace(parameter, value=Raw(b'"%b"' % text), encryption=algorithm)


def _plain(name: str, algorithm: str, value: Raw, open_: Open) -> Raw:
    try:
        iv, sealed = _parts(msgspec.json.decode(value, type=str))
        plain = open_(algorithm, iv, sealed)
        msgspec.json.decode(plain)
    except LookupError:
        raise Unreadable(texts.parameter_keyless(name, algorithm)) from None
    except (ValueError, RecursionError):  # msgspec's and binascii's errors are ValueErrors
        raise Unreadable(texts.parameter_sealed(name, algorithm)) from None
    return Raw(plain)


def _parts(text: str) -> tuple[bytes, bytes]:
    """The iv, and the cipher text with its tag."""
    data = b64decode(text + "=" * (-len(text) % 4), validate=True)
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    if not _LENGTH < end < len(data):
        raise ValueError("no locked value")
    return data[_LENGTH:end], data[end:]
