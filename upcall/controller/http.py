"""The HTTP API except for invokes: routes, transaction ids, error envelope (spec: rest-api.md §1–§3).

`make_app` gives an ASGI app: Starlette's router with one plain ASGI layer around it (`upcall.http.layer`). Routes see
the path in encoded form; handlers get decoded segments.

For a path that exists the checks go: credentials (401), names (400), method (405; HEAD is never GET). Collections may
end in a slash, entities may not; what is not GET on a collection with the slash is an entity without a name: 404.
Below `/namespaces` an unknown path asks for credentials too, as all of upstream's routes there do.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from upcall.controller import activations, docs, entities, packages, rules, system, triggers
from upcall.controller.call import Call, Parts
from upcall.controller.web import WEB, Web
from upcall.errors import Malformed, NotFound
from upcall.http.envelope import CORS, CORS_ROOT, CORS_WEB, TEXT, Answer, Headers, not_allowed
from upcall.http.layer import TID, Layer, Measured, Open, Operated, authorization, respond
from upcall.http.operator import Outside
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
    "/{namespace}/packages": packages.list_packages,
    "/{namespace}/triggers": triggers.list_triggers,
    "/{namespace}/rules": rules.list_rules,
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
    "/{namespace}/packages/{name}": {
        "GET": packages.get_package,
        "PUT": packages.put_package,
        "DELETE": packages.delete_package,
    },
    "/{namespace}/triggers/{name}": {
        "GET": triggers.get_trigger,
        "PUT": triggers.put_trigger,
        "DELETE": triggers.delete_trigger,
        "POST": triggers.fire_trigger,
    },
    "/{namespace}/rules/{name}": {
        "GET": rules.get_rule,
        "PUT": rules.put_rule,
        "DELETE": rules.delete_rule,
        "POST": rules.set_status,
    },
    "/{namespace}/activations/{name}": {"GET": activations.get_activation},
    "/{namespace}/activations/{name}/": {"GET": activations.get_activation},
    "/{namespace}/activations/{name}/logs": {"GET": activations.get_logs},
    "/{namespace}/activations/{name}/result": {"GET": activations.get_result},
}


def make_app(parts: Parts) -> ASGIApp:
    """The app that answers everything but invokes."""
    routes = []
    for path, open_handler in (ADMIN | API_OPEN).items():
        anybody = Open(partial(open_handler, parts))
        routes.append(Route(path, Outside(anybody) if path.startswith(TELLING) else anybody))
    for path, handler in COLLECTIONS.items():
        routes.append(Route(f"{NAMESPACES}{path}", Closed(parts, {"GET": handler})))
        routes.append(Route(f"{NAMESPACES}{path}/", Closed(parts, {"GET": handler}, nameless=True)))
    for path, handlers in ENTITIES.items():
        routes.append(Route(f"{NAMESPACES}{path}", Closed(parts, handlers)))
    package = Closed(parts, {"GET": entities.list_package}, nameless=True)
    routes.append(Route(f"{NAMESPACES}/{{namespace}}/actions/{{package}}/", package))
    routes.append(Route(f"{WEB}/{{rest:path}}", Web(parts)))
    if parts.metrics is not None:
        routes.append(Route("/metrics", Outside(Measured(parts.metrics))))
    if parts.ready is not None:
        routes.append(Route("/ready", Outside(Open(parts.ready))))
    if parts.operator is not None:
        routes += [Route(path, Outside(Operated(parts.operator, each))) for path, each in parts.operator.routes.items()]
    router = Router(routes, redirect_slashes=False, default=Unknown(parts))
    return Layer(router, parts.tid_header, noted=parts.figures.answered, cors=_cors, preflight=_preflight)


class Closed:
    """A path for callers with credentials; `nameless` paths are unknown to other methods than theirs."""

    def __init__(self, parts: Parts, handlers: Mapping[str, Handler], nameless: bool = False) -> None:
        self._parts = parts
        self._handlers = handlers
        self._nameless = nameless
        self._methods = ", ".join([*handlers, "POST"] if handlers is ACTION else handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        identity = await self._parts.authenticator.authenticate(authorization(scope))
        path = _checked_path(scope["path_params"], identity.namespace.name)
        handler = self._handlers.get(scope["method"])
        if handler is not None:
            answer = await handler(Call(self._parts, request, identity, path))
        elif self._nameless:
            raise NotFound(texts.UNKNOWN_PATH)
        else:
            answer = not_allowed(self._methods, scope[TID])
        await respond(send, answer)


class Unknown:
    """Where no route leads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(f"{NAMESPACES}/"):
            await self._parts.authenticator.authenticate(authorization(scope))
        raise NotFound(texts.UNKNOWN_PATH)


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


def _cors(path: str) -> Headers:
    if path.startswith(f"{WEB}/"):
        return CORS_WEB
    return CORS_ROOT if path in ADMIN else CORS


def _preflight(scope: Scope) -> Answer | None:
    """OPTIONS need no credentials; those of web actions may be the action's."""
    path = scope["path"]
    below = path == API or (path.startswith(f"{API}/") and not path.startswith(f"{WEB}/"))
    return (200, TEXT + _cors(path), b"OK") if scope["method"] == "OPTIONS" and (below or path in ADMIN) else None
