"""The edge keeps HTTP right on both kinds of route: what is answered inside the protocol, and the ASGI app.

Raw sockets, because clients hide what is tested: order, chunks, half requests, closed connections.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.platform import INVOKE, OTHER, ROUTES, Answered, Client, Platform, a_request, result
from upcall.controller.patience import TOO_SLOW
from upcall.model import texts

MB = 1024 * 1024


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


def size_seen(platform: Platform, answered: Answered, path: str) -> int:
    """How many bytes of body arrived at the other end."""
    return int(answered.json[2]) if path == OTHER else len(bytes(platform.invoker.messages[-1].content or b""))


# --- bodies


@ROUTES
async def test_a_chunked_body_is_put_together(platform: Platform, path: str) -> None:
    client = await platform.connect()
    client.send(a_request(path, length=False, headers={"Transfer-Encoding": "chunked"}))
    client.send(b'4\r\n{"a"\r\n3;x=y\r\n:1}\r\n0\r\nTrailer: t\r\n\r\n')
    answered = await client.answer()
    assert answered.status == 200
    assert size_seen(platform, answered, path) == 7


@ROUTES
async def test_a_request_may_come_byte_by_byte(platform: Platform, path: str) -> None:
    client = await platform.connect()
    client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in a_request(path, b'{"a":1}'):
        client.send(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    answered = await client.answer()
    assert answered.status == 200
    assert size_seen(platform, answered, path) == 7


async def test_a_body_over_the_payload_limit_is_read_and_refused_and_the_connection_lives(platform: Platform) -> None:
    client = await platform.connect()
    body = b'{"a":"' + b"x" * 2 * MB + b'"}'
    answered = await client.ask(a_request(INVOKE, body))
    assert answered.status == 413
    assert answered.json["error"] == texts.request_too_large(len(body), MB)
    assert (await client.ask(a_request(INVOKE, b"{}"))).status == 200


async def test_a_chunked_body_over_the_payload_limit_is_refused_with_its_size(platform: Platform) -> None:
    client = await platform.connect()
    client.send(a_request(INVOKE, length=False, headers={"Transfer-Encoding": "chunked"}))
    for _ in range(20):
        client.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
    client.send(b"0\r\n\r\n")
    assert (await client.answer()).json["error"] == texts.request_too_large(20 * 65536, MB)


@ROUTES
async def test_an_announced_body_over_the_greatest_is_refused_unread(platform: Platform, path: str) -> None:
    client = await platform.connect()
    size = 50 * MB + 1
    client.send(a_request(path, length=False, headers={"Content-Length": str(size)}) + b"x" * 100_000)
    answered = await client.answer()
    assert answered.status == 413
    assert answered.json["error"] == texts.request_too_large(size, 50 * MB)
    assert answered.headers["connection"] == "close"
    client.send(b"x" * 100_000)  # the client may still be writing: it is not reset
    assert await client.ended()


@ROUTES
async def test_a_chunked_body_over_the_greatest_is_refused_on_the_way(path: str) -> None:
    async with Platform(max_body=1000).run() as platform:
        client = await platform.connect()
        client.send(a_request(path, length=False, headers={"Transfer-Encoding": "chunked"}))
        client.send(b"400\r\n" + b" " * 1024 + b"\r\n")
        answered = await client.answer()
        assert answered.status == 413
        assert answered.json["error"] == texts.request_too_large(1024, 1000)
        client.send(b"400\r\n")
        assert await client.ended()


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(platform: Platform) -> None:
    client = await platform.connect()
    client.send(a_request(INVOKE, headers={"Expect": "100-continue", "Content-Length": "2"}))
    assert (await client.answer()).status == 100
    assert (await client.ask(b"{}")).status == 200


async def test_a_client_that_asks_with_too_large_a_body_is_refused_without_it(platform: Platform) -> None:
    client = await platform.connect()
    client.send(a_request(INVOKE, headers={"Expect": "100-continue", "Content-Length": str(2 * MB)}))
    answered = await client.answer()
    assert answered.status == 413
    assert await client.ended()


# --- order


async def test_pipelined_requests_are_answered_in_order_on_mixed_routes(platform: Platform) -> None:
    platform.hold()
    client = await platform.connect()
    bodies = [b'{"n":%d}' % number for number in range(3)]
    client.send(
        a_request(INVOKE, bodies[0])
        + a_request(OTHER, b"12345")
        + a_request(INVOKE, bodies[1])
        + a_request(INVOKE, bodies[2])
        + a_request(OTHER, b"1")
    )
    await platform.invoker.message()
    assert not platform.app.entered.is_set()  # one at a time
    platform.invoker.answer = lambda message: result(bytes(message.content))  # type: ignore[arg-type]
    platform.invoker.finish(platform.invoker.messages[0], result(bodies[0]))
    platform.app.go.set()
    answers = [await client.answer() for _ in range(5)]
    assert [answered.body for answered in answers] == [
        bodies[0],
        b'["POST","/other",5]',
        bodies[1],
        bodies[2],
        b'["POST","/other",1]',
    ]


async def test_a_long_queue_of_refused_requests_is_answered_without_recursion(platform: Platform) -> None:
    platform.hold()
    client = await platform.connect()
    refused = a_request(INVOKE, auth=None)
    client.send(a_request(INVOKE) + refused * 2000)
    await platform.reached(INVOKE)
    await platform.let_go(INVOKE)
    assert [(await client.answer()).status for _ in range(2001)] == [200] + [401] * 2000


async def test_what_waits_in_the_queue_is_not_started_when_the_client_has_gone(platform: Platform) -> None:
    platform.hold()
    client = await platform.connect()
    client.send(a_request(INVOKE) + a_request(INVOKE) + a_request(OTHER))
    await platform.reached(INVOKE)
    reset(client)  # reading is paused, so the server learns of it when it writes
    await client.writer.wait_closed()
    await platform.let_go(INVOKE)
    while platform.server._uvicorn.server_state.connections:
        await asyncio.sleep(0)
    assert len(platform.invoker.messages) == 1
    assert not platform.app.entered.is_set()


# --- connections


@ROUTES
async def test_a_connection_is_kept(platform: Platform, path: str) -> None:
    client = await platform.connect()
    for _ in range(3):
        answered = await client.ask(a_request(path, b"{}"))
        assert answered.status == 200
        assert "connection" not in answered.headers


@ROUTES
@pytest.mark.parametrize(
    "form",
    [
        {"version": "1.0"},
        {"version": "1.0", "headers": {"Connection": "keep-alive"}},
        {"headers": {"Connection": "close"}},
    ],
    ids=["1.0", "1.0 keep-alive", "close"],
)
async def test_a_connection_is_closed_where_the_client_says_so(
    platform: Platform, path: str, form: dict[str, Any]
) -> None:
    client = await platform.connect()
    answered = await client.ask(a_request(path, b"{}", **form))
    assert answered.status == 200
    assert answered.headers["connection"] == "close"
    assert await client.ended()


@ROUTES
async def test_a_client_that_goes_early_leaves_the_rest_working(platform: Platform, path: str) -> None:
    platform.hold()
    client = await platform.connect()
    client.send(a_request(path, b"{}"))
    await platform.reached(path)
    await gone(platform, client)
    await platform.let_go(path)
    assert platform.acks.count == 0  # the activation went on and ended
    assert (await platform.ask(a_request(OTHER))).status == 200


async def test_a_client_that_goes_in_the_middle_of_its_body_invokes_nothing(platform: Platform) -> None:
    client = await platform.connect()
    client.send(a_request(INVOKE, headers={"Content-Length": "100"}) + b"{")
    await gone(platform, client)
    assert (await platform.ask(a_request(INVOKE))).status == 200
    assert len(platform.invoker.messages) == 1


async def gone(platform: Platform, client: Client) -> None:
    """Break the connection off, and wait until the server knows."""
    connections = platform.server._uvicorn.server_state.connections
    while not connections:
        await asyncio.sleep(0)
    reset(client)
    while connections:
        await asyncio.sleep(0.001)


def reset(client: Client) -> None:
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


@ROUTES
async def test_an_idle_connection_is_closed(path: str) -> None:
    platform = Platform(idle_time=0.05)
    platform.interval = 0.01
    async with platform.run():
        silent, used = await platform.connect(), await platform.connect()
        assert (await used.ask(a_request(path))).status == 200
        assert await silent.ended()
        assert await used.ended()


@ROUTES
@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_request_has_to_arrive_in_time(path: str, part: str) -> None:
    platform = Platform(receive_time=0.05)
    platform.interval = 0.01
    async with platform.run():
        client = await platform.connect()
        whole = a_request(path, b'{"a":1}')
        client.send(whole[:40] if part == "head" else whole[:-3])
        answered = await client.answer()
        assert (answered.status, answered.json["error"]) == (408, TOO_SLOW)
        assert await client.ended()
        if path == OTHER and part == "body":
            await platform.app.gone.wait()
        assert platform.invoker.messages == []


@ROUTES
async def test_an_answer_may_take_longer_than_a_request(path: str) -> None:
    platform = Platform(receive_time=0.02, idle_time=0.02)
    platform.interval = 0.01
    async with platform.run():
        platform.hold()
        client = await platform.connect()
        client.send(a_request(path))
        await platform.reached(path)
        await asyncio.sleep(0.15)  # what must not happen has no event
        await platform.let_go(path)
        assert (await client.answer()).status == 200


async def test_a_client_that_does_not_read_is_not_served_on_and_cut_in_the_end() -> None:
    platform = Platform(idle_time=0.2)
    platform.interval = 0.01
    async with platform.run():
        await platform.ask(a_request(INVOKE))  # what comes now is answered without a task between
        platform.invoker.answer = lambda _: result(b'{"a":"' + b"x" * MB + b'"}')
        client = await platform.connect()
        client.reader._limit = 1  # type: ignore[attr-defined]  # the stream stops to read at once
        client.send(a_request(INVOKE) * 50)
        connections = platform.server._uvicorn.server_state.connections
        await platform.invoker.message(1)
        while connections:
            await asyncio.sleep(0.005)
        assert len(platform.invoker.messages) < 20


async def test_a_slow_reader_gets_all_its_answers(platform: Platform) -> None:
    platform.invoker.answer = lambda _: result(b'{"a":"' + b"x" * MB + b'"}')
    client = await platform.connect()
    client.send(a_request(INVOKE) * 20)
    await platform.invoker.message()
    for _ in range(20):
        await asyncio.sleep(0)
        assert len((await client.answer()).body) == MB + 8
