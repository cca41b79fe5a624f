"""Drives the ASGI app in process: one request, one whole answer."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.types import ASGIApp

from tests.api.contract import LIMITS, check
from tests.api.platform import INSTANCE, StubInvoker
from upcall.bus.memory import MemoryBus
from upcall.controller.acks import Acks
from upcall.controller.admission import Admission
from upcall.controller.auth import Authenticator
from upcall.controller.cache import DocumentCache
from upcall.controller.call import Parts
from upcall.controller.compose import Composer
from upcall.controller.figures import Figures
from upcall.controller.fleet import Fleet
from upcall.controller.http import make_app
from upcall.controller.invoke import Invocations
from upcall.controller.resolve import Resolver
from upcall.controller.start import Starter
from upcall.core.health import State
from upcall.core.throttle import Throttles
from upcall.model.entities import Identity, Limits, NamespaceKey, Subject, UserLimits
from upcall.model.runtimes import parse_manifest
from upcall.store.fake import FakeStore
from upcall.store.sqlite import SqliteStore
from upcall.testing import unexpected

KEY = "k" * 64
UUIDS = {
    "guest": "23bc46b1-71f6-4ed5-8c54-816aa4f8c502",
    "other": "23bc46b1-71f6-4ed5-8c54-816aa4f8c503",
    "small": "23bc46b1-71f6-4ed5-8c54-816aa4f8c504",
}
SMALL = UserLimits(
    invocations_per_minute=1,
    concurrent_invocations=5,
    fires_per_minute=2,
    allowed_kinds=["python:3.11", "blackbox"],
    store_activations=False,
    max_action_memory=256,
    min_action_memory=130,
    max_action_timeout=600_000,
    min_action_timeout=200,
    max_action_logs=5,
    max_parameter_size="1 KB",
    max_payload_size="1 KB",
)
MANIFEST = parse_manifest(
    msgspec.json.encode(
        {
            "runtimes": {
                "nodejs": [{"kind": "nodejs:20", "image": {"prefix": "openwhisk", "name": "node", "tag": "nightly"}}],
                "python": [
                    {"kind": "python:3.10", "image": {"name": "p10"}, "deprecated": True},
                    {
                        "kind": "python:3.11",
                        "image": {"name": "p11"},
                        "default": True,
                        "requireMain": False,
                        "attached": {"attachmentName": "codefile", "attachmentType": "text/plain"},
                    },
                ],
            }
        }
    )
)
Headers = list[tuple[bytes, bytes]]


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> str:
        """The text, where the body is the envelope with this answer's transaction id."""
        assert self.headers["content-type"] == "application/json"
        assert self.json.keys() == {"error", "code"}
        assert self.json["code"] == self.headers["x-request-id"]
        return str(self.json["error"])


class Api:
    """The app on a store with three subjects: guest, other, and small, who has limits of its own."""

    def __init__(self, store: FakeStore | SqliteStore | None = None, **parts: Any) -> None:
        self.store = store or FakeStore()
        self.time = 1_795_400_000_000
        self.invokers = {"invoker0/0": "up"}
        self.in_flight: list[tuple[str, str]] = []
        self.actions = DocumentCache(self.store)
        self.bus, self.fleet = MemoryBus(), Fleet()
        self.fleet.learn(INSTANCE, 4096)
        self.fleet.move(0, State.HEALTHY)
        self.invoker = StubInvoker(self.bus)
        self.acks = Acks(self.bus, "0", self.fleet.release, unexpected)
        self.invocations = Invocations(self.store, self.bus, self.acks, fleet=self.fleet, controller="0")
        resolver, admission = Resolver(self.actions), Admission(Throttles(LIMITS, self.acks.in_flight))
        self.invocations.composer = Composer(self.invocations, resolver, self.store, LIMITS.sequence_length)
        starter = Starter(self.invocations, resolver, admission, self.store, LIMITS, clock=lambda: self.time / 1000)
        self.parts = Parts(
            **{
                "store": self.store,
                "authenticator": Authenticator(self.store),
                "resolver": resolver,
                "starter": starter,
                "written": self.actions.forget,
                "manifest": MANIFEST,
                "limits": LIMITS,
                "now": self.now,
                "invokers": lambda: self.invokers,
                "in_flight": lambda: self.in_flight,
                "figures": Figures(),
                **parts,
            }
        )
        self.app: ASGIApp = make_app(self.parts)

    async def identity(self, name: str = "guest") -> Identity:
        found = await self.store.identity(UUIDS[name], KEY)
        assert found is not None
        return found

    def now(self) -> int:
        self.time += 1
        return self.time

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Api"]:
        """With an Invoker that answers, and acks that are heard."""
        await self.add_subjects()
        await self.acks.start()
        await self.invoker.start()
        async with self.invocations:
            yield self
        await self.acks.close()

    async def add_subjects(self) -> None:
        for name, uuid in UUIDS.items():
            await self.store.put(Subject(f"{name}-subject", [NamespaceKey(name, uuid, KEY)]))
        await self.store.put(Limits("small", SMALL))

    def basic(self, user: str) -> bytes:
        return b"Basic " + base64.b64encode(f"{UUIDS.get(user, user)}:{KEY}".encode())

    async def __call__(
        self, method: str, path: str, json: Any = None, *, user: str | None = "guest", **options: Any
    ) -> Reply:
        """`path` is below /api/v1/namespaces unless it starts with a slash; `body` and `headers` may be given raw."""
        headers: Headers = [(key.lower().encode(), value.encode()) for key, value in options.get("headers", {}).items()]
        body: bytes = options.get("body", b"")
        if json is not None:
            body = msgspec.json.encode(json)
            headers.append((b"content-type", b"application/json"))
        if body:
            headers.append((b"content-length", b"%d" % len(body)))
        if user:
            headers.append((b"authorization", self.basic(user)))
        full = path if path.startswith("/") else f"/api/v1/namespaces/{path}"
        reply = await exchange(self.app, method, full, headers, body)
        check(method, full, reply.status, reply.headers.get("content-type", ""), reply.body)
        return reply


async def exchange(app: Callable[..., Any], method: str, path: str, headers: Headers, body: bytes) -> Reply:
    raw, _, query = path.encode().partition(b"?")
    reply = Reply(0, {}, b"")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {key.decode().lower(): value.decode() for key, value in message["headers"]}
        else:
            reply.body += message["body"]

    scope = {"type": "http", "method": method, "raw_path": raw, "path": raw.decode(), "query_string": query}
    await app({**scope, "root_path": "", "headers": headers}, receive, send)
    assert int(reply.headers["content-length"]) == len(reply.body)
    return reply
