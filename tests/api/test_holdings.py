"""Bounds over all connections: bodies that arrive, answers that nobody reads, arguments in flight."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Raw

from tests.api.platform import INVOKE, OTHER, PATH, ROUTES, Client, Platform, a_request
from upcall.controller import invoke
from upcall.controller.edge import EdgeProtocol
from upcall.controller.holdings import SMALL, Holdings
from upcall.model import texts
from upcall.model.activation import Response

LARGE = b'{"x":"%b"}' % (b"x" * 4 * SMALL)
CHUNKED = {"Transfer-Encoding": "chunked"}


@asynccontextmanager
async def platform_with(bodies: int = 1 << 30, unread: int = 1 << 30) -> AsyncIterator[tuple[Platform, Holdings]]:
    holdings = Holdings(bodies, unread)
    async with Platform(holdings=holdings).run() as platform:
        yield platform, holdings


async def holding(holdings: Holdings, size: int) -> None:
    async with asyncio.timeout(10):
        while holdings.bodies < size:
            await asyncio.sleep(0.001)


@ROUTES
async def test_a_large_body_that_does_not_fit_is_refused_and_the_others_go_on(path: str) -> None:
    async with platform_with(bodies=6 * SMALL) as (platform, holdings):
        first = await platform.connect()
        whole = a_request(path, LARGE)
        first.send(whole[:-10])
        await holding(holdings, 2 * SMALL)
        refused = await platform.ask(whole)
        assert (refused.status, refused.json["error"]) == (503, texts.BODIES_FULL)
        assert (refused.headers["connection"], refused.headers["retry-after"]) == ("close", "5")
        assert (await platform.ask(a_request(path, b'{"small":1}'))).status == 200
        assert (await first.ask(whole[-10:])).status == 200
        assert holdings.bodies == 0
        assert (await platform.ask(whole)).status == 200


@ROUTES
async def test_a_body_of_unknown_length_is_refused_when_it_does_not_fit(path: str) -> None:
    async with platform_with(bodies=2 * SMALL) as (platform, holdings):
        client = await platform.connect()
        piece = b"%x\r\n%b\r\n" % (len(LARGE), LARGE)
        client.send(a_request(path, piece, length=False, headers=CHUNKED))
        refused = await client.answer()
        assert (refused.status, refused.json["error"]) == (503, texts.BODIES_FULL)
        assert platform.invoker.messages == []
        assert holdings.bodies == 0


@ROUTES
async def test_who_leaves_holds_nothing(path: str) -> None:
    async with platform_with(bodies=6 * SMALL) as (platform, holdings):
        client = await platform.connect()
        client.send(a_request(path, LARGE)[:-10])
        await holding(holdings, 2 * SMALL)
        client.writer.transport.abort()
        async with asyncio.timeout(10):
            while holdings.bodies:
                await asyncio.sleep(0.001)
        assert (await platform.ask(a_request(path, LARGE))).status == 200


async def test_what_runs_still_counts() -> None:
    async with platform_with(bodies=6 * SMALL) as (platform, holdings):
        platform.hold()
        client = await platform.connect()
        client.send(a_request(INVOKE, LARGE))
        await platform.reached(INVOKE)
        assert holdings.bodies > 2 * SMALL
        assert (await platform.ask(a_request(OTHER, LARGE))).status == 503
        await platform.let_go(INVOKE)
        assert (await client.answer()).status == 200


async def test_tenants_networks_have_half(monkeypatch: pytest.MonkeyPatch) -> None:
    async with platform_with(bodies=6 * SMALL) as (platform, _):
        monkeypatch.setattr(EdgeProtocol, "outside", False)
        assert (await platform.ask(a_request(INVOKE, LARGE))).status == 503
        monkeypatch.undo()
        assert (await platform.ask(a_request(INVOKE, LARGE))).status == 200


async def unread(platform: Platform, count: int) -> list[Client]:
    """Clients that read nothing of a large answer, in the order of the answers."""
    clients = []
    for number in range(count):
        client = await platform.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(a_request(INVOKE, b"{}"))
        await platform.invoker.message(number)
        clients.append(client)
    return clients


async def test_clients_that_read_nothing_are_cut_the_oldest_first(caplog: pytest.LogCaptureFixture) -> None:
    result = b'{"x":"%b"}' % (b"x" * 8_000_000)
    async with platform_with(unread=10_000_000) as (platform, _):
        platform.invoker.answer = lambda message: Response(0, Raw(result))
        clients = await unread(platform, 5)
        for client in clients:
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for client in clients[:2]:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.answer()
        for client in clients[-2:]:
            assert (await client.answer()).body == result
        assert "a client that does not read" in caplog.text


async def test_arguments_in_flight_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoke, "MAX_ARGUMENTS", len(LARGE) - 1)
    async with platform_with() as (platform, _):
        platform.hold()
        client = await platform.connect()
        client.send(a_request(INVOKE, LARGE))
        await platform.reached(INVOKE)
        assert platform.acks.size == len(LARGE)
        for query in ("?blocking=true", ""):
            refused = await platform.ask(a_request(PATH + query, b"{}"))
            assert (refused.status, refused.json["error"]) == (503, texts.arguments_full(len(LARGE)))
            assert refused.headers["retry-after"] == "1"
        await platform.let_go(INVOKE)
        assert (await client.answer()).status == 200
        assert platform.acks.size == 0
        platform.invoker.answer = lambda message: Response(0, message.content)
        assert (await platform.ask(a_request(INVOKE, b"{}"))).status == 200
