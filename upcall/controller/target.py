"""What the URL of an invoke asks for (spec: rest-api.md §2, §3, §6.5): pure, and worth keeping by the URL's bytes.

`POST /api/v1/namespaces/{ns}/actions/[{package}/]{name}?blocking=&result=&timeout=`. What is wrong with it is told only
when its turn comes: names after authentication, the query after rights.
"""

import re
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from upcall.model import texts
from upcall.model.names import name_error, namespace_error

_PREFIX = [b"", b"api", b"v1", b"namespaces"]
LONGEST_WAIT = 60_000
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Target(msgspec.Struct, frozen=True):
    """`namespace` may be `_`. `timeout` is in ms."""

    namespace: str
    package: str
    name: str
    resource: str
    """`[package/]name`"""
    name_problem: str | None = None
    query_problem: str | None = None
    blocking: bool = False
    result: bool = False
    timeout: int = LONGEST_WAIT


NOWHERE = Target("", "", "", "")
"""Of a request that is refused by its head."""


def parse_target(url: bytes) -> Target | None:
    """None where the path is another route's. Names are decoded after the path is cut, so `%2F` is part of a name."""
    path, _, query = url.partition(b"#")[0].partition(b"?")
    prefix, parts = _cut(path)
    if prefix != _PREFIX or len(parts) not in (3, 4) or unquote_to_bytes(parts[1]) != b"actions" or not all(parts):
        return None
    # characters outside ASCII are illegal in names, and so is what stands for bytes that are no UTF-8
    namespace, _, *rest = (unquote_to_bytes(part).decode(errors="replace") for part in parts)
    package, name = rest if len(rest) == 2 else ("", rest[0])
    problem = (
        (namespace_error(namespace) if namespace != "_" else None)
        or (name_error(package) if package else None)
        or name_error(name)
    )
    target = Target(namespace, package, name, "/".join(rest), problem)
    return _with_query(target, query) if query else target


def _cut(path: bytes) -> tuple[list[bytes], list[bytes]]:
    """The first segments, decoded, and what is below them; of `http://host/path` the path counts."""
    if not path.startswith(b"/"):
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    segments = path.split(b"/")
    return [unquote_to_bytes(segment) for segment in segments[:4]], segments[4:]


def _with_query(target: Target, query: bytes) -> Target:
    """The first one of a repeated parameter counts; unknown ones do not, nor does an empty flag."""
    given = dict(reversed(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))
    try:
        return msgspec.structs.replace(
            target,
            blocking=_flag(given, "blocking"),
            result=_flag(given, "result"),
            timeout=_timeout(given.get("timeout")),
        )
    except ValueError as error:
        return msgspec.structs.replace(target, query_problem=str(error))


def _flag(given: dict[str, str], name: str) -> bool:
    value = (given.get(name) or "false").lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(texts.malformed_query(name, texts.not_a_boolean(value)))


def _timeout(value: str | None) -> int:
    if value is None:
        return LONGEST_WAIT
    number = int(value) if _INTEGER.fullmatch(value) else 0
    if 1 <= number <= LONGEST_WAIT:
        return number
    raise ValueError(texts.malformed_query("timeout", texts.TIMEOUT_PARAMETER))
