"""Objects as YAML that people edit: keys in the order in which they were put, and remarks where they teach.

It is written here because a dumper keeps no remarks. A text stands bare only where every parser of YAML 1.1 or 1.2
takes it for a text; else it is in double quotes as JSON writes it, or, of several lines, a block.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Object = dict[str, Any]
"""Of Kubernetes: mappings, sequences, texts, numbers, booleans, and `Remarked` ones of these."""

WIDTH = 80
_BARE = re.compile(r"[A-Za-z/][A-Za-z0-9_./+*()@-]*(:[A-Za-z0-9_./+*()@-]+)*( [A-Za-z0-9_./+*()-]+)*")
_RESERVED = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_BLOCK = re.compile(r"[!-~]([ -~]*[!-~])?(\n( *[!-~]([ -~]*[!-~])?)?)*(?<=[!-~])\n?")
"""What a block keeps as it is: no blank at the beginning or at a line's end, one end of line at the text's end."""
_STRANGE = re.compile(r"[^ -~]")


class Remarked(NamedTuple):
    """A value, with what is said in lines above it and behind it."""

    value: Any
    above: str = ""
    beside: str = ""


def stream(objects: Iterable[Object], head: str = "") -> str:
    """One document each; `head` is said above the first."""
    documents = ("\n".join(_mapping(found, "")) + "\n" for found in objects)
    return "".join(f"{line}\n" for line in _said(head, "")) + "---\n" + "---\n".join(documents)


def plain(value: Any) -> Any:
    """The same without remarks."""
    if isinstance(value, Remarked):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value


def _said(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}# {line}".rstrip()


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, found in value.items():
        remarked = found if isinstance(found, Remarked) else Remarked(found)
        yield from _said(remarked.above, indent)
        yield from _entry(f"{indent}{_text(key)}:", remarked, indent)


def _entry(start: str, found: Remarked, indent: str) -> Iterator[str]:
    value, beside = found.value, f"  # {found.beside}" if found.beside else ""
    if isinstance(value, str) and "\n" in value and _BLOCK.fullmatch(value):
        yield f"{start} |{'' if value.endswith(chr(10)) else '-'}{beside}"
        yield from (f"{indent}  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value and not _short(value):
        yield start + beside
        yield from _nested(value, indent)
    else:
        yield f"{start} {_scalar(value)}{beside}"


def _nested(value: Mapping[str, Any] | Sequence[Any], indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _mapping(value, f"{indent}  ")
    else:
        yield from _sequence(value, f"{indent}  ")


def _sequence(value: Sequence[Any], indent: str) -> Iterator[str]:
    for found in value:
        remarked = found if isinstance(found, Remarked) else Remarked(found)
        yield from _said(remarked.above, indent)
        if isinstance(remarked.value, Mapping) and remarked.value:
            yield from _item(remarked, indent)
        else:
            yield from _entry(f"{indent}-", remarked, indent)


def _item(found: Remarked, indent: str) -> Iterator[str]:
    """A mapping in a sequence begins in the line of its hyphen; remarks that its first key has stand above that."""
    lines = list(_mapping(found.value, f"{indent}  "))
    first = next(i for i, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line.removeprefix("  ") for line in lines[:first])
    beside = f"  # {found.beside}" if found.beside else ""
    yield f"{indent}- {lines[first].removeprefix(indent + '  ')}{beside}"
    yield from lines[first + 1 :]


def _short(value: Mapping[str, Any] | Sequence[Any]) -> bool:
    """A list of a few words stands in one line."""
    words = not isinstance(value, Mapping) and all(isinstance(inner, str) and _BARE.fullmatch(inner) for inner in value)
    return words and len(", ".join(value)) < WIDTH


def _scalar(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_text, value))}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    if _BARE.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return _STRANGE.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(value, ensure_ascii=False))
