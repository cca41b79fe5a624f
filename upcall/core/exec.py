"""The `exec` of an action: from request JSON to what is stored (spec: rest-api.md §6.1, entities.md §2).

Kinds are trimmed, lower-cased and resolved by the runtimes manifest (`python:default` → the family's default). `binary`
is computed and never believed: text that looks like base64 is base64, so that a short plain text such as `abcd` counts
as binary. That is upstream's oddity; clients rely on not having to say it. Historic documents of the java family call
the code `jar`.
"""

import re

from msgspec import UNSET, UnsetType

from upcall.core.fields import malformed
from upcall.core.references import read_reference
from upcall.errors import BadRequest
from upcall.model import texts
from upcall.model.entities import BLACKBOX, SEQUENCE, Exec
from upcall.model.names import Json
from upcall.model.runtimes import Manifest

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?"  # a registry
    r"(?:[a-z0-9._-]+/)*[a-z0-9._-]+"
    r"(?::[\w.-]{1,128})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


def read_exec(value: Json, manifest: Manifest, own: str = "_") -> Exec:
    """`own` is the namespace that `_` stands for. Raises BadRequest, with upstream's text, for what cannot run here."""
    if not isinstance(value, dict):
        raise malformed(texts.OBJECT_EXPECTED)
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise malformed(texts.KIND_NOT_STRING)
    kind = kind.strip().lower()
    if kind == SEQUENCE:
        return _read_sequence(value, own)
    return _read_blackbox(value) if kind == BLACKBOX else _read_managed(kind, value, manifest)


def is_binary(code: str) -> bool:
    """Whether the code is taken for base64."""
    code = code.strip()
    return len(code) % 4 == 0 and _BASE64.fullmatch(code) is not None


def exec_size(exec_: Exec) -> int:
    """Bytes that count against the limit of an exec: code, main and image."""
    return sum(len(part.encode()) for part in (exec_.code, exec_.main, exec_.image) if isinstance(part, str))


def check_supported(exec_: Exec, manifest: Manifest) -> None:
    """Raises BadRequest where the kind is deprecated: such actions are read and deleted, no more."""
    runtime = manifest.runtime(exec_.kind)
    if runtime is not None and runtime.deprecated:
        raise BadRequest(texts.runtime_deprecated(exec_.kind))


def _read_sequence(value: dict[str, Json], own: str) -> Exec:
    given = value.get("components")
    if given is None:
        raise malformed(texts.COMPONENTS_MISSING)
    if not isinstance(given, list):
        raise malformed(texts.COMPONENTS_NOT_ARRAY)
    names = [read_reference(name, own) for name in given]
    return Exec(kind=SEQUENCE, components=[f"/{name.id}" for name in names])


def _read_blackbox(value: dict[str, Json]) -> Exec:
    main = _main(BLACKBOX, value)
    image = value.get("image")
    if not isinstance(image, str):
        raise malformed(texts.IMAGE_NOT_STRING)
    if not _IMAGE.fullmatch(image):
        raise malformed(texts.IMAGE_ILLEGAL)
    given = value.get("code")
    code = given if isinstance(given, str) and given.strip() else UNSET  # a blank means: the image has the code
    return Exec(kind=BLACKBOX, code=code, image=image, main=main, binary=code is not UNSET and is_binary(str(code)))


def _read_managed(kind: str, value: dict[str, Json], manifest: Manifest) -> Exec:
    runtime = manifest.runtime(kind)
    if runtime is None:
        family = kind.partition(":")[0]
        install = "" if family in manifest.runtimes else texts.INSTALL.get(family, "")
        raise malformed(texts.unknown_kind(kind, [*manifest.kinds, SEQUENCE, BLACKBOX]) + install)
    kind = runtime.kind
    code = value.get("code", value.get("jar"))
    if not isinstance(code, str):
        raise malformed(texts.code_not_string(kind))
    main = _main(kind, value)
    if runtime.require_main and main is UNSET:
        raise malformed(texts.main_missing(kind))
    return Exec(kind=kind, code=code, main=main, binary=is_binary(code))


def _main(kind: str, value: dict[str, Json]) -> str | UnsetType:
    main = value.get("main", UNSET)
    if main is not UNSET and not isinstance(main, str):
        raise malformed(texts.main_not_string(kind))
    return main
