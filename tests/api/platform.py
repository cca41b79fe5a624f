"""A controller's HTTP side with fakes behind it: the real server, protocol, route and acks on the memory bus; a fake
store; an Invoker that answers as it is told; and an ASGI app that echoes in place of the other routes."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.api.contract import check
from upcall.bus.memory import MemoryBus
from upcall.controller.acks import Acks
from upcall.controller.admission import Admission
from upcall.controller.auth import Authenticator
from upcall.controller.cache import DocumentCache
from upcall.controller.doors import Doors
from upcall.controller.events import Events
from upcall.controller.exchange import Edge
from upcall.controller.fleet import Fleet
from upcall.controller.invoke import Invocations
from upcall.controller.resolve import Resolver
from upcall.controller.route import InvokeRoute
from upcall.controller.server import Server
from upcall.core.health import State
from upcall.core.throttle import Held, Throttles
from upcall.http.listening import listen
from upcall.model.activation import Activation, Response
from upcall.model.entities import Action, ActionLimits, Exec, NamespaceKey, Subject
from upcall.model.messages import ActivationMessage, CombinedMessage, Message, completed_topic, invoker_topic
from upcall.model.names import InvokerId, Json
from upcall.model.sizes import SystemLimits
from upcall.ports import Feed
from upcall.store.fake import FakeStore
from upcall.testing import unexpected

UUID, KEY = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502", "k" * 64
AUTH = b"Basic " + base64.b64encode(f"{UUID}:{KEY}".encode())
INSTANCE = InvokerId(0, "2147483648 B")
PATH = "/api/v1/namespaces/_/actions/hello"
INVOKE, OTHER = f"{PATH}?blocking=true&result=true", "/other"
ROUTES = pytest.mark.parametrize("path", [INVOKE, OTHER], ids=["invoke", "asgi"])


def an_action(name: str = "hello", **members: Any) -> Action:
    return Action("guest", name, Exec("python:3", "def main(a): return a"), ActionLimits(60_000, 256), **members)


def a_record(message: ActivationMessage, response: Response) -> Activation:
    return Activation(
        message.user.namespace.name,
        message.action.name,
        message.user.subject,
        message.activation_id,
        1000,
        1030,
        response=response,
        logs=["a line"],
    )


class StubInvoker:
    """Takes every message; answers it by `answer`, or keeps it where that gives None."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.messages: list[ActivationMessage] = []
        self.arrived = asyncio.Event()
        self.answer: Callable[[ActivationMessage], Response | None] = lambda message: Response(0, message.content)
        self._feed: Feed | None = None

    async def start(self) -> None:
        self._feed = await self.bus.feed(invoker_topic(0), "invoker0", self._take, unexpected)
        self._feed.pull(1_000_000)

    def _take(self, offset: int, message: Message, started: bool) -> None:
        assert isinstance(message, ActivationMessage)
        assert self._feed is not None
        self.messages.append(message)
        self.arrived.set()
        self._feed.done(offset)
        if response := self.answer(message):
            self.finish(message, response)

    def finish(self, message: ActivationMessage, response: Response) -> None:
        record = a_record(message, response)
        self.send(CombinedMessage(message.transid, record, response.status_code == 3, INSTANCE))

    def send(self, message: Message) -> None:
        self.bus.send(completed_topic("0"), message)

    async def message(self, number: int = 0) -> ActivationMessage:
        """Wait for the message of that number."""
        while len(self.messages) <= number:
            self.arrived.clear()
            await self.arrived.wait()
        return self.messages[number]


class EchoApp:
    """Answers `method path body-length` as JSON; the request it is at is held back while `go` is clear."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.entered = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.entered.set()
        size = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                self.gone.set()
                return
            size += len(event["body"])
            if not event["more_body"]:
                break
        await self.go.wait()
        body = msgspec.json.encode([scope["method"], scope["path"], size])
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Answered(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return msgspec.json.decode(self.body)


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> Answered:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answered(int(first.split(" ")[1]), headers, body)

    async def ask(self, data: bytes) -> Answered:
        self.send(data)
        answered = await self.answer()
        if data.startswith(b"POST /"):
            url = data.split(b" ", 2)[1].decode("latin-1")
            check("POST", url, answered.status, answered.headers.get("content-type", ""), answered.body)
        return answered

    async def ended(self) -> bool:
        """Wait for the end of what the server sends; whether there was nothing before it."""
        return await self.reader.read() == b""


def a_request(
    path: str = f"{PATH}?blocking=true",
    body: bytes = b"",
    *,
    method: str = "POST",
    auth: bytes | None = AUTH,
    version: str = "1.1",
    headers: dict[str, str] | None = None,
    length: bool = True,
) -> bytes:
    given = {"Host": "x", "Content-Type": "application/json"} | ({"Content-Length": str(len(body))} if length else {})
    given |= headers or {}
    lines = [f"{method} {path} HTTP/{version}".encode(), *(f"{n}: {v}".encode() for n, v in given.items())]
    if auth is not None:
        lines.append(b"Authorization: " + auth)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Platform:
    """All parts; `run` starts them."""

    def __init__(self, **edge: Any) -> None:
        self.edge_settings = edge
        self.interval = 1.0
        self.limits = SystemLimits(invocations_per_minute=1000, concurrent_invocations=100)
        self.store = FakeStore()
        self.bus = MemoryBus()
        self.invoker = StubInvoker(self.bus)
        self.app = EchoApp()
        self.fleet = Fleet()
        self.fleet.learn(INSTANCE, 4096)
        self.fleet.move(0, State.HEALTHY)
        self.agree: Callable[[Held], Awaitable[None]] | None = None
        self.events: Events | None = None
        self.doors = Doors()
        self._clients: list[Client] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Platform"]:
        await self._fill()
        self.acks = Acks(self.bus, "0", self.fleet.release, unexpected)
        await self.acks.start()
        await self.invoker.start()
        self.throttles = Throttles(self.limits, self.acks.in_flight)
        self.cache = DocumentCache(self.store)
        self.auth = Authenticator(self.store)
        async with (
            Invocations(self.store, self.bus, self.acks, fleet=self.fleet, controller="0") as invocations,
            asyncio.TaskGroup() as group,
        ):
            self.route = InvokeRoute(
                invocations,
                Resolver(self.cache),
                self.auth,
                self.limits,
                admission=Admission(self.throttles, self.agree, self.events),
                deprecated=["python:2"],
            )
            self.server = self._make_server()
            group.create_task(self.server.serve())
            await self.server.ready.wait()
            try:
                yield self
            finally:
                await self.server.stop(0)
                for client in self._clients:
                    client.writer.close()
                    await asyncio.gather(client.writer.wait_closed(), return_exceptions=True)
        await self.acks.close()

    def _make_server(self) -> Server:
        edge = Edge(self.route, **self.edge_settings)
        return Server(
            edge,
            self.app,
            listen("127.0.0.1", 0),
            doors=self.doors,
            interval=self.interval,
            expire=self.acks.end_waits,
        )

    async def _fill(self) -> None:
        await self.store.put(Subject("guest-subject", [NamespaceKey("guest", UUID, KEY)]))
        await self.store.put(an_action())

    def booked(self) -> int:
        """MB of the Invoker that are in use."""
        place = self.fleet._balancer.places[0]
        return place.share - place.permits

    def hold(self) -> None:
        """From now on answers have to be let go."""
        self.invoker.answer = lambda _: None
        self.app.go.clear()

    async def reached(self, path: str) -> None:
        """Wait until the request is where it is worked on."""
        await (self.invoker.message() if path == INVOKE else self.app.entered.wait())

    async def let_go(self, path: str) -> None:
        if path == INVOKE:
            self.invoker.finish(await self.invoker.message(), result(b"{}"))
        self.app.go.set()

    async def connections(self, count: int) -> list[Any]:
        """Wait for so many connections at the server's side."""
        connections = self.server._uvicorn.server_state.connections
        while len(connections) < count:
            await asyncio.sleep(0)
        return list(connections)

    async def connect(self, port: int = 0) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port or self.server.port))
        self._clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answered:
        """One request on a connection of its own."""
        return await (await self.connect()).ask(data)


def result(text: bytes, status: int = 0) -> Response:
    return Response(status, Raw(text), len(text))
