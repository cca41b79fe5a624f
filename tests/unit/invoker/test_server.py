"""The Invoker's HTTP over real sockets: its routes (spec: invoker.md §8), and what strangers may do to it."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.api.test_operator import Machine
from upcall.http.envelope import Answer
from upcall.http.listening import listen
from upcall.http.metrics import Metrics
from upcall.http.operator import Operator, machine_routes
from upcall.http.readiness import readiness
from upcall.http.requests import Requests
from upcall.invoker import server
from upcall.invoker.server import Server, make_app

KEY = "invoker.user:invoker.pass"


class Reply(msgspec.Struct):
    """A whole answer, after which the connection was closed."""

    status: int
    headers: dict[str, str]
    body: bytes


class Running:
    """A server on loopback."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.reasons: list[str] = []
        self.times = Requests()
        self.port = 0

    async def ready(self) -> Answer:
        return readiness(self.reasons, {"invoker": "invoker0"})

    @asynccontextmanager
    async def run(self, metrics: bool = True) -> AsyncIterator["Running"]:
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        shown = Metrics([lambda: self.times.metrics(True)]) if metrics else None
        operator = Operator(KEY, machine_routes(self.machine))
        app = make_app("X-Request-ID", self.ready, operator, shown, self.times.answered)
        async with Server(app, listener):
            yield self

    async def raw(self, data: bytes) -> bytes:
        """All that comes until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def ask(self, method: str, path: str, key: str = "", body: bytes = b"", **headers: str) -> Reply:
        given = {"Host": "x", "Content-Length": str(len(body)), **headers}
        if key:
            given["Authorization"] = f"Basic {b64encode(key.encode()).decode()}"
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
        whole = await self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        top, _, rest = whole.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        return Reply(int(first.split()[1]), dict(line.split(": ", 1) for line in lines), rest)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with Running().run() as made:
        yield made


async def test_anybody_may_ping_measure_and_ask_whether_it_is_ready(running: Running) -> None:
    reply = await running.ask("GET", "/ping")
    assert (reply.status, reply.body) == (200, b"pong")
    assert reply.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert (await running.ask("GET", "/ready")).body == b'{"ready":true,"invoker":"invoker0"}'
    running.reasons = ["it is disabled", "the store takes no writes: full"]
    refused = await running.ask("GET", "/ready")
    assert refused.status == 503
    assert msgspec.json.decode(refused.body) == {
        "ready": False,
        "reason": "it is disabled; the store takes no writes: full",
        "invoker": "invoker0",
    }
    metrics = (await running.ask("GET", "/metrics")).body.decode()
    assert 'counter_http_get_counter_total{statusCode="503"} 1.0' in metrics
    assert 'counter_http_get_counter_total{statusCode="200"} 2.0' in metrics


async def test_the_transaction_is_the_callers_or_a_new_one(running: Running) -> None:
    assert (await running.ask("GET", "/ping", X_Request_ID="mine")).headers["X-Request-ID"] == "mine"
    made = (await running.ask("GET", "/ping", X_Request_ID="sid_mine")).headers["X-Request-ID"]
    assert len(made) == 32
    refused = await running.ask("GET", "/isEnabled", X_Request_ID="mine")
    assert refused.status == 401
    assert msgspec.json.decode(refused.body) == {"error": "The supplied authentication is invalid.", "code": "mine"}


async def test_the_rest_is_the_operators(running: Running) -> None:
    for path, methods in machine_routes(running.machine).items():
        for method in methods:
            for key in ("", "invoker.user:", "invoker.user:wrong", f"{KEY}x"):
                assert (await running.ask(method, path.replace("{container}", "1"), key)).status == 401
    assert (await running.ask("POST", "/disable", KEY)).body == b"invoker0 is now disabled."
    assert (await running.ask("POST", "/disable", KEY)).body == b"invoker0 is already disabled."
    assert (await running.ask("GET", "/isEnabled", KEY)).body == b'{"enabled":false}'
    assert (await running.ask("GET", "/pool/count", KEY)).body == b"2"
    told = await running.ask("PUT", "/loglevel", KEY, b'{"level":"debug"}', Content_Type="application/json")
    assert (told.status, running.machine.level) == (200, "debug")
    assert (await running.ask("GET", "/enable", KEY)).status == 405
    assert (await running.ask("POST", "/ping")).status == 405


@pytest.mark.parametrize("path", ["/", "/api/v1", "/disable/", "/ping/x", "/%2e%2e/ping", "/invokers", "/ready%00"])
async def test_other_paths_are_not_there(running: Running, path: str) -> None:
    assert (await running.ask("GET", path, KEY)).status == 404
    for key in ("", "invoker.user:wrong"):
        refused = await running.ask("GET", path, key)
        assert (refused.status, b"The supplied authentication is invalid." in refused.body) == (401, True)


async def test_without_metrics_there_is_no_such_route() -> None:
    async with Running().run(metrics=False) as running:
        assert (await running.ask("GET", "/metrics")).status == 404


@pytest.mark.parametrize(
    "data",
    [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /ping HTTP/9.9\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n"],
)
async def test_what_is_no_http_gets_a_400(running: Running, data: bytes) -> None:
    assert (await running.raw(data)).startswith(b"HTTP/1.1 400 ")


async def test_one_request_a_connection(running: Running) -> None:
    twice = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 2
    assert (await running.raw(twice)).count(b"pong") == 1


async def test_more_than_a_request_needs_is_cut(running: Running) -> None:
    large = b"x" * (server.LARGEST + 1)
    for data in (
        b"GET /ping HTTP/1.1\r\na: " + large,
        b"PUT /loglevel HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + large,
    ):
        assert await running.raw(data) == b""
    assert (await running.ask("GET", "/ping")).status == 200


async def test_who_is_slow_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIFE", 0.05)
    async with Running().run() as running:
        assert await running.raw(b"GET /ping HTT") == b""


async def test_a_crowd_is_answered_503_and_a_larger_one_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 4)
    async with Running().run() as running:
        held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(4)]
        assert (await running.raw(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        held += [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(4)]
        assert await running.raw(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert (await running.ask("GET", "/ping")).status == 200


async def test_the_port_is_free_after_it(running: Running) -> None:
    async with Running().run() as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", other.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    with socket.create_server(("127.0.0.1", other.port)) as again:
        assert again.getsockname()[1] == other.port


async def test_an_error_of_ours_is_a_500_and_a_line_in_the_log(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Any:
        raise RuntimeError("boom")

    running.machine.pool = broken  # type: ignore[method-assign]
    reply = await running.ask("GET", "/pool", KEY)
    assert reply.status == 500
    assert b"boom" not in reply.body
    assert "GET /pool" in caplog.text
