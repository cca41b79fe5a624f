"""Clients that send nothing more but still read (`nc -N`), on both routes and both loops."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.api.platform import INVOKE, OTHER, ROUTES, Client, Platform, a_request, result
from tests.api.test_edge import reset

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Coroutine[Any, Any, None]], None]
MB = 1024 * 1024


def half_close(client: Client, data: bytes = b"") -> None:
    client.send(data)
    client.writer.write_eof()


async def none_left(platform: Platform) -> None:
    async with asyncio.timeout(5):
        while platform.server._uvicorn.server_state.connections:
            await asyncio.sleep(0.001)


@LOOPS
@ROUTES
def test_what_arrived_whole_is_answered(path: str, run: Run) -> None:
    async def test() -> None:
        async with Platform().run() as platform:
            platform.hold()
            client = await platform.connect()
            half_close(client, a_request(path, b"{}"))
            await platform.reached(path)
            await until_half_closed(platform)
            await platform.let_go(path)
            answered = await client.answer()
            assert answered.status == 200
            assert answered.headers["connection"] == "close"
            assert await client.ended()
            await none_left(platform)

    run(test())


@LOOPS
@ROUTES
def test_an_answer_that_is_there_at_once_comes_too(path: str, run: Run) -> None:
    async def test() -> None:
        async with Platform().run() as platform:
            client = await platform.connect()
            half_close(client, a_request(path, b"{}"))
            assert (await client.answer()).status == 200
            assert await client.ended()
            await none_left(platform)

    run(test())


@LOOPS
@ROUTES
@pytest.mark.parametrize("rest", ["", "head", "body"])
def test_all_that_wait_are_answered_and_half_a_request_is_not(path: str, rest: str, run: Run) -> None:
    async def test() -> None:
        async with Platform().run() as platform:
            platform.hold()
            client = await platform.connect()
            third = a_request(path, b'{"a":1}')
            half = {"": b"", "head": third[:40], "body": third[:-3]}[rest]
            half_close(client, a_request(path) + a_request(INVOKE) + a_request(OTHER) + half)
            await platform.reached(path)
            platform.app.go.set()
            for number in range(2 if path == INVOKE else 1):
                platform.invoker.finish(await platform.invoker.message(number), result(b"{}"))
            assert [(await client.answer()).status for _ in range(3)] == [200] * 3
            assert await client.ended()
            await none_left(platform)
            assert len(platform.invoker.messages) == (2 if path == INVOKE else 1)

    run(test())


@LOOPS
@ROUTES
@pytest.mark.parametrize("part", ["nothing", "head", "body", "answered"])
def test_without_a_whole_request_the_connection_is_closed_at_once(path: str, part: str, run: Run) -> None:
    async def test() -> None:
        async with Platform().run() as platform:
            client = await platform.connect()
            whole = a_request(path, b'{"a":1}')
            if part == "answered":
                assert (await client.ask(whole)).status == 200
            half_close(client, {"head": whole[:40], "body": whole[:-3]}.get(part, b""))
            async with asyncio.timeout(5):
                assert await client.ended()
            await none_left(platform)
            assert len(platform.invoker.messages) == (part == "answered" and path == INVOKE)
            if part == "body" and path == OTHER:
                await platform.app.gone.wait()

    run(test())


@LOOPS
def test_a_refusal_that_waits_for_its_turn_is_sent(run: Run) -> None:
    async def test() -> None:
        async with Platform(max_body=1000).run() as platform:
            platform.hold()
            client = await platform.connect()
            half_close(client, a_request(INVOKE) + a_request(INVOKE, headers={"Content-Length": "2000"}) + b"{")
            await platform.reached(INVOKE)
            await platform.let_go(INVOKE)
            assert [(await client.answer()).status for _ in range(2)] == [200, 413]
            async with asyncio.timeout(5):
                assert await client.ended()
            await none_left(platform)

    run(test())


@LOOPS
@ROUTES
@pytest.mark.parametrize("how", ["closed", "half-closed and reset"])
def test_a_client_that_left_is_noticed_at_the_answer(path: str, how: str, run: Run) -> None:
    async def test() -> None:
        async with Platform().run() as platform:
            platform.hold()
            client = await platform.connect()
            client.send(a_request(path, b"{}"))
            await platform.reached(path)
            if how == "closed":
                client.writer.close()
            else:
                client.writer.write_eof()
            await until_half_closed(platform)
            if how != "closed":
                reset(client)
            await platform.let_go(path)
            await none_left(platform)
            assert platform.acks.count == 0

    run(test())


@LOOPS
def test_a_half_closed_client_that_does_not_read_is_cut(run: Run) -> None:
    async def test() -> None:
        platform = Platform(receive_time=0.05, idle_time=0.05)
        platform.interval = 0.01
        async with platform.run():
            platform.hold()
            client = await platform.connect()
            client.reader._limit = 1  # type: ignore[attr-defined]  # the stream stops to read at once
            half_close(client, a_request(INVOKE))
            message = await platform.invoker.message()
            await until_half_closed(platform)
            platform.invoker.finish(message, result(b'{"a":"' + b"x" * 16 * MB + b'"}'))
            await none_left(platform)

    run(test())


@LOOPS
@ROUTES
def test_a_shutdown_waits_for_the_answer(path: str, run: Run) -> None:
    async def test() -> None:
        async with Platform().run() as platform:
            platform.hold()
            client = await platform.connect()
            half_close(client, a_request(path, b"{}"))
            await platform.reached(path)
            await until_half_closed(platform)
            stopping = asyncio.ensure_future(platform.server.stop(30))
            await asyncio.sleep(0)
            await platform.let_go(path)
            assert (await client.answer()).status == 200
            await stopping

    run(test())


async def until_half_closed(platform: Platform) -> None:
    """Wait until the server knows: it does not keep the connection any more."""
    async with asyncio.timeout(5):
        (connection,) = await platform.connections(1)
        while connection.running.keep_alive:
            await asyncio.sleep(0.001)
