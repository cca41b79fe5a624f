"""Requests whose head has come before, to the byte: they are not parsed again, and nothing else is different."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.api.platform import AUTH, INVOKE, PATH, Client, Platform, a_request, result
from upcall.controller.exchange import KNOWN_HEADS, LONGEST_HEAD, Edge
from upcall.model import texts
from upcall.model.entities import Subject


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """It knows who asks, and the action."""
    async with Platform().run() as running:
        await running.auth.authenticate(AUTH)
        await running.cache.fetch("guest/hello")
        yield running


def body(number: int) -> bytes:
    return b'{"n":%d}' % number


async def told(client: Client, number: int) -> None:
    assert (await client.ask(a_request(INVOKE, body(number)))).body == body(number)


async def edge_of(platform: Platform) -> Edge:
    edge = (await platform.connections(1))[0].edge
    assert isinstance(edge, Edge)
    return edge


class NoParser:
    """Nothing is to be parsed."""


async def test_a_known_head_is_not_parsed_again_on_any_connection(platform: Platform) -> None:
    first, second = await platform.connect(), await platform.connect()
    await told(first, 1)
    for connection in await platform.connections(2):
        connection.parser = NoParser()
    for number in range(2, 8):
        await told(first, number)
        await told(second, number)
    assert len(platform.invoker.messages) == 13


async def test_a_body_of_another_length_has_another_head(platform: Platform) -> None:
    client = await platform.connect()
    for number in (1, 22, 3, 44, 555, 6, 77):
        await told(client, number)
    for _ in range(2):
        assert (await client.ask(a_request(INVOKE))).status == 200


async def test_what_comes_in_pieces_or_together_is_parsed(platform: Platform) -> None:
    client = await platform.connect()
    await told(client, 1)
    request = a_request(INVOKE, body(2))
    for cut in (1, 20, len(request) - len(body(2)) - 2, len(request) - len(body(2)), len(request) - 1):
        client.send(request[:cut])
        await client.writer.drain()
        await asyncio.sleep(0.01)
        client.send(request[cut:])
        assert (await client.answer()).body == body(2)
    client.send(b"".join(a_request(INVOKE, body(number)) for number in (3, 4, 5)))
    assert [(await client.answer()).body for _ in range(3)] == [body(3), body(4), body(5)]
    client.send(a_request(INVOKE, body(6)) + request[:30])
    assert (await client.answer()).body == body(6)
    client.send(request[30:])
    assert (await client.answer()).body == body(2)
    await told(client, 7)


async def test_it_waits_for_the_answer_before_it(platform: Platform) -> None:
    client = await platform.connect()
    await told(client, 1)
    platform.hold()
    client.send(a_request(INVOKE, body(2)))
    second = await platform.invoker.message(1)
    client.send(a_request(INVOKE, body(3)))
    await asyncio.sleep(0.05)
    assert len(platform.invoker.messages) == 2, "one runs at a time"
    platform.invoker.finish(second, result(b'{"second":1}'))
    platform.invoker.finish(await platform.invoker.message(2), result(b'{"third":1}'))
    assert [(await client.answer()).body for _ in range(2)] == [b'{"second":1}', b'{"third":1}']


async def test_who_asks_is_looked_at_each_time(platform: Platform) -> None:
    client = await platform.connect()
    await told(client, 1)
    stored = await platform.store.get(Subject, "guest-subject")
    await platform.store.delete(Subject, "guest-subject", stored.rev)
    assert (await client.ask(a_request(INVOKE, body(2)))).status == 401


async def test_a_stop_refuses_it(platform: Platform) -> None:
    client, busy = await platform.connect(), await platform.connect()
    await told(client, 1)
    platform.hold()
    busy.send(a_request(INVOKE, body(2)))
    message = await platform.invoker.message(1)
    client.send(a_request(INVOKE, body(3)))
    await platform.invoker.message(2)
    stopping = asyncio.create_task(platform.server.stop(5))
    await asyncio.sleep(0.05)
    client.send(a_request(INVOKE, body(4)))
    await asyncio.sleep(0.05)
    platform.invoker.finish(platform.invoker.messages[2], result(b"{}"))
    assert (await client.answer()).status == 200
    refused = await client.answer()
    assert (refused.status, refused.json["error"]) == (503, texts.STOPPING)
    late = await (await platform.connect()).ask(a_request(INVOKE, body(5)))
    assert (late.status, late.json["error"]) == (503, texts.STOPPING)
    platform.invoker.finish(message, result(b"{}"))
    await stopping


@pytest.mark.parametrize(
    "request_",
    [
        a_request(INVOKE, b"{}", version="1.0"),
        a_request(INVOKE, b"{}", headers={"Connection": "close"}),
        a_request(INVOKE, b"{}", headers={"Expect": "100-continue"}),
        a_request(INVOKE, b"2\r\n{}\r\n0\r\n\r\n", length=False, headers={"Transfer-Encoding": "chunked"}),
        a_request(INVOKE, b"{}", headers={"X-Long": "x" * LONGEST_HEAD}),
        a_request("/other", b"{}"),
    ],
    ids=["1.0", "close", "expect", "chunked", "long", "other"],
)
async def test_heads_that_say_more_are_not_kept(platform: Platform, request_: bytes) -> None:
    client = await platform.connect()
    edge = await edge_of(platform)
    client.send(request_)
    await client.answer()
    assert edge.heads == {}


@pytest.mark.parametrize(
    ("path", "auth", "status"),
    [
        (INVOKE, b"Basic c3RyYW5nZXI=", 401),
        (f"{PATH}-of-none?blocking=true&result=true", AUTH, 404),
        (INVOKE.replace("/_/", "/other/"), AUTH, 403),
    ],
    ids=["no caller", "no action", "no right"],
)
async def test_heads_that_lead_nowhere_are_not_kept(platform: Platform, path: str, auth: bytes, status: int) -> None:
    client = await platform.connect()
    await told(client, 1)
    kept = dict((await edge_of(platform)).heads)
    for number in range(3):
        request = a_request(path, b"{}", auth=auth, headers={"X-Number": str(number)})
        assert (await client.ask(request)).status == status
    assert kept
    assert (await edge_of(platform)).heads == kept


async def test_as_many_are_kept_as_the_bound_says(platform: Platform) -> None:
    client = await platform.connect()
    edge = await edge_of(platform)
    await told(client, 1)
    (head,) = edge.heads.values()
    for number in range(KNOWN_HEADS + 10):
        edge.learn(b"%d" % number, head)
    assert 0 < len(edge.heads) <= KNOWN_HEADS


async def test_the_path_is_part_of_it(platform: Platform) -> None:
    client = await platform.connect()
    await told(client, 1)
    assert (await client.ask(a_request(f"{PATH}x?blocking=true&result=true", body(1)))).status == 404
