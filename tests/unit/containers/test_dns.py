"""The forwarder at sockets of the loopback, with resolvers that answer, lie, refuse, or say nothing."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.unit.containers.resolver import ADDRESS, AXFR, Resolver, answered, ask_for, resolving
from upcall.containers.sandbox import dns, question
from upcall.containers.sandbox.dns import Forwarder
from upcall.containers.sandbox.resolvers import Resolvers
from upcall.model.resolvers import Address


class Client:
    """One who asks a forwarder."""

    def __init__(self, udp: tuple[str, int], tcp: tuple[str, int]) -> None:
        self.address, self.tcp = udp, tcp
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(udp)

    async def answer(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, 65_535)

    async def ask(self, query: bytes) -> bytes:
        self.socket.send(query)
        return await self.answer()


def listening(kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


@contextlib.asynccontextmanager
async def forwarding(*ports: int, refuse: bool = False) -> AsyncIterator[Client]:
    udp, tcp = listening(socket.SOCK_DGRAM), listening(socket.SOCK_STREAM)
    choose = Resolvers([Address("127.0.0.1", port) for port in ports])
    client = Client(udp.getsockname(), tcp.getsockname())
    forwarder = Forwarder(udp, tcp, None if refuse else choose)
    try:
        yield client
    finally:
        client.socket.close()
        tasks = [*forwarder._asking.values(), *forwarder._talking]
        forwarder.close()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    with resolving() as made:
        yield made


def code(message: bytes) -> int:
    return question.code_of(message)


async def test_a_question_goes_on_with_an_id_by_chance_and_its_answer_comes_back(resolver: Resolver) -> None:
    async with forwarding(resolver.port) as client:
        queries = [ask_for("a.test", number=number) for number in range(8)]
        for query in queries:
            assert await client.ask(query) == answered(query)
    assert [query[2:] for query in resolver.seen] == [query[2:] for query in queries]
    assert [query[:2] for query in resolver.seen] != [query[:2] for query in queries]


async def test_many_questions_at_once_get_each_its_own(resolver: Resolver) -> None:
    async with forwarding(resolver.port) as client:
        queries = {number: ask_for(f"n{number}.test", number=number) for number in range(40)}
        for query in queries.values():
            client.socket.send(query)
        for _ in range(40):
            message = await client.answer()
            assert message == answered(queries.pop(int.from_bytes(message[:2])))
    assert not queries


@pytest.mark.parametrize(
    "lie",
    [
        lambda query: bytes([query[0] ^ 1, query[1]]) + answered(query, 2)[2:],
        lambda query: query[:2] + answered(ask_for("other.test"))[2:],
        lambda query: query,
        lambda query: query[:5],
    ],
    ids=["another id", "another question", "no answer", "too short"],
)
async def test_what_is_no_answer_to_the_question_is_passed_over(lie: Callable[[bytes], bytes]) -> None:
    with resolving(lambda query: [lie(query), answered(query)]) as resolver:
        async with forwarding(resolver.port) as client:
            query = ask_for("a.test")
            assert await client.ask(query) == answered(query)


async def test_an_answer_from_elsewhere_is_not_taken() -> None:
    loop = asyncio.get_running_loop()
    with listening(socket.SOCK_DGRAM) as asked, listening(socket.SOCK_DGRAM) as stranger:
        asked.setblocking(False)
        async with forwarding(asked.getsockname()[1]) as client:
            query = ask_for("a.test")
            client.socket.send(query)
            seen, port = await loop.sock_recvfrom(asked, 512)
            stranger.sendto(answered(seen, 2), port)
            asked.sendto(answered(seen), port)
            assert await client.answer() == answered(query)


async def test_where_one_resolver_is_silent_the_next_one_is_asked(
    monkeypatch: pytest.MonkeyPatch, resolver: Resolver
) -> None:
    monkeypatch.setattr(dns, "_NEXT", 0.01)
    with resolving(lambda _: []) as silent:
        async with forwarding(silent.port, resolver.port) as client:
            query = ask_for("a.test")
            assert await client.ask(query) == answered(query)
        assert len(silent.seen) == 1


async def test_the_first_is_still_heard_when_the_next_one_has_been_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_NEXT", 0.01)
    asked = threading.Event()

    def late(query: bytes) -> list[bytes]:
        asked.wait()
        return [answered(query)]

    def silent(_: bytes) -> list[bytes]:
        asked.set()
        return []

    with resolving(late) as first, resolving(silent) as second:
        async with forwarding(first.port, second.port) as client:
            query = ask_for("a.test")
            assert await client.ask(query) == answered(query)


async def test_a_resolver_that_is_not_there_or_cannot_help_is_no_hindrance(resolver: Resolver) -> None:
    with listening(socket.SOCK_DGRAM) as gone:
        port = gone.getsockname()[1]
    with resolving(lambda query: [answered(query, 0, flags=0x8182)]) as unable:
        async with forwarding(port, unable.port, resolver.port) as client:
            query = ask_for("a.test")
            assert await client.ask(query) == answered(query)


async def test_what_the_only_resolver_says_is_the_answer_whatever_it_is() -> None:
    with resolving(lambda query: [answered(query, 0, flags=0x8185)]) as refusing:
        async with forwarding(refusing.port) as client:
            assert code(await client.ask(ask_for("a.test"))) == question.REFUSED


async def test_nobody_answering_is_servfail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_PATIENCE", 0.05)
    monkeypatch.setattr(dns, "_NEXT", 0.01)
    with resolving(lambda _: []) as silent:
        async with forwarding(silent.port) as client:
            query = ask_for("a.test")
            message = await client.ask(query)
        assert len(silent.seen) == 2
    assert code(message) == question.SERVER_FAILURE
    assert question.answers(message, query)


async def test_who_asks_again_meanwhile_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_PATIENCE", 0.2)
    monkeypatch.setattr(dns, "_NEXT", 10.0)
    with resolving(lambda _: []) as silent:
        async with forwarding(silent.port) as client:
            for _ in range(3):
                client.socket.send(ask_for("silent.test"))
            assert code(await client.answer()) == question.SERVER_FAILURE
        assert len(silent.seen) == 1


async def test_so_many_questions_are_under_way_and_more_wait(
    monkeypatch: pytest.MonkeyPatch, resolver: Resolver
) -> None:
    monkeypatch.setattr(dns, "_QUERIES", 2)
    monkeypatch.setattr(dns, "_PATIENCE", 0.1)
    async with forwarding(resolver.port) as client:
        for number in range(2):
            client.socket.send(ask_for("silent.test", number=number))
        query = ask_for("a.test")
        client.socket.send(query)
        messages = [await client.answer() for _ in range(3)]
    assert [code(message) for message in messages] == [2, 2, 0]
    assert messages[2] == answered(query)


async def test_an_answer_that_is_cut_off_comes_whole_by_tcp(resolver: Resolver) -> None:
    async with forwarding(resolver.port) as client:
        query = ask_for("long.test")
        cut = await client.ask(query)
        assert cut[2] & 0x02
        reader, writer = await asyncio.open_connection(*client.tcp)
        for _ in range(2):
            writer.write(len(query).to_bytes(2) + query)
            message = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            assert message == answered(query, 100)
        writer.close()
        await writer.wait_closed()
    assert message.count(ADDRESS) == 100
    assert len(resolver.seen_by_tcp) == 2


async def test_by_tcp_a_bounded_number_talks_at_a_time(monkeypatch: pytest.MonkeyPatch, resolver: Resolver) -> None:
    monkeypatch.setattr(dns, "_CONNECTIONS", 1)
    async with forwarding(resolver.port) as client:
        query = ask_for("a.test")
        first, second = [await asyncio.open_connection(*client.tcp) for _ in range(2)]
        second[1].write(len(query).to_bytes(2) + query)
        first[1].write(len(query).to_bytes(2) + query)
        assert await first[0].readexactly(2) == len(answered(query)).to_bytes(2)
        assert len(resolver.seen_by_tcp) == 1
        first[1].close()
        assert await second[0].readexactly(2) == len(answered(query)).to_bytes(2)
        second[1].close()


async def test_without_network_everything_is_refused_at_once(resolver: Resolver) -> None:
    async with forwarding(resolver.port, refuse=True) as client:
        query = ask_for("a.test")
        assert await client.ask(query) == question.reply(query, question.REFUSED)
        reader, writer = await asyncio.open_connection(*client.tcp)
        writer.write(len(query).to_bytes(2) + query)
        assert await reader.readexactly(int.from_bytes(await reader.readexactly(2))) == question.reply(query, 5)
        writer.close()
    assert resolver.seen == []


async def test_changes_and_whole_zones_go_nowhere(resolver: Resolver) -> None:
    async with forwarding(resolver.port) as client:
        assert code(await client.ask(ask_for("a.test", AXFR))) == question.REFUSED
        assert code(await client.ask(ask_for("a.test", flags=5 << 11))) == question.NOT_IMPLEMENTED
        assert code(await client.ask(ask_for("a.test")[:-2])) == question.FORMAT_ERROR
    assert resolver.seen == []


async def test_what_is_no_query_gets_no_answer(resolver: Resolver) -> None:
    async with forwarding(resolver.port) as client:
        for nonsense in (b"", b"x" * 11, answered(ask_for("a.test"))):
            client.socket.send(nonsense)
        query = ask_for("b.test")
        assert await client.ask(query) == answered(query)
    assert len(resolver.seen) == 1
