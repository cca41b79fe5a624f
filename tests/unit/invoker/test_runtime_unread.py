"""What the client makes of a runtime that dies: whether a request may have run decides who runs it again (D14)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from tests.unit.invoker.test_runtime import OK, Bench, a_bench
from upcall.core.outcome import Ending
from upcall.deadlines import Deadlines
from upcall.invoker.runtime import Runtime
from upcall.ports import Address


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with a_bench() as made:
        yield made


@contextlib.contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        made.listen()
        yield made


async def connected(bench: Bench, server: socket.socket) -> socket.socket:
    """The client's connection after one exchange, from the side of a runtime that has an ordinary socket."""
    done = bench.begin()
    server.setblocking(False)
    connection, _ = await asyncio.get_running_loop().sock_accept(server)
    await asyncio.get_running_loop().sock_recv(connection, 65536)
    connection.send(OK)
    assert (await done).ending is Ending.ANSWERED
    return connection


async def test_a_request_to_a_runtime_that_died_unnoticed_is_refused(bench: Bench) -> None:
    with listening(bench.path) as server:
        connection = await connected(bench, server)
        connection.close()
        assert (await bench.begin()).ending is Ending.REFUSED


@pytest.mark.parametrize("size", [2, 1_000_000])
async def test_a_request_that_a_frozen_runtime_never_read_is_refused_when_it_dies(bench: Bench, size: int) -> None:
    with listening(bench.path) as server:
        connection = await connected(bench, server)
        done = bench.begin(body=b"x" * size)
        await asyncio.sleep(0.01)
        assert not done.done()
        connection.close()
        assert (await done).ending is Ending.REFUSED


async def test_a_large_request_that_was_read_in_part_has_not_run(bench: Bench) -> None:
    with listening(bench.path) as server:
        connection = await connected(bench, server)
        done = bench.begin(body=b"x" * 1_000_000)
        await asyncio.get_running_loop().sock_recv(connection, 1000)
        connection.close()
        assert (await done).ending is Ending.REFUSED


async def test_a_connection_that_nobody_accepts_is_refused_when_the_socket_goes(bench: Bench) -> None:
    with listening(bench.path):
        done = bench.begin()
        await asyncio.sleep(0.01)
    assert (await done).ending is Ending.REFUSED


@pytest.mark.parametrize("answered", [b"", OK[:10]])
async def test_a_request_that_was_read_may_have_run(bench: Bench, answered: bytes) -> None:
    with listening(bench.path) as server:
        connection = await connected(bench, server)
        done = bench.begin()
        await asyncio.get_running_loop().sock_recv(connection, 65536)
        connection.send(answered)
        connection.close()
        assert (await done).ending is Ending.CLOSED


async def test_a_request_that_was_answered_in_part_before_it_was_read_is_lost(bench: Bench) -> None:
    with listening(bench.path) as server:
        connection = await connected(bench, server)
        done = bench.begin()
        await asyncio.sleep(0.01)
        connection.send(OK[:10])
        await asyncio.sleep(0.01)
        connection.close()
        assert (await done).ending is Ending.CLOSED


@pytest.mark.parametrize(
    "test",
    [
        test_a_request_to_a_runtime_that_died_unnoticed_is_refused,
        test_a_large_request_that_was_read_in_part_has_not_run,
        test_a_connection_that_nobody_accepts_is_refused_when_the_socket_goes,
        test_a_request_that_was_answered_in_part_before_it_was_read_is_lost,
    ],
)
def test_the_same_on_uvloop(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with a_bench() as bench:
            await test(bench)

    uvloop.run(run())


async def test_a_reset_from_another_machine_says_nothing_about_the_request() -> None:
    """TCP resets for many reasons, also after the request has run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        deadlines = Deadlines(0.01)
        bench = Bench("/nowhere")
        bench.runtime = Runtime(Address(host="127.0.0.1", port=server.getsockname()[1]), deadlines)
        connection = await connected(bench, server)
        done = bench.begin()
        await asyncio.sleep(0.01)
        connection.close()
        assert (await done).ending is Ending.CLOSED
        bench.runtime.close()
        bench.deadlines.close()
        deadlines.close()
