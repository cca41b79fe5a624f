"""One request to the API, and what every handler needs to answer it: the platform's parts, the caller, query and body.

A handler takes a `Call` and gives an `Answer`; what it raises from `upcall.errors` becomes the error envelope in
`upcall.controller.http`. Readers here raise with upstream's texts (spec: rest-api.md §1.2, §5). Of a query parameter
that is given twice the first counts; an empty boolean counts as absent, an empty number does not.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import MsgspecError
from starlette.requests import Request

from upcall import __version__
from upcall.controller.auth import Authenticator
from upcall.controller.cache import ActionCache
from upcall.controller.envelope import COMPLETED, TID_HEADER, Answer
from upcall.controller.figures import Figures
from upcall.controller.media import check_json
from upcall.controller.metrics import Metrics
from upcall.core.surrogates import mend
from upcall.errors import Malformed, TooLarge
from upcall.model import texts
from upcall.model.entities import Identity
from upcall.model.names import Json
from upcall.model.runtimes import Manifest
from upcall.model.sizes import MB, SystemLimits
from upcall.ports import Store

if TYPE_CHECKING:
    from upcall.controller.operator import Operator

LARGEST_BODY = 50 * MB
"""Bytes of any request; an action's code is base64 in JSON, so this is above the limit of an exec."""
_TRUE, _FALSE = frozenset(("true", "yes", "on", "1")), frozenset(("false", "no", "off", "0"))
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_INT = 2**31
_LONG = 2**63


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What `upcall.app` gives to the API."""

    store: Store
    authenticator: Authenticator
    actions: ActionCache
    manifest: Manifest
    limits: SystemLimits
    now: Callable[[], int]
    """Epoch ms."""
    invokers: Callable[[], dict[str, str]]
    """State by name: `{"invoker0/0": "up"}`; states are `up`, `unhealthy`, `unresponsive`, `down`."""
    in_flight: Callable[[], Sequence[tuple[str, str]]]
    """Activation id and action of what this Controller waits for."""
    figures: Figures
    metrics: Metrics | None = None
    """What `GET /metrics` shows; without it there is no such route."""
    operator: "Operator | None" = None
    """Who may ask for more; without there are no such routes."""
    kinds: Collection[str] = ()
    """The deployment's whitelist of kinds; empty allows all."""
    tid_header: bytes = TID_HEADER
    build: str = __version__
    build_number: str = __version__


class Call(msgspec.Struct, frozen=True):
    """A request of a known caller. `path` holds the decoded segments, `_` already being the caller's namespace."""

    parts: Parts
    request: Request
    identity: Identity
    path: dict[str, str]

    @property
    def namespace(self) -> str:
        return self.path["namespace"]


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is wanted."""

    skip: int
    limit: int
    count: bool


def ok(value: Json) -> Answer:
    """200 with the value as compact JSON."""
    return 200, COMPLETED, msgspec.json.encode(value)


def query_value(request: Request, name: str) -> str | None:
    return next(iter(request.query_params.getlist(name)), None)


def query_boolean(request: Request, name: str, default: bool = False) -> bool:
    value = (query_value(request, name) or "").lower()
    if value and value not in _TRUE and value not in _FALSE:
        raise malformed(name, texts.not_a_boolean(value))
    return value in _TRUE if value else default


def query_page(request: Request, collection: str, limits: SystemLimits) -> Page:
    """`limit` 0 means the most that one page may have."""
    limit = _query_int(request, "limit", collection, limits.list_default)
    if not 0 <= limit <= limits.list_max:
        raise malformed("limit", texts.not_in_range(limit, limits.list_max, collection))
    skip = _query_int(request, "skip", collection, 0)
    if skip < 0:
        raise malformed("skip", texts.not_positive(skip, collection))
    return Page(skip, limit or limits.list_max, query_boolean(request, "count"))


def query_time(request: Request, name: str) -> int | None:
    """Epoch ms; nothing is older than 0."""
    value = query_value(request, name)
    if value is None:
        return None
    number = _integer(value, _LONG)
    if number is None:
        raise malformed(name, texts.not_a_time(value))
    return max(number, 0)


def malformed(name: str, detail: str) -> Malformed:
    return Malformed(texts.malformed_query(name, detail))


async def read_json(request: Request) -> Json:
    """The body, which has to be JSON. Raises UnsupportedType, TooLarge, BadRequest."""
    content_type = request.headers.get("content-type", "")
    body = await _read_body(request)
    if body or content_type:
        check_json(content_type)
    if not body:
        raise Malformed(texts.ENTITY_EXPECTED)
    try:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError:
            return msgspec.json.decode(mend(body))
    except (MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(texts.malformed_content(str(error))) from None


async def _read_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = int(request.headers.get("content-length", "0"))
    if size <= LARGEST_BODY:
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_BODY:
                break
    if size > LARGEST_BODY:
        raise TooLarge(texts.request_too_large(size, LARGEST_BODY))
    return b"".join(chunks)


def _query_int(request: Request, name: str, collection: str, default: int) -> int:
    value = query_value(request, name)
    if value is None:
        return default
    number = _integer(value, _INT)
    if number is None:
        raise malformed(name, texts.not_an_integer(value, collection))
    return number


def _integer(value: str, bound: int) -> int | None:
    number = int(value) if _INTEGER.fullmatch(value) else None
    return number if number is not None and -bound <= number < bound else None
