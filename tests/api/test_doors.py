"""The API at listening sockets that come and go."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.api.platform import INVOKE, ROUTES, Client, Platform, a_request
from upcall import accepting
from upcall.controller import doors
from upcall.http.listening import listen


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


class Opened:
    """A door on the loopback."""

    def __init__(self, platform: Platform, listener: socket.socket | None = None) -> None:
        self.platform = platform
        self.listener = listener or listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.close: Callable[[], None] = platform.doors.open(self.listener)

    async def connect(self) -> Client:
        return await self.platform.connect(self.port)


@ROUTES
async def test_a_door_is_as_the_main_entrance(platform: Platform, path: str) -> None:
    door = Opened(platform)
    client = await door.connect()
    inside, outside = await client.ask(a_request(path, b"{}")), await platform.ask(a_request(path, b"{}"))
    assert (inside.status, inside.body) == (outside.status, outside.body) == (200, outside.body)
    assert (await client.ask(a_request(path, b"{}"))).status == 200


async def test_a_door_needs_credentials(platform: Platform) -> None:
    client = await Opened(platform).connect()
    assert (await client.ask(a_request(INVOKE, b"{}", auth=None))).status == 401


async def test_who_comes_before_the_server_runs_waits() -> None:
    platform = Platform()
    door = Opened(platform)
    client = await door.connect()
    client.send(a_request(INVOKE, b"{}"))
    async with platform.run():
        assert (await client.answer()).status == 200


async def test_with_a_door_its_connections_go_and_no_others(platform: Platform) -> None:
    door, other = Opened(platform), Opened(platform)
    inside, elsewhere, outside = await door.connect(), await other.connect(), await platform.connect()
    for client in (inside, elsewhere, outside):
        assert (await client.ask(a_request(INVOKE, b"{}"))).status == 200
    door.close()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await inside.ask(a_request(INVOKE, b"{}"))
    with pytest.raises(ConnectionRefusedError):
        await door.connect()
    for client in (elsewhere, outside):
        assert (await client.ask(a_request(INVOKE, b"{}"))).status == 200
    assert door.listener.fileno() == -1
    assert len(await platform.connections(2)) == 2


async def test_who_is_just_coming_in_when_a_door_closes_is_turned_away(platform: Platform) -> None:
    door = Opened(platform)
    (opened,) = platform.doors._doors
    with socket.create_connection(("127.0.0.1", door.port)) as client:
        client.setblocking(False)
        while not opened._entering:
            await asyncio.sleep(0)
        assert not opened._visitors
        door.close()
        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""


async def test_one_door_has_a_bounded_number_of_connections(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "CONNECTIONS", 2)
    door, other = Opened(platform), Opened(platform)
    first, second, third = await door.connect(), await door.connect(), await door.connect()
    third.send(a_request(INVOKE, b"{}"))
    for client in (first, second, await other.connect()):
        assert (await client.ask(a_request(INVOKE, b"{}"))).status == 200
    assert len(await platform.connections(3)) == 3
    assert not asyncio.get_running_loop().remove_reader(door.listener)  # or the loop would look at it all the time
    first.writer.close()
    assert (await third.answer()).status == 200
    assert (await second.ask(a_request(INVOKE, b"{}"))).status == 200


async def test_at_a_stop_what_came_through_a_door_is_answered_and_nobody_else_let_in(platform: Platform) -> None:
    door = Opened(platform)
    client = await door.connect()
    platform.hold()
    client.send(a_request(INVOKE, b"{}"))
    await platform.reached(INVOKE)
    stopping = asyncio.create_task(platform.server.stop(30))
    while door.listener.fileno() >= 0:
        await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await door.connect()
    await platform.let_go(INVOKE)
    assert (await client.answer()).status == 200
    await stopping
    with pytest.raises(ConnectionRefusedError):
        await Opened(platform).connect()


class Scarce(socket.socket):
    """A listening socket with which the process has no descriptor left, at first."""

    failures = 1

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_where_no_descriptor_is_left_clients_wait(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "_PAUSE", 0.01)
    listener = Scarce(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = await Opened(platform, listener).connect()
    assert (await client.ask(a_request(INVOKE, b"{}"))).status == 200
    assert listener.failures == 0
    assert caplog.messages == ["connections have to wait: [Errno 24] Too many open files"]
