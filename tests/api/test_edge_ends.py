"""The edge's ends: input that is no request, which requests are not its own, and the shutdown, on both routes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.api.platform import INVOKE, PATH, ROUTES, Client, Platform, a_request
from upcall.controller import patience
from upcall.controller.edge import HEAD_TOO_LARGE, URI_TOO_LONG
from upcall.model import texts


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


# --- what is no request


@ROUTES
async def test_bytes_that_are_no_http_are_refused_after_what_came_before(platform: Platform, path: str) -> None:
    platform.hold()
    client = await platform.connect()
    client.send(a_request(path) + b"\x00\x01nonsense\r\n\r\n")
    await platform.reached(path)
    await platform.let_go(path)
    assert (await client.answer()).status == 200
    answered = await client.answer()
    assert answered.status == 400
    assert answered.json["code"] == answered.headers["x-request-id"]
    assert await client.ended()


@ROUTES
async def test_a_broken_chunk_is_refused(platform: Platform, path: str) -> None:
    client = await platform.connect()
    answered = await client.ask(a_request(path, b"zz\r\n", length=False, headers={"Transfer-Encoding": "chunked"}))
    assert answered.status == 400
    assert await client.ended()
    assert platform.invoker.messages == []


@ROUTES
async def test_a_url_that_is_too_long_is_refused(platform: Platform, path: str) -> None:
    client = await platform.connect()
    answered = await client.ask(a_request(f"{path}{'&x=1' if '?' in path else '?'}" + "a" * 9000))
    assert (answered.status, answered.json["error"]) == (414, URI_TOO_LONG)
    assert await client.ended()


async def test_a_head_without_end_is_refused(platform: Platform) -> None:
    client = await platform.connect()
    client.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
    answered = await client.answer()
    assert (answered.status, answered.json["error"]) == (431, HEAD_TOO_LARGE)
    assert await client.ended()


async def test_only_a_post_of_an_action_is_answered_here(platform: Platform) -> None:
    for method, path in [
        ("GET", PATH),
        ("POST", f"{PATH}/"),
        ("POST", "/api/v1/namespaces/_/actions"),
        ("POST", "/api/v1/namespaces/_/actions/a/b/c"),
        ("POST", "/api/v1/namespaces/_/triggers/t/x"),
    ]:
        answered = await platform.ask(a_request(path, method=method))
        assert answered.json[:2] == [method, path]


# --- shutdown


@ROUTES
async def test_a_shutdown_lets_what_runs_finish(platform: Platform, path: str) -> None:
    client, idle = await platform.connect(), await platform.connect()
    assert (await idle.ask(a_request("/first", method="GET"))).status == 200
    platform.app.entered.clear()
    platform.hold()
    client.send(a_request(path))
    await platform.reached(path)
    stopping = asyncio.ensure_future(platform.server.stop(30))
    assert await idle.ended()
    await platform.let_go(path)
    answered = await client.answer()
    assert answered.status == 200
    assert answered.headers["connection"] == "close"
    assert await client.ended()
    await stopping


@ROUTES
async def test_a_shutdown_waits_for_a_request_that_has_begun_to_arrive(platform: Platform, path: str) -> None:
    client, idle = await platform.connect(), await platform.connect()
    whole = a_request(path, b'{"a":1}')
    client.send(whole[:60])
    (connection,) = [c for c in await platform.connections(2) if getattr(c, "client", None) == name_of(client)]
    while not connection.receiving:
        await asyncio.sleep(0)
    stopping = asyncio.ensure_future(platform.server.stop(30))
    assert await idle.ended()
    answered = await client.ask(whole[60:])
    assert answered.status == 200
    assert answered.headers["connection"] == "close"
    await stopping


@ROUTES
@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_shutdown_does_not_wait_for_half_a_request_for_long(
    path: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LAST_REQUESTS", 0.05)
    platform = Platform()
    platform.interval = 0.01
    async with platform.run():
        client = await platform.connect()
        whole = a_request(path, b'{"a":1}')
        client.send(whole[:40] if part == "head" else whole[:-3])
        (connection,) = await platform.connections(1)
        while not connection.receiving:
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(platform.server.stop(30))
        answered = await client.answer()
        assert (answered.status, answered.json["error"]) == (503, texts.STOPPING)
        async with asyncio.timeout(5):
            await stopping


async def test_when_the_grace_is_over_waiting_callers_get_their_id(platform: Platform) -> None:
    platform.hold()
    client = await platform.connect()
    client.send(a_request(INVOKE))
    message = await platform.invoker.message()
    await platform.server.stop(0.05)
    answered = await client.answer()
    assert (answered.status, answered.json) == (202, {"activationId": message.activation_id})


async def test_a_stopped_server_takes_no_connection(platform: Platform) -> None:
    await platform.server.stop(1)
    with pytest.raises(ConnectionRefusedError):
        await platform.connect()


def name_of(client: Client) -> tuple[str, int]:
    name: tuple[str, int] = client.writer.get_extra_info("sockname")
    return name
