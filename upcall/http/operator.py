"""What only the operator may see and do (spec: invoker.md §8): the pool, containers and their stories, the platform's
status, enable and disable, the level of the log.

All of it is behind credentials of its own, which are no tenant's, and none of it exists for who asks from inside an
action's network; nor do the routes there that tell of others' work and that anybody outside may ask.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from upcall.errors import Malformed, NotFound, Unauthorized
from upcall.http.body import read_json
from upcall.http.envelope import JSON, TEXT, Answer
from upcall.model import texts
from upcall.model.forms import log_level
from upcall.model.names import Json

INSIDE = "upcall.inside"
"""In a scope: whether the request came through a tenant's network."""


class Process(Protocol):
    """What is watched."""

    async def status(self) -> Json: ...

    def log_level(self) -> str: ...

    def set_log_level(self, level: str) -> None: ...


class Machine(Process, Protocol):
    """What is operated."""

    @property
    def name(self) -> str:
        """`invoker0`"""

    @property
    def disabled(self) -> bool: ...

    def enable(self) -> bool:
        """Whether that changed anything."""

    def disable(self) -> bool: ...

    async def pool(self) -> Json: ...

    async def containers(self) -> list[Json]: ...

    def story(self, container: str) -> list[Json] | None: ...


Handler = Callable[[Request], Awaitable[Answer]]
Routes = Mapping[str, Mapping[str, Handler]]
"""By path and method."""


class Operator:
    """Who may use which routes; `credentials` are `USER:PASSWORD`, `refused` is what others are told."""

    def __init__(self, credentials: str, routes: Routes, refused: str = texts.OPERATOR_REFUSED) -> None:
        self._credentials = credentials.encode()
        self._refused = refused
        self.routes = routes

    def check(self, header: bytes | None) -> None:
        """Raises Unauthorized."""
        scheme, _, value = (header or b"").partition(b" ")
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            given = b""
        if scheme.lower() != b"basic" or not hmac.compare_digest(given, self._credentials):
            raise Unauthorized(self._refused)


def process_routes(process: Process) -> Routes:
    """Of every role."""

    async def status(request: Request) -> Answer:
        return json_answer(await process.status())

    async def log_level(request: Request) -> Answer:
        return json_answer({"level": process.log_level()})

    async def set_log_level(request: Request) -> Answer:
        """`{"level": "debug"}`; until the platform ends."""
        level = _wanted_level(await read_json(request))
        process.set_log_level(level)
        return json_answer({"level": level})

    return {"/status": {"GET": status}, "/loglevel": {"GET": log_level, "PUT": set_log_level}}


def machine_routes(machine: Machine) -> Routes:
    """Of an Invoker."""

    async def pool(request: Request) -> Answer:
        return json_answer(await machine.pool())

    async def pool_count(request: Request) -> Answer:
        return text_answer(str(len(await machine.containers())))

    async def containers(request: Request) -> Answer:
        return json_answer(await machine.containers())

    async def story(request: Request) -> Answer:
        found = machine.story(request.path_params["container"])
        if found is None:
            raise NotFound(texts.DEFAULTS[404])
        return json_answer(found)

    async def enable(request: Request) -> Answer:
        return text_answer(f"{machine.name} is {'now' if machine.enable() else 'already'} enabled.")

    async def disable(request: Request) -> Answer:
        return text_answer(f"{machine.name} is {'now' if machine.disable() else 'already'} disabled.")

    async def is_enabled(request: Request) -> Answer:
        return 200, TEXT, msgspec.json.encode({"enabled": not machine.disabled})

    return {
        **process_routes(machine),
        "/pool": {"GET": pool},
        "/pool/count": {"GET": pool_count},
        "/pool/containers": {"GET": containers},
        "/pool/containers/{container}/story": {"GET": story},
        "/enable": {"POST": enable},
        "/disable": {"POST": disable},
        "/isEnabled": {"GET": is_enabled},
    }


class Outside:
    """A path that is unknown to who asks from inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(INSIDE):
            raise NotFound(texts.UNKNOWN_PATH)
        await self._app(scope, receive, send)


def json_answer(value: Json, status: int = 200) -> Answer:
    return status, JSON, msgspec.json.encode(value)


def text_answer(text: str) -> Answer:
    return 200, TEXT, text.encode()


def _wanted_level(body: Json) -> str:
    """Raises Malformed."""
    wanted = body.get("level") if isinstance(body, dict) else None
    if not isinstance(wanted, str):
        raise Malformed('a log level is wanted, as {"level": "debug"}')
    try:
        return log_level(wanted)
    except ValueError as error:
        raise Malformed(f"the log level {error}") from None
