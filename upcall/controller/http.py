"""The HTTP API except for invokes: routes, transaction ids, error envelope (spec: rest-api.md §1–§3).

`make_app` gives an ASGI app: Starlette's router with one plain ASGI layer around it. The layer gives each request its
transaction id and each answer its header, removes `X-OW-EXTRA-LOGGING`, turns errors into the envelope and answers
OPTIONS. Routes see the path in encoded form, each segment decoded and encoded again, so that `%2F` in a name does not
become a separator and `%61` is `a`; handlers get decoded segments.

For a path that exists the checks go: credentials (401), names (400), method (405; HEAD is never GET). Collections may
end in a slash, entities may not; what is not GET on a collection with the slash is an entity without a name: 404.
Below `/namespaces` an unknown path asks for credentials too, as all of upstream's routes there do.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from upcall.controller import activations, docs, entities, operator, system
from upcall.controller.call import Call, Parts
from upcall.controller.envelope import (
    CORS,
    CORS_ROOT,
    TEXT,
    Answer,
    Written,
    failure,
    not_allowed,
    refusal,
    tid_bytes,
    transaction_id,
)
from upcall.controller.metrics import Metrics
from upcall.controller.operator import Outside
from upcall.errors import Failed, Malformed, NotFound, UpcallError
from upcall.model import texts
from upcall.model.names import name_error, namespace_error

Handler = Callable[[Call], Awaitable[Answer]]
OpenHandler = Callable[[Parts], Awaitable[Answer]]

API, NAMESPACES = "/api/v1", "/api/v1/namespaces"
ADMIN = {
    "/": system.info,
    "/ping": system.ping,
    "/invokers": system.invokers,
    "/invokers/healthy/count": system.healthy_count,
    "/invokers/ready": system.ready,
    "/activation": system.in_flight,
    "/activation/count": system.in_flight_count,
    "/docs": docs.to_page,
    "/docs/index.html": docs.page,
    "/api-docs": docs.api_docs,
}
TELLING = ("/invokers", "/activation")
"""Admin routes that tell of others' work: not for actions."""
API_OPEN = {
    API: system.api_info,
    f"{API}/": system.api_info,
    f"{API}/docs": docs.to_api_page,
    f"{API}/docs/index.html": docs.page,
    f"{API}/api-docs": docs.api_docs,
}
COLLECTIONS: Mapping[str, Handler] = {
    "": system.list_namespaces,
    "/{namespace}/limits": system.get_limits,
    "/{namespace}/actions": entities.list_actions,
    "/{namespace}/activations": activations.list_activations,
}
ACTION: Mapping[str, Handler] = {
    "GET": entities.get_action,
    "PUT": entities.put_action,
    "DELETE": entities.delete_action,
}
ENTITIES: Mapping[str, Mapping[str, Handler]] = {
    "/{namespace}/limits/{name}": {"GET": system.get_inner_limits},
    "/{namespace}/actions/{name}": ACTION,
    "/{namespace}/actions/{package}/{name}": ACTION,
    "/{namespace}/activations/{name}": {"GET": activations.get_activation},
    "/{namespace}/activations/{name}/": {"GET": activations.get_activation},
    "/{namespace}/activations/{name}/logs": {"GET": activations.get_logs},
    "/{namespace}/activations/{name}/result": {"GET": activations.get_result},
}
_EXTRA_LOGGING = b"x-ow-extra-logging"
_TID = "upcall.tid"
_log = logging.getLogger(__name__)


def make_app(parts: Parts) -> ASGIApp:
    """The app that answers everything but invokes."""
    routes = []
    for path, open_handler in (ADMIN | API_OPEN).items():
        anybody = Open(parts, open_handler)
        routes.append(Route(path, Outside(anybody) if path.startswith(TELLING) else anybody))
    for path, handler in COLLECTIONS.items():
        routes.append(Route(f"{NAMESPACES}{path}", Closed(parts, {"GET": handler})))
        routes.append(Route(f"{NAMESPACES}{path}/", Closed(parts, {"GET": handler}, nameless=True)))
    for path, handlers in ENTITIES.items():
        routes.append(Route(f"{NAMESPACES}{path}", Closed(parts, handlers)))
    package = Closed(parts, {"GET": entities.list_package}, nameless=True)
    routes.append(Route(f"{NAMESPACES}/{{namespace}}/actions/{{package}}/", package))
    if parts.metrics is not None:
        routes.append(Route("/metrics", Outside(Measured(parts.metrics))))
    if parts.operator is not None:
        routes += [Route(path, Outside(Operated(parts.operator, each))) for path, each in operator.ROUTES.items()]
    return Transactions(parts, Router(routes, redirect_slashes=False, default=Unknown(parts)))


class Transactions:
    """The layer around all routes."""

    def __init__(self, parts: Parts, app: ASGIApp) -> None:
        self._app = app
        self._figures = parts.figures
        self._header = parts.tid_header
        self._header_lower = parts.tid_header.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tid, began = transaction_id(dict(scope["headers"]).get(self._header_lower)), perf_counter()
        path = _encoded_again(scope)
        inner = {
            **scope,
            _TID: tid,
            "path": path,
            "headers": [header for header in scope["headers"] if header[0] != _EXTRA_LOGGING],
        }

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._figures.answered(scope["method"], message["status"], perf_counter() - began)
                named = (*message["headers"], (self._header, tid_bytes(tid)))
                message["headers"] = [(Written(name), value) for name, value in named]
            await send(message)

        try:
            answer = await self._guarded(inner, receive, send_with_id)
        except ClientDisconnect:
            return
        if answer is not None:
            await respond(send_with_id, answer)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """An answer where the app raised instead of giving one."""
        path, tid = scope["path"], scope[_TID]
        cors = CORS_ROOT if path in ADMIN else CORS
        below = path == API or path.startswith(f"{API}/")
        if scope["method"] == "OPTIONS" and (below or path in ADMIN):
            return 200, TEXT + cors, b"OK"
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            raise
        except UpcallError as error:
            if isinstance(error, Failed):
                _log.error("%s %s: %r", scope["method"], path, error, extra={"tid": tid})
            return failure(error, tid, cors)
        except Exception:  # noqa: BLE001 - the boundary of a request
            _log.exception("%s %s", scope["method"], path, extra={"tid": tid})
            return refusal(500, "", tid, allow=cors)
        return None


class Open:
    """A path that anybody may GET."""

    def __init__(self, parts: Parts, handler: OpenHandler) -> None:
        self._parts = parts
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await respond(send, await self._handler(self._parts))
        else:
            await respond(send, not_allowed("GET", scope[_TID]))


class Measured:
    """`/metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        get = scope["method"] == "GET"
        await respond(send, await self._metrics.answer(scope) if get else not_allowed("GET", scope[_TID]))


class Operated:
    """A path for the operator."""

    def __init__(self, who: operator.Operator, handlers: Mapping[str, operator.Handler]) -> None:
        self._who = who
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._who.check(_authorization(scope))
        handler = self._handlers.get(scope["method"])
        if handler is None:
            answer = not_allowed(", ".join(self._handlers), scope[_TID])
        else:
            answer = await handler(self._who.machine, Request(scope, receive))
        await respond(send, answer)


class Closed:
    """A path for callers with credentials; `nameless` paths are unknown to other methods than theirs."""

    def __init__(self, parts: Parts, handlers: Mapping[str, Handler], nameless: bool = False) -> None:
        self._parts = parts
        self._handlers = handlers
        self._nameless = nameless
        self._methods = ", ".join([*handlers, "POST"] if handlers is ACTION else handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        identity = await self._parts.authenticator.authenticate(_authorization(scope))
        path = _checked_path(scope["path_params"], identity.namespace.name)
        handler = self._handlers.get(scope["method"])
        if handler is not None:
            answer = await handler(Call(self._parts, request, identity, path))
        elif self._nameless:
            raise NotFound(texts.UNKNOWN_PATH)
        else:
            answer = not_allowed(self._methods, scope[_TID])
        await respond(send, answer)


class Unknown:
    """Where no route leads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(f"{NAMESPACES}/"):
            await self._parts.authenticator.authenticate(_authorization(scope))
        raise NotFound(texts.UNKNOWN_PATH)


async def respond(send: Send, answer: Answer) -> None:
    status, headers, body = answer
    lengths = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": lengths})
    await send({"type": "http.response.body", "body": body})


def _encoded_again(scope: Scope) -> str:
    raw = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    path = raw.partition(b"?")[0].decode("latin-1")
    return "/".join(quote(unquote(segment), safe="") for segment in path.split("/"))


def _checked_path(encoded: Mapping[str, str], own: str) -> dict[str, str]:
    """The decoded segments. Raises Malformed for what cannot be a name."""
    path = {key: unquote(segment) for key, segment in encoded.items()}
    for key, segment in path.items():
        wrong = namespace_error(segment) if key == "namespace" else name_error(segment)
        if wrong:
            raise Malformed(wrong)
    if path.get("namespace") == "_":
        path["namespace"] = own
    return path


def _authorization(scope: Scope) -> bytes | None:
    return dict(scope["headers"]).get(b"authorization")
