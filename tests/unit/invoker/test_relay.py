"""The API inside tenants' networks, carried to where it is."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from upcall.invoker import relay
from upcall.invoker.relay import Relay


@asynccontextmanager
async def api(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A server that reads all, answers once, and closes; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.read()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def door(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A relay to that port behind a listening socket; gives its port, and what closes it."""
    carrying = Relay("127.0.0.1", port)
    listener = socket.create_server(("127.0.0.1", 0))
    inside = listener.getsockname()[1]
    close = carrying.open(listener)
    try:
        yield inside, close
    finally:
        close()
        await carrying.close()


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_bytes_go_both_ways_whole_and_each_side_may_end_first() -> None:
    large = bytes(range(256)) * 4096
    async with api(lambda data: data[::-1]) as port, door(port) as (inside, _):
        for data in (b"GET / HTTP/1.1\r\n\r\n", large, b""):
            assert await ask(inside, data) == data[::-1]


async def test_an_api_that_is_away_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with door(port) as (inside, _):
        answer = await ask(inside, b"GET / HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert answer.endswith(b'{"error":"The API cannot be reached from here.","code":"sid_invoker"}')


async def test_a_tenant_has_so_many_connections_and_the_next_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "CONNECTIONS", 1)
    async with api(lambda data: data) as port, door(port) as (inside, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", inside)
        writer.write(b"first")
        waiting = asyncio.create_task(ask(inside, b"second"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        writer.write_eof()
        assert await reader.read() == b"first"
        writer.close()
        await writer.wait_closed()
        assert await waiting == b"second"


async def test_with_the_tenants_network_its_connections_end() -> None:
    never = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        async with door(server.sockets[0].getsockname()[1]) as (inside, close):
            reader, writer = await asyncio.open_connection("127.0.0.1", inside)
            writer.write(b"x")
            await asyncio.sleep(0.05)
            close()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        never.set()
        await asyncio.sleep(0.05)
