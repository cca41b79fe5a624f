"""DNS inside one tenant's network: what is asked there goes on to the resolvers, from the host's network (D15).

Messages are passed on as they are but for their id. Each query has a socket and an id of its own, both by chance, so
that nobody can guess an answer into it. A resolver that does not answer is not waited for: after a while the next one
is asked as well, and whichever answers first has answered; when none has in five seconds, the answer is SERVFAIL. An
answer that is cut off for its length is asked for again by the client, by TCP. Answers need no filter: what they must
not lead to, the network's routes refuse.

A tenant has so many queries under way, by UDP and by TCP; more wait in the kernel, and are lost there when too many.
Without resolvers every question is refused at once: where an action has no network, names are no way out either.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from upcall.accepting import Accepting
from upcall.containers.sandbox import question
from upcall.containers.sandbox.resolvers import Resolver

_QUERIES, _CONNECTIONS = 64, 16
_TURN = 8
_LARGEST = 65_535
_PATIENCE, _NEXT, _IDLE = 5.0, 1.5, 10.0
"""Seconds: until SERVFAIL, until the next resolver is asked, and for a client by TCP to ask or to listen."""
_UNHELPFUL = (question.SERVER_FAILURE, question.NOT_IMPLEMENTED, question.REFUSED)

Choose = Callable[[], list[Resolver]]
Ask = Callable[[Resolver, bytes], Awaitable[bytes]]
Waiting = tuple[object, bytes]


class Forwarder:
    """Serves one namespace until it is closed; owns both sockets. `choose` gives the resolvers, None refuses."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, choose: Choose | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._udp = udp
        self._choose = choose
        self._asking: dict[Waiting, asyncio.Task[None]] = {}
        self._talking: set[asyncio.Task[None]] = set()
        udp.setblocking(False)
        self._loop.add_reader(udp, self._readable)
        self._accepting = Accepting(tcp, _CONNECTIONS, self._connected)

    def close(self) -> None:
        """Drop what is under way: nobody is left who would read it."""
        self._accepting.close()
        self._loop.remove_reader(self._udp)
        self._udp.close()
        for task in (*self._asking.values(), *self._talking):
            task.cancel()

    def _readable(self) -> None:
        for _ in range(_TURN):
            try:
                query, client = self._udp.recvfrom(_LARGEST)
            except OSError:
                return
            self._take(query, client)
            if len(self._asking) >= _QUERIES:
                self._loop.remove_reader(self._udp)
                return

    def _take(self, query: bytes, client: object) -> None:
        waiting = (client, query)
        if not question.is_query(query) or waiting in self._asking:  # it repeats itself: one answer serves
            return
        if code := self._fault(query):
            self._send(question.reply(query, code), client)
            return
        task = self._loop.create_task(self._answer(query, client))
        self._asking[waiting] = task
        task.add_done_callback(lambda _: self._answered(waiting))

    def _fault(self, query: bytes) -> int:
        return question.REFUSED if self._choose is None else question.fault(query)

    async def _answer(self, query: bytes, client: object) -> None:
        self._send(await self._resolve(query, by_udp), client)

    def _answered(self, waiting: Waiting) -> None:
        full = len(self._asking) >= _QUERIES
        del self._asking[waiting]
        if full and self._udp.fileno() >= 0:
            self._loop.add_reader(self._udp, self._readable)

    def _send(self, message: bytes, client: object) -> None:
        try:
            self._udp.sendto(message, client)  # type: ignore[call-overload]
        except OSError:
            return  # no room, or nobody there: as with any datagram

    def _connected(self, client: socket.socket) -> None:
        task = self._loop.create_task(self._converse(client))
        self._talking.add(task)
        task.add_done_callback(self._talked)

    def _talked(self, task: asyncio.Task[None]) -> None:
        self._talking.discard(task)
        self._accepting.ended()

    async def _converse(self, client: socket.socket) -> None:
        with client:
            try:
                while True:
                    async with asyncio.timeout(_IDLE):
                        query = await _receive(client)
                    if not question.is_query(query):
                        return
                    code = self._fault(query)
                    answer = question.reply(query, code) if code else await self._resolve(query, by_tcp)
                    async with asyncio.timeout(_IDLE):
                        await self._loop.sock_sendall(client, _framed(answer))
            except OSError:
                return  # it has left, or is too slow

    async def _resolve(self, query: bytes, ask: Ask) -> bytes:
        resolvers = self._choose() if self._choose else []
        return await first_answer(query, (resolvers * 2)[: max(2, len(resolvers))], ask)


async def first_answer(query: bytes, resolvers: list[Resolver], ask: Ask) -> bytes:
    """What the first that knows says; else what the last one that could not said, or SERVFAIL. With the query's id."""
    asking: set[asyncio.Task[bytes]] = set()
    answer = question.reply(query, question.SERVER_FAILURE)
    left = list(resolvers)
    try:
        async with asyncio.timeout(_PATIENCE):
            while left or asking:
                if left:
                    asking.add(asyncio.ensure_future(ask(left.pop(0), query)))
                done, asking = await asyncio.wait(
                    asking, timeout=_NEXT if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for message in _messages(done):
                    answer = query[:2] + message[2:]
                    if question.code_of(answer) not in _UNHELPFUL:
                        return answer
    except TimeoutError:
        pass
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return answer


def _messages(done: set[asyncio.Task[bytes]]) -> list[bytes]:
    return [task.result() for task in done if not isinstance(task.exception(), OSError)]


async def by_udp(resolver: Resolver, query: bytes) -> bytes:
    """Ask one resolver; only what comes from it can be the answer. Raises OSError where it cannot be asked."""
    with socket.socket(resolver.family, socket.SOCK_DGRAM) as asked:
        asked.setblocking(False)
        asked.connect(resolver.address)
        query = os.urandom(2) + query[2:]
        asked.send(query)
        while True:
            message = await asyncio.get_running_loop().sock_recv(asked, _LARGEST)
            if question.answers(message, query):
                return message


async def by_tcp(resolver: Resolver, query: bytes) -> bytes:
    """The same by TCP."""
    loop = asyncio.get_running_loop()
    with socket.socket(resolver.family, socket.SOCK_STREAM) as asked:
        asked.setblocking(False)
        await loop.sock_connect(asked, resolver.address)
        query = os.urandom(2) + query[2:]
        await loop.sock_sendall(asked, _framed(query))
        message = await _receive(asked)
    if not question.answers(message, query):
        raise ConnectionError("That was no answer.")
    return message


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


async def _receive(connection: socket.socket) -> bytes:
    """One message of a connection. Raises ConnectionError at its end."""
    return await _exactly(connection, int.from_bytes(await _exactly(connection, 2)))


async def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(connection, size - len(data))
        if not more:
            raise ConnectionError("The connection was closed.")
        data += more
    return data
