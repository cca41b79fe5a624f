"""The ASGI layer around all routes of a role, and the routes that more than one role has.

The layer gives each request its transaction id and each answer its header, removes `X-OW-EXTRA-LOGGING`, and turns
errors into the envelope. Routes see the path in encoded form, each segment decoded and encoded again, so that `%2F` in
a name does not become a separator and `%61` is `a`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from upcall.errors import Failed, NotFound, UpcallError
from upcall.http.envelope import (
    Answer,
    Headers,
    Written,
    failure,
    not_allowed,
    refusal,
    tid_bytes,
    transaction_id,
)
from upcall.http.metrics import Metrics
from upcall.http.operator import Handler, Operator
from upcall.model import texts

TID = "upcall.tid"
"""In a scope: the transaction id."""
_EXTRA_LOGGING = b"x-ow-extra-logging"
_log = logging.getLogger(__name__)

Noted = Callable[[str, int, float], None]
"""Told of method, status and seconds of each answer."""


class Layer:
    """`header` carries the transaction id, `cors` gives the headers of a path's answers, `preflight` an answer for what
    no route has to see."""

    def __init__(
        self,
        app: ASGIApp,
        header: bytes,
        *,
        noted: Noted = lambda method, status, seconds: None,
        cors: Callable[[str], Headers] = lambda path: (),
        preflight: Callable[[Scope], Answer | None] = lambda scope: None,
    ) -> None:
        self._app = app
        self._header = header
        self._header_lower = header.lower()
        self._noted = noted
        self._cors = cors
        self._preflight = preflight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tid, began = transaction_id(dict(scope["headers"]).get(self._header_lower)), perf_counter()
        inner = {
            **scope,
            TID: tid,
            "path": _encoded_again(scope),
            "headers": [header for header in scope["headers"] if header[0] != _EXTRA_LOGGING],
        }

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._noted(scope["method"], message["status"], perf_counter() - began)
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
        path, tid = scope["path"], scope[TID]
        if (at_once := self._preflight(scope)) is not None:
            return at_once
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            raise
        except UpcallError as error:
            if isinstance(error, Failed):
                _log.error("%s %s: %r", scope["method"], path, error, extra={"tid": tid})
            return failure(error, tid, self._cors(path))
        except Exception:  # noqa: BLE001 - the boundary of a request
            _log.exception("%s %s", scope["method"], path, extra={"tid": tid})
            return refusal(500, "", tid, allow=self._cors(path))
        return None


class Open:
    """A path that anybody may GET."""

    def __init__(self, handler: Callable[[], Awaitable[Answer]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        get = scope["method"] == "GET"
        await respond(send, await self._handler() if get else not_allowed("GET", scope[TID]))


class Measured:
    """`/metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        get = scope["method"] == "GET"
        await respond(send, await self._metrics.answer(scope) if get else not_allowed("GET", scope[TID]))


class Operated:
    """A path for the operator."""

    def __init__(self, who: Operator, handlers: Mapping[str, Handler]) -> None:
        self._who = who
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._who.check(authorization(scope))
        handler = self._handlers.get(scope["method"])
        if handler is None:
            answer = not_allowed(", ".join(self._handlers), scope[TID])
        else:
            answer = await handler(Request(scope, receive))
        await respond(send, answer)


async def unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """Where no route leads."""
    raise NotFound(texts.UNKNOWN_PATH)


async def respond(send: Send, answer: Answer) -> None:
    status, headers, body = answer
    lengths = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": lengths})
    await send({"type": "http.response.body", "body": body})


def authorization(scope: Scope) -> bytes | None:
    return dict(scope["headers"]).get(b"authorization")


def _encoded_again(scope: Scope) -> str:
    raw = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    path = raw.partition(b"?")[0].decode("latin-1")
    return "/".join(quote(unquote(segment), safe="") for segment in path.split("/"))
