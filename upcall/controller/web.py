"""Web actions over HTTP: `/api/v1/web/{namespace}/{package}/{action}[.extension][/path]` (spec: rest-api.md §11).

Anybody may call one, and it runs as the owner of its namespace: with the owner's rights, throttles and records. What
cannot be found, or is not exported, looks the same to strangers.
"""

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from upcall.controller.call import Parts
from upcall.core.limits import payload_limit
from upcall.core.params import merge
from upcall.core.web import (
    AUTH,
    EXPORT,
    OPTIONS,
    RAW,
    Refused,
    WebRequest,
    WebResponse,
    arguments,
    permits,
    split_extension,
    transcode,
)
from upcall.errors import NotFound, Rejected, TooLarge, Unauthorized, Unreadable, UpcallError
from upcall.http.envelope import CORS_WEB, Answer, Headers, Written, cors, failure, not_allowed, refusal
from upcall.http.layer import TID, authorization, respond
from upcall.model import texts, web_texts
from upcall.model.activation import Activation
from upcall.model.entities import Action, Identity
from upcall.model.names import Json, name_error, namespace_error

WEB = "/api/v1/web"
METHODS = "GET", "DELETE", "POST", "PUT", "HEAD", "OPTIONS", "PATCH"
_SEGMENTS = 3
_APPLICATION_ERROR = 1
_ANSWERED_BY = "x-require-whisk-auth"


class Place(msgspec.Struct, frozen=True):
    """What a path names."""

    namespace: str
    package: str
    """Empty: the default one."""
    name: str
    extension: str
    rest: str
    """As it was written: `/a/b`, or empty."""

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.package}" if self.package else self.namespace


class Web:
    """The route of all web actions."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in METHODS:
            await respond(send, not_allowed(", ".join(METHODS), scope[TID]))
            return
        place = _place(scope)
        owner, action = await self._found(place)
        custom = action.annotation(OPTIONS) is True
        allow = () if custom else _cors(scope)
        if scope["method"] == "OPTIONS" and not custom:
            await respond(send, (200, allow, b""))
            return
        try:
            answer = await self._answer(Request(scope, receive), place, owner, action, allow)
        except UpcallError as error:
            answer = failure(error, scope[TID], allow)
        await respond(send, answer)

    async def _found(self, place: Place) -> tuple[Identity, Action]:
        """Raises NotFound, for whatever reason."""
        owner = await self._parts.store.owner(place.namespace)
        if owner is None:
            raise NotFound
        try:
            action = await self._parts.resolver.shown(place.path, place.name)
        except (Rejected, Unreadable):
            raise NotFound from None
        if action.annotation(EXPORT) is not True:
            raise NotFound
        return owner, action

    async def _answer(self, request: Request, place: Place, owner: Identity, action: Action, allow: Headers) -> Answer:
        parts, tid = self._parts, request.scope[TID]
        caller = await self._caller(request.scope)
        token = request.headers.get(_ANSWERED_BY)
        if request.method != "OPTIONS" and not permits(action.annotation(AUTH), token, caller is not None):
            return _told(401, texts.DEFAULTS[401], tid, allow)
        await parts.starter.admit(owner)
        plan = await parts.resolver.plan(owner, place.path, place.name)
        body = await _read(request, payload_limit(parts.limits, owner.limits))
        user = caller.namespace.name if caller else ""
        query = request.scope["query_string"].decode("latin-1")
        web = WebRequest(request.method, place.rest, query, _headers(request.scope), body, user)
        given = merge(plan.defaults, arguments(web, plan.defaults, action.annotation(RAW) is True))
        id, activation = await parts.starter.call(owner, plan, given, tid, parts.limits.blocking_wait)
        named = (*allow, (b"x-openwhisk-activation-id", id.encode()))
        if activation is None:
            return _told(202, web_texts.NOT_YET_READY, tid, named)
        try:
            return _shown(transcode(place.extension, _result(activation), request.headers.get("accept", "")), named)
        except Refused as refused:
            return _told(refused.status, str(refused), tid, () if refused.status == 406 else named)

    async def _caller(self, scope: Scope) -> Identity | None:
        header = authorization(scope)
        if header is None:
            return None
        try:
            return await self._parts.authenticator.authenticate(header)
        except Unauthorized:
            return None


def _place(scope: Scope) -> Place:
    """Raises NotFound."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    segments = raw.partition(b"?")[0].decode("latin-1").removeprefix(f"{WEB}/").split("/")
    if len(segments) < _SEGMENTS:
        raise NotFound
    namespace, package, name = (unquote(segment) for segment in segments[:_SEGMENTS])
    name, extension = split_extension(name)
    if namespace_error(namespace) or name_error(package) or name_error(name):
        raise NotFound
    rest = "/".join(segments[_SEGMENTS:])
    return Place(
        namespace,
        "" if package == "default" else package,
        name,
        extension,
        f"/{rest}" if len(segments) > _SEGMENTS else "",
    )


async def _read(request: Request, limit: int) -> bytes:
    """Raises TooLarge."""
    size = int(request.headers.get("content-length", "0"))
    body = b""
    if size <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
    if max(size, len(body)) > limit:
        raise TooLarge(texts.request_too_large(max(size, len(body)), limit))
    return body


def _headers(scope: Scope) -> Mapping[str, str]:
    """Of those that come twice the last counts."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _cors(scope: Scope) -> Headers:
    asked = dict(scope["headers"]).get(b"access-control-request-headers")
    return cors(b"OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH", asked) if asked else CORS_WEB


def _result(activation: Activation) -> Json:
    """What is to be shown of it. Raises Refused."""
    response = activation.response
    if response.status_code > _APPLICATION_ERROR:
        raise Refused(400, web_texts.PROCESSING_FAILED)
    result: Json = None if response.result is msgspec.UNSET else msgspec.json.decode(response.result)
    if response.status_code == _APPLICATION_ERROR and isinstance(result, dict):
        return result.get("error", result)
    return result


def _shown(response: WebResponse, extra: Headers) -> Answer:
    named: list[tuple[bytes, bytes]] = [(Written(name.encode()), value.encode()) for name, value in response.headers]
    if response.content_type:
        named.append((b"Content-Type", response.content_type.encode("latin-1", "replace")))
    return response.status, (*named, *extra), response.body


def _told(status: int, text: str, tid: str, allow: Headers) -> Answer:
    """With the route's own headers, whatever the status."""
    return refusal(status, text, tid, allow, ())
