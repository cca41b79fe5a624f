"""The container client and servers that are none of ours (spec: container.md §2)."""

import asyncio
import socket

from tests.unit.invoker.test_runtime import OK, Bench, Serve, bench
from upcall.core.outcome import Ending, Outcome
from upcall.invoker.call import Allowance
from upcall.invoker.runtime import Runtime
from upcall.ports import Address

__all__ = ["bench"]


def one_after_the_other(bench: Bench) -> Serve:
    """A server without threads: a connection that it keeps is all that it looks at."""
    alone = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with alone:
            while True:
                await bench.request(reader)
                writer.write(OK)

    return serve


def foreign(bench: Bench) -> None:
    bench.runtime = Runtime(Address(path=bench.path), bench.deadlines, foreign=True)


async def test_who_serves_one_connection_at_a_time_answers_all(bench: Bench) -> None:
    await bench.serve(one_after_the_other(bench))
    foreign(bench)
    for _ in range(2):
        outcomes = await asyncio.gather(*(bench.post() for _ in range(3)))
        assert [outcome.ending for outcome in outcomes] == [Ending.ANSWERED] * 3


async def test_a_connection_that_is_in_nobodys_way_is_kept(bench: Bench) -> None:
    await bench.answer(OK)
    foreign(bench)
    await bench.post()
    assert not len(bench.deadlines)
    await asyncio.gather(*(bench.post() for _ in range(3)))
    for connection in bench.runtime.free:
        connection.expire()
    await asyncio.gather(*(bench.post() for _ in range(3)))
    assert bench.connections == 3


async def test_it_is_called_by_its_own_address(bench: Bench) -> None:
    """Some servers refuse names that they do not know."""
    for host, named in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
        heads: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heads: list[bytes] = heads) -> None:
            heads.append(await bench.request(reader))
            writer.write(OK)
            writer.close()

        server = await asyncio.start_server(serve, host, 0)
        port = server.sockets[0].getsockname()[1]
        bench.runtime = Runtime(Address(host=host, port=port), bench.deadlines, foreign=True)
        assert (await bench.post()).status == 200
        assert f"\r\nHost: {named}:{port}\r\n".encode() in heads[0]
        server.close()


async def test_the_head_of_an_answer_is_acknowledged_at_once(bench: Bench) -> None:
    """Not when there is something to send back: a server may wait for it, with the body in its hands."""
    body = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await bench.request(reader)
            writer.write(OK)
        await bench.request(reader)
        writer.write(OK[:-2])
        await body.wait()
        writer.write(OK[-2:])
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        bench.runtime = Runtime(address, bench.deadlines, foreign=True)
        for _ in range(3):
            await bench.post()
        (connection,) = bench.runtime.free
        ours = connection._transport.get_extra_info("socket")
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        asked = bench.begin()
        while not connection._received:
            await asyncio.sleep(0)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        body.set()
        assert (await asked).body == b"{}"


async def test_who_closes_after_each_answer_without_a_word_gets_every_request_once(bench: Bench) -> None:
    """Though the next one is sent before anybody can know of it."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await bench.request(reader)
        asked += 1
        writer.write(OK)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        bench.runtime = Runtime(address, bench.deadlines, foreign=True)
        outcomes = list[Outcome]()
        over = asyncio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            if len(outcomes) == 100:
                over.set()
            else:
                bench.runtime.post(b"/run", b"{}", Allowance(10.0, 1000, 100), done)

        bench.runtime.post(b"/init", b"{}", Allowance(10.0, 1000, 100), done, retry=True)
        await over.wait()
    assert [outcome.ending for outcome in outcomes] == [Ending.ANSWERED] * 100
    assert asked == 100


async def test_who_closes_without_reading_is_not_asked_for_ever(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        bench.runtime = Runtime(address, bench.deadlines, foreign=True)
        assert (await bench.post()).ending is Ending.CLOSED
