"""The edge against heads and trailers that are too large, and wishes for another protocol."""

from collections.abc import AsyncIterator

import pytest

from tests.api.platform import INVOKE, OTHER, ROUTES, Platform, a_request
from upcall.controller.edge import HEAD_TOO_LARGE, NO_HTTP

CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


@ROUTES
@pytest.mark.parametrize(
    "headers",
    [{"X-Large": "x" * 100_000}, {f"X-{number}": "1" for number in range(10_000)}],
    ids=["one", "many"],
)
async def test_a_head_over_the_bound_is_refused_however_it_arrives(
    platform: Platform, path: str, headers: dict[str, str]
) -> None:
    answered = await platform.ask(a_request(path, headers=headers))
    assert (answered.status, answered.json["error"]) == (431, HEAD_TOO_LARGE)
    assert answered.headers["connection"] == "close"
    assert platform.invoker.messages == []
    assert not platform.app.entered.is_set()


@ROUTES
async def test_a_head_over_the_bound_is_refused_in_one_read_too(platform: Platform, path: str) -> None:
    client = await platform.connect()
    (connection,) = await platform.connections(1)
    connection.data_received(a_request(path, headers={"X-Large": "x" * 100_000}))  # as uvloop reads it
    answered = await client.answer()
    assert (answered.status, answered.json["error"]) == (431, HEAD_TOO_LARGE)


@ROUTES
async def test_a_thousand_headers_are_within_it(platform: Platform, path: str) -> None:
    headers = {f"X-{number}": "1" for number in range(1000)}
    assert (await platform.ask(a_request(path, headers=headers))).status == 200


@ROUTES
async def test_trailers_change_nothing(platform: Platform, path: str) -> None:
    client = await platform.connect()
    client.send(a_request(path, length=False, headers=CHUNKED) + b"2\r\n{}\r\n0\r\n")
    await platform.connections(1)
    client.send(b"Authorization: Basic bad\r\nX-Request-ID: theirs\r\n\r\n")
    answered = await client.answer()
    assert answered.status == 200
    assert answered.headers.get("x-request-id") != "theirs"
    assert (await client.ask(a_request(path))).status == 200


async def test_trailers_reach_no_app(platform: Platform) -> None:
    seen: list[bytes] = []
    echo = platform.app.__call__

    async def app(scope: dict[str, list[tuple[bytes, bytes]]], receive: object, send: object) -> None:
        seen.extend(name for name, _ in scope["headers"])
        await echo(scope, receive, send)

    client = await platform.connect()
    (connection,) = await platform.connections(1)
    connection.app = app
    client.send(a_request(OTHER, length=False, headers=CHUNKED) + b"2\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n")
    assert (await client.answer()).status == 200
    assert b"transfer-encoding" in seen
    assert b"x-late" not in seen


@ROUTES
async def test_trailers_are_bounded_as_heads_are(platform: Platform, path: str) -> None:
    platform.hold()
    client = await platform.connect()
    client.send(a_request(path, length=False, headers=CHUNKED) + b"2\r\n{}\r\n0\r\nX-Late: ")
    for _ in range(10):
        client.send(b"x" * 16384)
    answered = await client.answer()
    assert (answered.status, answered.json["error"]) == (431, HEAD_TOO_LARGE)
    assert platform.invoker.messages == []


@ROUTES
async def test_a_large_chunk_is_no_trailer(platform: Platform, path: str) -> None:
    client = await platform.connect()
    client.send(a_request(path, length=False, headers=CHUNKED) + b"30d40\r\n{}" + b" " * 199_998 + b"\r\n0\r\n\r\n")
    assert (await client.answer()).status == 200


@ROUTES
async def test_a_body_of_many_chunks_is_no_trailer(platform: Platform, path: str) -> None:
    client = await platform.connect()
    client.send(a_request(path, length=False, headers=CHUNKED) + b"2\r\n{}\r\n" + b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n")
    assert (await client.answer()).status == 200


UPGRADES = pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAA"},
        {"Connection": "Upgrade", "Upgrade": "websocket"},
    ],
    ids=["h2c", "websocket"],
)


@UPGRADES
async def test_a_wish_for_another_protocol_is_passed_over(platform: Platform, headers: dict[str, str]) -> None:
    client = await platform.connect()
    body = b'{"name": "Ada"}'
    answered = await client.ask(a_request(INVOKE, body, headers=headers))
    assert (answered.status, answered.body) == (200, body)
    assert (await client.ask(a_request(OTHER, body, headers=headers))).json == ["POST", OTHER, len(body)]
    whole = a_request(INVOKE, body, headers=headers)
    client.send(whole[:-20])
    await platform.connections(1)
    client.send(whole[-20:] + a_request(OTHER, b"{}", headers=headers) * 200)
    assert (await client.answer()).body == body
    assert [(await client.answer()).json for _ in range(200)] == [["POST", OTHER, 2]] * 200


@UPGRADES
async def test_such_a_wish_does_not_hide_a_head_that_is_refused(platform: Platform, headers: dict[str, str]) -> None:
    both = {**headers, **CHUNKED, "Content-Length": "2"}
    answered = await platform.ask(a_request(INVOKE, headers=both))
    assert (answered.status, answered.json["error"]) == (400, NO_HTTP)
    long = a_request(f"{INVOKE}&{'x' * 9000}", headers=headers)
    assert (await platform.ask(long)).status == 414


async def test_after_connect_nothing_is_read(platform: Platform) -> None:
    client = await platform.connect()
    client.send(b"CONNECT host:80 HTTP/1.1\r\nHost: x\r\n\r\n" + a_request(INVOKE))
    assert (await client.answer()).headers["connection"] == "close"
    assert await client.ended()
    assert platform.invoker.messages == []
