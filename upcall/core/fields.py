"""Members that documents of all kinds share, as a PUT has them (spec: rest-api.md §6.1, entities.md §1, §3)."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import UNSET, Raw

from upcall.errors import Malformed, TooLarge
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Parameter
from upcall.model.names import Json, parse_version


def read_member(body: dict[str, Json], member: str, reader: Callable[[Json], Json]) -> Json:
    """What `reader` makes of a member; None where it is not there, or null."""
    value = body.get(member)
    return None if value is None else reader(value)


def read_parameters(value: Json) -> list[Parameter]:
    """`[{key, value[, init][, encryption]}]`; of entries with one key the last wins. Raises BadRequest."""
    return list({each.key: each for each in map(_read_parameter, _entries(value))}.values())


def read_annotations(value: Json) -> list[KeyValue]:
    """As parameters, of which `key` and `value` are kept. Raises BadRequest."""
    return unique([KeyValue(entry["key"], entry["value"]) for entry in _entries(value)])


def read_version(value: Json) -> str:
    """Raises BadRequest."""
    try:
        return parse_version(value)
    except (TypeError, ValueError):
        raise malformed(texts.VERSION_MALFORMED) from None


def read_publish(value: Json) -> bool:
    """Raises BadRequest."""
    if not isinstance(value, bool):
        raise malformed(texts.expected("JsBoolean", value))
    return value


def check_sizes(parameters: Sequence[Parameter] | None, annotations: Sequence[KeyValue] | None, limit: int) -> None:
    """Raises TooLarge; `limit` is in bytes and holds for each of the two."""
    check_size("parameters", sum(_parameter_size(each.key, each.value) for each in parameters or ()), limit)
    check_size("annotations", sum(map(_annotation_size, annotations or ())), limit)


def check_size(what: str, size: int, limit: int) -> None:
    """Raises TooLarge."""
    if size > limit:
        raise TooLarge(texts.larger_than_allowed(what, size, limit))


def inherit(outer: Iterable[Sequence[Parameter]], own: Sequence[Parameter]) -> list[Parameter]:
    """The parameters of packages, the outermost first, under one's own; of those with one key the last wins."""
    return list({each.key: each for parameters in (*outer, own) for each in parameters}.values())


def unique(annotations: Iterable[KeyValue]) -> list[KeyValue]:
    """Of those with one key the last."""
    return list({entry.key: entry for entry in annotations}.values())


def malformed(detail: str) -> Malformed:
    """What a body is refused with."""
    return Malformed(texts.malformed_content(detail))


def _entries(value: Json) -> Iterable[dict[str, Json]]:
    if not isinstance(value, list) or not all(map(_is_entry, value)):
        raise malformed(texts.PARAMETERS_MALFORMED)
    return value


def _is_entry(entry: Json) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("key"), str)
        and "value" in entry
        and isinstance(entry.get("init", False), bool)
        and isinstance(entry.get("encryption", ""), str)
    )


def _read_parameter(entry: dict[str, Json]) -> Parameter:
    value = Raw(msgspec.json.encode(entry["value"]))
    init, encryption = entry.get("init") or UNSET, entry.get("encryption") or UNSET
    return Parameter(entry["key"], value, init, encryption)


def _parameter_size(key: str, value: Raw) -> int:
    return len(key.encode()) + len(value)


def _annotation_size(entry: KeyValue) -> int:
    return len(entry.key.encode()) + len(msgspec.json.encode(entry.value))
