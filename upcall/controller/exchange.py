"""One request that is answered inside the protocol, and what all such requests share (docs/DESIGN.md D2).

An `Exchange` collects the body, gives the whole to the route, and writes the answer with one write. It is also the form
of a refusal that the edge makes on its own: a head too large, a body too large, bytes that are no HTTP.
"""

import asyncio
import resource
from collections.abc import MutableSequence
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from upcall.controller.holdings import Holdings
from upcall.controller.route import InvokeRoute, Request
from upcall.controller.target import Target, parse_target
from upcall.http.envelope import TID_HEADER, Headers, refusal, tid_bytes, transaction_id
from upcall.model import texts

if TYPE_CHECKING:
    from upcall.controller.edge import EdgeProtocol

MB = 1024 * 1024
KNOWN_URLS = 4096
KNOWN_HEADS, LONGEST_HEAD = 1024, 2048
CONNECTIONS = 50_000
_EXPECTED = (b"100-continue", b"100-Continue")
_ACTIVATION = b"x-openwhisk-activation-id: "
_CLOSE = b"\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
_LATER: Headers = ((b"Retry-After", b"5"),)
"""Of a 503: the time in which a stopped platform may be there again."""


class Head(msgspec.Struct, frozen=True):
    """What the parser made of the head of an invoke whose body has this length, on a connection that goes on."""

    target: Target
    headers: dict[bytes, bytes]
    length: int


class Edge:
    """What all connections of a server share. Times are in seconds."""

    def __init__(
        self,
        route: InvokeRoute,
        *,
        tid_header: bytes = TID_HEADER,
        max_body: int = 50 * MB,
        max_url: int = 8192,
        max_head: int = 65536,
        receive_time: float = 30.0,
        idle_time: float = 70.0,
        max_connections: int | None = None,
        holdings: Holdings | None = None,
    ) -> None:
        self.route = route
        self.tid_name = tid_header.lower()
        self.tid_prefix = tid_header + b": "
        self.max_body = max_body
        self.max_url = max_url
        self.max_head = max_head
        self.receive_time = receive_time
        self.idle_time = idle_time
        self.max_connections = most_connections() if max_connections is None else max_connections
        self.holdings = holdings or Holdings()
        self.figures = route.figures
        self.now = 0.0
        """The time of the last sweep."""
        self.refusing = False
        """The platform stops: whoever asks from outside from now on is told so."""
        self.leaving: set[EdgeProtocol] = set()
        """Connections that are still to be answered before it has stopped."""
        self.left = asyncio.Event()
        self.heads: dict[bytes, Head] = {}
        """By their bytes: callers repeat themselves, and a head that is the same to the byte is parsed once."""
        self._targets: dict[bytes, Target | None] = {}
        self._defaults: MutableSequence[tuple[bytes, bytes]] = []
        self._default_block = b""

    def target(self, url: bytes) -> Target | None:
        """What the URL of a POST asks for; None where it is the app's."""
        try:
            return self._targets[url]
        except KeyError:
            if len(self._targets) >= KNOWN_URLS:
                self._targets.clear()
            target = self._targets[url] = parse_target(url)
            return target

    def learn(self, data: bytes, head: Head) -> None:
        """`data` is the head as it came."""
        if len(data) <= LONGEST_HEAD:
            if len(self.heads) >= KNOWN_HEADS:
                self.heads.clear()
            self.heads[data] = head

    def gone(self, connection: "EdgeProtocol") -> None:
        """It is closed."""
        self.holdings.release(connection)
        self.holdings.caught_up(connection)
        self.leaving.discard(connection)
        if not self.leaving:
            self.left.set()

    def default_block(self, state: ServerState) -> bytes:
        """uvicorn's own headers (the date), written out. It makes a new list of them each second."""
        if state.default_headers is not self._defaults:
            self._defaults = state.default_headers
            self._default_block = b"".join(b"%b: %b\r\n" % pair for pair in self._defaults)
        return self._default_block


def most_connections() -> int:
    """Three of four descriptors, as the rest is for containers and the store; and no more than memory is for, at some
    10 KB each."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if files == resource.RLIM_INFINITY else min(files * 3 // 4, CONNECTIONS)


@lru_cache(256)
def header_lines(headers: Headers) -> bytes:
    """As they are written; there are few sets of them."""
    return b"".join(b"%b: %b\r\n" % pair for pair in headers)


class _NoEvent:
    """In place of the event that wakes an ASGI app."""

    def set(self) -> None:
        """Nobody waits for it."""


class Exchange:
    """One request that is answered here. The first five members are those of uvicorn's `RequestResponseCycle` that the
    protocol uses; `response_started` too."""

    __slots__ = (
        "began",
        "chunks",
        "complete",
        "disconnected",
        "headers",
        "keep_alive",
        "protocol",
        "refused",
        "response_complete",
        "size",
        "started",
        "target",
        "tid",
    )
    message_event = _NoEvent()

    def __init__(
        self, protocol: "EdgeProtocol", target: Target | None, headers: dict[bytes, bytes], keep_alive: bool
    ) -> None:
        self.protocol = protocol
        self.target = target
        self.headers = headers
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.started = False
        self.complete = False
        self.refused: tuple[int, str] | None = None
        self.chunks: list[bytes] = []
        self.size = 0
        self.tid = ""

    def begin(self) -> None:
        """All requests before this one are answered."""
        self.started = True
        if self.refused or self.complete:
            self.submit()
        elif self.headers.get(b"expect") in _EXPECTED:
            announced = int(self.headers.get(b"content-length", 0))
            if announced > self.protocol.edge.route.payload_limit:
                self.size = announced  # refused for its size, if nothing else is wrong; the body need not come
                self.keep_alive = False
                self.submit()
            else:
                self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take(self, body: bytes) -> None:
        """Keep a piece of the body, unless the whole is too large to be used."""
        if self.response_complete or self.refused:
            return
        edge = self.protocol.edge
        self.size += len(body)
        if self.size > edge.max_body:
            self.refuse(413, texts.request_too_large(self.size, edge.max_body))
        elif self.size <= edge.route.payload_limit:
            self.chunks.append(body)
        else:
            self.chunks.clear()

    def refuse(self, status: int, text: str) -> None:
        """Answer this in its turn, and nothing after it."""
        self.refused = status, text
        self.keep_alive = False
        self.chunks.clear()
        if self.started:
            self.submit()

    def submit(self) -> None:
        """The request is there, or as much of it as is needed."""
        if self.response_complete:
            return
        headers = self.headers
        edge = self.protocol.edge
        self.began = perf_counter()
        self.tid = transaction_id(headers.get(edge.tid_name))
        if self.refused or self.target is None:
            status, text = self.refused or (400, "")
            self.respond(*refusal(status, text, self.tid, _LATER if status == 503 else (), allow=()))
            return
        chunks = self.chunks
        request = Request(
            self.target,
            headers.get(b"authorization"),
            headers.get(b"content-type", b""),
            chunks[0] if len(chunks) == 1 else b"".join(chunks),
            self.size,
            self.tid,
            headers.get(b"x-ow-extra-logging", b"").lower() == b"on",
            self.respond,
        )
        self.chunks = []
        edge.route.handle(request)

    def respond(self, status: int, headers: Headers, body: bytes, activation: bytes = b"") -> None:
        """Write the answer, unless there is one already or nobody is left to read it."""
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self.protocol
        transport = protocol.transport
        if transport.is_closing():
            return
        edge = protocol.edge
        if self.target is None:
            edge.figures.answered("refused", status, perf_counter() - self.began)
        else:
            edge.figures.invoked(status, perf_counter() - self.began)
        parts = [STATUS_LINE[status], edge.default_block(protocol.server_state), header_lines(headers)]
        if activation:
            parts += (_ACTIVATION, activation, b"\r\n")
        parts += (edge.tid_prefix, tid_bytes(self.tid))
        parts.append(b"\r\ncontent-length: %d\r\n\r\n" if self.keep_alive else _CLOSE)
        parts[-1] %= len(body)
        parts.append(body)
        transport.write(b"".join(parts))
        if not self.keep_alive:
            protocol.end()
        protocol.on_response_complete()
