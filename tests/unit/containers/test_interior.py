"""What is made with a namespace goes with it, also when making it fails half-way."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.containers.resolver import ask_for
from upcall.containers.sandbox.interior import Interior
from upcall.containers.sandbox.outbound import Link
from upcall.errors import StartFailed


class Zygote:
    """Makes sockets as the real one does, on the loopback here."""

    def __init__(self) -> None:
        self.made: list[int] = []
        """The descriptors of the last answer."""

    async def ask(self, message: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        assert (message, fds) == ({"op": "net"}, [])
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
        sockets = [socket.socket(socket.AF_INET, kind) for kind in kinds]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
            if each.type == socket.SOCK_STREAM:
                each.listen()
        self.made = [os.open("/dev/null", os.O_RDONLY), *(each.detach() for each in sockets)]
        return {}, list(self.made)

    def address(self, number: int) -> Any:
        with socket.socket(fileno=os.dup(self.made[number])) as again:
            return again.getsockname()

    @property
    def left(self) -> list[int]:
        """Descriptors that are open still."""
        return [fd for fd in self.made if os.path.exists(f"/proc/self/fd/{fd}")]


class Ways:
    """Notes which ways out there are."""

    reach = "as noted"

    def __init__(self) -> None:
        self.there: list[int] = []
        self.failure: Exception | None = None
        self.leaving = asyncio.Event()
        self.leaving.set()

    async def start(self) -> None:
        raise NotImplementedError

    close = start

    async def attach(self, number: int, fd: int) -> Link:
        os.fstat(fd)
        if self.failure:
            raise self.failure
        self.there.append(number)
        return Link(number)

    async def detach(self, link: Link) -> None:
        await self.leaving.wait()
        self.there.remove(link.number)
        if self.failure:
            raise self.failure


class Api:
    """Serves sockets by keeping them."""

    def __init__(self) -> None:
        self.open: list[socket.socket] = []

    def serve(self, listener: socket.socket) -> Callable[[], None]:
        self.open.append(listener)

        def close() -> None:
            self.open.remove(listener)
            listener.close()

        return close


async def test_what_is_made_goes_with_the_namespace() -> None:
    zygote, ways, api = Zygote(), Ways(), Api()
    interior = Interior(zygote.ask, ways, api.serve, None)
    namespace = await interior.make()
    assert (namespace.fd, namespace.number, ways.there) == (zygote.made[0], 0, [0])
    assert [each.fileno() for each in api.open] == [zygote.made[1]]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(zygote.address(2))
        client.send(ask_for("a.test"))
        assert await asyncio.get_running_loop().sock_recv(client, 512)
    interior.let_go(namespace)
    assert (zygote.left, api.open) == ([], [])
    await interior.close()
    assert ways.there == []


async def test_without_somebody_to_serve_the_api_nothing_listens_there() -> None:
    zygote = Zygote()
    interior = Interior(zygote.ask, Ways(), None, None)
    namespace = await interior.make()
    assert zygote.made[1] not in zygote.left
    interior.let_go(namespace)
    assert zygote.left == []
    await interior.close()


async def test_nothing_is_left_where_the_zygote_ends_while_the_way_out_is_made() -> None:
    zygote, ways, api = Zygote(), Ways(), Api()
    interior = Interior(zygote.ask, ways, api.serve, None)
    ways.failure = StartFailed("The zygote has ended.")
    with pytest.raises(StartFailed):
        await interior.make()
    assert (zygote.left, api.open) == ([], [])
    ways.failure = None
    again = await interior.make()
    assert again.number == 0
    interior.let_go(again)
    await interior.close()


async def test_a_number_is_free_again_when_the_way_out_is_gone_or_cannot_be_taken_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    zygote, ways = Zygote(), Ways()
    interior = Interior(zygote.ask, ways, None, None)
    first = await interior.make()
    ways.leaving.clear()
    interior.let_go(first)
    second = await interior.make()
    assert (first.number, second.number) == (0, 1)
    ways.leaving.set()
    await interior.close()
    third = await interior.make()
    assert third.number == 0
    ways.failure = OSError("no")
    interior.let_go(third)
    await interior.close()
    assert [record.message for record in caplog.records] == ["the way out of network 0 cannot be taken away"]
    ways.failure = None
    fourth = await interior.make()
    assert fourth.number == 0
    for namespace in (second, fourth):
        interior.let_go(namespace)
    await interior.close()
    assert ways.there == []
