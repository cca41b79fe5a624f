"""An action's code in CouchDB: inside the document, or an attachment of it (spec: store.md §3.1, §3.2).

    as upstream writes it                 "code":{"attachmentName":"mem:…" or "couch:UUID","attachmentType":…,…}
    kinds that do not say `attached`      "code":"text, or base64"
    old documents                         "jar" for "code"; "attachmentName":"codefile", without a scheme

Code below 16 KiB is written into its attachment's name. Larger code goes with its document in one request, as an inline
attachment: a write that breaks off leaves the action as it was, where upstream's two requests leave one without code.
"""

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple
from uuid import uuid4

import msgspec
from msgspec import UNSET, Raw

from upcall.core.exec import is_binary
from upcall.errors import Internal, Unreadable
from upcall.model import texts
from upcall.model.entities import BLACKBOX, SEQUENCE, Exec
from upcall.model.runtimes import Manifest

MAX_INLINE = 16 * 1024
"""Bytes; `max-inline-size` upstream."""
OCTETS, TEXT = "application/octet-stream", "text/plain; charset=UTF-8"
MEMORY, COUCH = "mem", "couch"


class Code(NamedTuple):
    """Of an action as its document has it: the text, or the name of the attachment that holds it, whose bytes are to be
    base64 again where `binary`."""

    text: str | None
    name: str
    binary: bool


class _Attachment(msgspec.Struct, rename="camel"):
    attachment_name: str
    attachment_type: str = ""


class _Stub(msgspec.Struct):
    content_type: str = ""


def written(exec_: Exec, manifest: Manifest | None) -> Mapping[str, object]:
    """Members that join the document of an action with this exec: its code, wherever it goes."""
    code = exec_.code
    if not isinstance(code, str):
        return {}
    data = _bytes(exec_, code) if _is_attached(exec_.kind, manifest) else None
    if data is None:
        return {"exec": {"code": code}}
    type_ = OCTETS if exec_.binary is True else TEXT
    about = {"attachmentType": type_, "length": len(data), "digest": f"sha256-{sha256(data).hexdigest()}"}
    if len(data) < MAX_INLINE:
        name = f"{MEMORY}:{base64.urlsafe_b64encode(data).decode()}"
        return {"exec": {"code": {"attachmentName": name, **about}}}
    name = str(uuid4())
    return {
        "exec": {"code": {"attachmentName": f"{COUCH}:{name}", **about}},
        "_attachments": {name: {"content_type": type_, "data": base64.b64encode(data).decode()}},
    }


def found(exec_: Mapping[str, Raw], attachments: Mapping[str, Raw]) -> Code | None:
    """The code, or where it is; a text in the document is binary if it looks so. Raises Unreadable; Internal where
    another store has it."""
    given = exec_.get("code", exec_.get("jar"))
    if given is None:
        return None
    try:
        flag = msgspec.json.decode(exec_["binary"], type=bool) if "binary" in exec_ else None
        code = msgspec.json.decode(given, type=str | _Attachment)
        if isinstance(code, str):
            return Code(code, "", is_binary(code))
        stubs = {name: msgspec.json.decode(stub, type=_Stub) for name, stub in attachments.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(texts.CORRUPTED) from error
    binary = flag if flag is not None else "code" not in exec_ or code.attachment_type.startswith(OCTETS)
    return _pointed(code.attachment_name, binary, stubs)


def text_of(data: bytes, binary: bool) -> str:
    """Code as it is handed to /init."""
    return base64.b64encode(data).decode() if binary else data.decode(errors="replace")


def settled(exec_: Exec, manifest: Manifest | None, code: Code | None) -> None:
    """What upstream makes of an exec that it reads. Raises Unreadable for a kind that the manifest does not have."""
    exec_.kind = exec_.kind.strip().lower()
    if code is not None:
        exec_.binary = code.binary
    if exec_.kind == BLACKBOX and isinstance(exec_.code, str) and not exec_.code.strip():
        exec_.code, exec_.binary = UNSET, False
    if manifest is not None and exec_.kind not in (BLACKBOX, SEQUENCE):
        runtime = manifest.runtime(exec_.kind)
        if runtime is None:
            raise Unreadable(texts.CORRUPTED)
        exec_.kind = runtime.kind


def _is_attached(kind: str, manifest: Manifest | None) -> bool:
    """Without a manifest, as all of upstream's own kinds."""
    runtime = None if manifest is None else manifest.runtime(kind)
    return runtime is None or isinstance(runtime.attached, msgspec.Struct)


def _bytes(exec_: Exec, code: str) -> bytes | None:
    """What is stored of the code; None where base64 would not come back as it is."""
    if exec_.binary is not True:
        return code.encode()
    try:
        data = base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == code else None


def _pointed(full: str, binary: bool, stubs: Mapping[str, _Stub]) -> Code:
    scheme, colon, rest = full.partition(":")
    if not colon:
        scheme, rest = COUCH, full
    if scheme == MEMORY:
        try:
            text = text_of(base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4)), binary)
            return Code(text, "", binary)
        except (binascii.Error, ValueError) as error:
            raise Unreadable(texts.CORRUPTED) from error
    if scheme != COUCH:
        raise Internal(f"its code is in another store, which is not known here: {scheme}:")
    if list(stubs) != [rest]:
        raise Unreadable(texts.CORRUPTED)
    return Code(None, rest, binary)
