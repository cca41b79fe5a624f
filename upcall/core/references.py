"""Names of entities inside bodies and results (spec: rest-api.md §2, sequences-conductors.md §3)."""

from upcall.core.fields import malformed
from upcall.model import texts
from upcall.model.names import FullyQualifiedName, Json, name_error, namespace_error


def read_reference(value: Json, own: str) -> FullyQualifiedName:
    """`/namespace/[package/]name`, its slash at the front or not, or `{"path": …, "name": …}`; `_` is `own`. Raises
    BadRequest."""
    if isinstance(value, dict) and isinstance(value.get("path"), str) and isinstance(value.get("name"), str):
        segments = [*value["path"].removeprefix("/").split("/"), value["name"]]
    elif isinstance(value, str):
        segments = value.removeprefix("/").split("/")
    else:
        raise malformed(texts.REFERENCE_MALFORMED)
    if len(segments) < 2:
        raise malformed(texts.REFERENCE_SHORT)
    if len(segments) > 3:
        raise malformed(texts.REFERENCE_MALFORMED)
    wrong = _wrong(segments)
    if wrong:
        raise malformed(wrong)
    return _name(segments, own)


def component_name(value: Json, own: str) -> FullyQualifiedName | None:
    """What a conductor calls an action: as `read_reference`, and `name` and `package/name` in the caller's namespace,
    which is `own`. None where it cannot be a name."""
    if not isinstance(value, str):
        return None
    segments = value.removeprefix("/").split("/")
    if value.startswith("/"):
        if len(segments) < 2:
            return None
    elif len(segments) < 3:
        segments.insert(0, own)
    return None if len(segments) > 3 or _wrong(segments) else _name(segments, own)


def _wrong(segments: list[str]) -> str | None:
    namespace, *rest = segments
    return namespace_error(namespace) or next(filter(None, map(name_error, rest)), None)


def _name(segments: list[str], own: str) -> FullyQualifiedName:
    namespace, *rest = segments
    namespace = own if namespace == "_" else namespace
    return FullyQualifiedName("/".join([namespace, *rest[:-1]]), rest[-1])
