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


class Machine(Protocol):
    """What is operated."""

    @property
    def name(self) -> str:
        """`invoker0`"""

    @property
    def disabled(self) -> bool: ...

    def enable(self) -> bool:
        """Whether that changed anything."""

    def disable(self) -> bool: ...

    async def status(self) -> Json: ...

    async def pool(self) -> Json: ...

    async def containers(self) -> list[Json]: ...

    def story(self, container: str) -> list[Json] | None: ...

    def log_level(self) -> str: ...

    def set_log_level(self, level: str) -> None: ...


class Operator:
    """Who may operate which machine; `credentials` are `USER:PASSWORD`."""

    def __init__(self, credentials: str, machine: Machine) -> None:
        self._credentials = credentials.encode()
        self.machine = machine

    def check(self, header: bytes | None) -> None:
        """Raises Unauthorized."""
        scheme, _, value = (header or b"").partition(b" ")
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            given = b""
        if scheme.lower() != b"basic" or not hmac.compare_digest(given, self._credentials):
            raise Unauthorized(texts.OPERATOR_REFUSED)


Handler = Callable[[Machine, Request], Awaitable[Answer]]


async def status(machine: Machine, request: Request) -> Answer:
    return _json(await machine.status())


async def pool(machine: Machine, request: Request) -> Answer:
    return _json(await machine.pool())


async def pool_count(machine: Machine, request: Request) -> Answer:
    return _text(str(len(await machine.containers())))


async def containers(machine: Machine, request: Request) -> Answer:
    return _json(await machine.containers())


async def story(machine: Machine, request: Request) -> Answer:
    found = machine.story(request.path_params["container"])
    if found is None:
        raise NotFound(texts.DEFAULTS[404])
    return _json(found)


async def enable(machine: Machine, request: Request) -> Answer:
    return _text(f"{machine.name} is {'now' if machine.enable() else 'already'} enabled.")


async def disable(machine: Machine, request: Request) -> Answer:
    return _text(f"{machine.name} is {'now' if machine.disable() else 'already'} disabled.")


async def is_enabled(machine: Machine, request: Request) -> Answer:
    return 200, TEXT, msgspec.json.encode({"enabled": not machine.disabled})


async def get_log_level(machine: Machine, request: Request) -> Answer:
    return _json({"level": machine.log_level()})


async def put_log_level(machine: Machine, request: Request) -> Answer:
    """`{"level": "debug"}`; until the platform ends."""
    body = await read_json(request)
    wanted = body.get("level") if isinstance(body, dict) else None
    if not isinstance(wanted, str):
        raise Malformed('a log level is wanted, as {"level": "debug"}')
    try:
        level = log_level(wanted)
    except ValueError as error:
        raise Malformed(f"the log level {error}") from None
    machine.set_log_level(level)
    return _json({"level": level})


ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/status": {"GET": status},
    "/pool": {"GET": pool},
    "/pool/count": {"GET": pool_count},
    "/pool/containers": {"GET": containers},
    "/pool/containers/{container}/story": {"GET": story},
    "/enable": {"POST": enable},
    "/disable": {"POST": disable},
    "/isEnabled": {"GET": is_enabled},
    "/loglevel": {"GET": get_log_level, "PUT": put_log_level},
}


class Outside:
    """A path that is unknown to who asks from inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(INSIDE):
            raise NotFound(texts.UNKNOWN_PATH)
        await self._app(scope, receive, send)


def _json(value: Json) -> Answer:
    return 200, JSON, msgspec.json.encode(value)


def _text(text: str) -> Answer:
    return 200, TEXT, text.encode()
