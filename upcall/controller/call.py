"""One request to the API, and what every handler needs to answer it: the platform's parts, the caller, query and body.

A handler takes a `Call` and gives an `Answer`; what it raises from `upcall.errors` becomes the error envelope in
`upcall.controller.http`. Readers here raise with upstream's texts (spec: rest-api.md §1.2, §5). Of a query parameter
that is given twice the first counts; an empty boolean counts as absent, an empty number does not.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Container, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request

from upcall import __version__
from upcall.controller.auth import Authenticator
from upcall.controller.figures import Figures
from upcall.controller.resolve import Resolver
from upcall.controller.start import Starter
from upcall.errors import Malformed
from upcall.http.envelope import COMPLETED, TID_HEADER, Answer
from upcall.http.metrics import Metrics
from upcall.model import texts
from upcall.model.entities import Identity, Parameter
from upcall.model.names import Json
from upcall.model.runtimes import Manifest
from upcall.model.sizes import SystemLimits
from upcall.ports import Store

if TYPE_CHECKING:
    from upcall.http.operator import Operator

_TRUE, _FALSE = frozenset(("true", "yes", "on", "1")), frozenset(("false", "no", "off", "0"))
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_INT = 2**31
_LONG = 2**63


class Policy(msgspec.Struct, frozen=True):
    """What the operator says of documents."""

    lock: Callable[[list[Parameter]], list[Parameter]] = list
    """Locks parameters that are written."""
    execute_only: bool = False
    """Whether what is in others' packages is called, and not read."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What `upcall.app` gives to the API."""

    store: Store
    authenticator: Authenticator
    resolver: Resolver
    starter: Starter
    written: Callable[[str], None]
    """Called with the id of each document that was written or deleted, or may have been."""
    manifest: Manifest
    limits: SystemLimits
    now: Callable[[], int]
    """Epoch ms."""
    invokers: Callable[[], dict[str, str]]
    """State by name: `{"invoker0/0": "up"}`; states are `up`, `unhealthy`, `unresponsive`, `down`."""
    readiness: float = 1.0
    """Which share of them has to be up."""
    in_flight: Callable[[], Sequence[tuple[str, str]]]
    """Activation id and action of what this Controller waits for."""
    figures: Figures
    recent: Container[str] = ()
    """Activations whose result was told a moment ago."""
    logs_elsewhere: bool = False
    """Whether records have no logs, because something else takes them (spec: logs.md §6)."""
    metrics: Metrics | None = None
    """What `GET /metrics` shows; without it there is no such route."""
    operator: "Operator | None" = None
    """Who may ask for more; without there are no such routes."""
    ready: Callable[[], Awaitable[Answer]] | None = None
    """What `GET /ready` says; without it there is no such route."""
    policy: Policy = Policy()
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
