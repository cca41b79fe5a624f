"""One request that is answered inside the protocol, and what all such requests share (docs/DESIGN.md D2).

An `Exchange` collects the body, gives the whole to the route, and writes the answer with one write. It is also the form
of a refusal that the edge makes on its own: a head too large, a body too large, bytes that are no HTTP.
"""

import asyncio
import resource
from collections.abc import MutableSequence
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec import Raw
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from upcall.controller.holdings import Holdings
from upcall.controller.route import Head, InvokeRoute, Request
from upcall.controller.target import NOWHERE, Target, parse_target
from upcall.http.envelope import COMPLETED, TID_HEADER, Headers, refusal, transaction_id
from upcall.http.ids import ids
from upcall.model import texts

if TYPE_CHECKING:
    from upcall.controller.edge import EdgeProtocol

MB = 1024 * 1024
KNOWN_URLS = 4096
KNOWN_HEADS, LONGEST_HEAD = 4096, 2048
CONNECTIONS = 50_000
_EXPECTED = (b"100-continue", b"100-Continue")
_ACTIVATION = b"\r\nx-openwhisk-activation-id: "
_KEPT, _CLOSED = "\r\ncontent-length: ", "\r\nconnection: close\r\ncontent-length: "
_LATER: Headers = ((b"Retry-After", b"5"),)
"""Of a 503: the time in which a stopped platform may be there again."""


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
        self.tid_line = f"\r\n{tid_header.decode()}: "
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
        self._completed: dict[int, bytes] = {}

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
            head.raw = data
            self.heads[data] = head

    def gone(self, connection: "EdgeProtocol") -> None:
        """It is closed."""
        self.holdings.release(connection)
        self.holdings.caught_up(connection)
        self.leaving.discard(connection)
        if not self.leaving:
            self.left.set()

    def head(self, target: Target, headers: dict[bytes, bytes], length: int) -> Head:
        """What counts of the headers."""
        return Head(
            target,
            headers.get(b"authorization"),
            headers.get(b"content-type", b""),
            headers.get(self.tid_name),
            headers.get(b"x-ow-extra-logging", b"").lower() == b"on",
            headers.get(b"expect") in _EXPECTED,
            length,
        )

    def start(self, state: ServerState, status: int, headers: Headers, activation: bool) -> bytes:
        """An answer up to the activation's id, or to what comes where there is none. uvicorn's own headers (the date)
        are a new list each second, and most answers of a second begin alike."""
        if state.default_headers is not self._defaults:
            self._defaults = state.default_headers
            self._completed.clear()
        if not activation or headers is not COMPLETED:
            return self._start(status, headers) + (_ACTIVATION if activation else b"")
        start = self._completed.get(status)
        if start is None:
            start = self._completed[status] = self._start(status, headers) + _ACTIVATION
        return start

    def _start(self, status: int, headers: Headers) -> bytes:
        return STATUS_LINE[status] + b"\r\n".join(b"%b: %b" % pair for pair in (*self._defaults, *headers))


def most_connections() -> int:
    """Three of four descriptors, as the rest is for containers and the store; and no more than memory is for, at some
    10 KB each."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if files == resource.RLIM_INFINITY else min(files * 3 // 4, CONNECTIONS)


class _NoEvent:
    """In place of the event that wakes an ASGI app."""

    def set(self) -> None:
        """Nobody waits for it."""


class Exchange(Request, eq=False):
    """One request that is answered here. uvicorn looks at `keep_alive`, `disconnected`, `response_complete` and
    `message_event`, as at those of its `RequestResponseCycle`."""

    protocol: "EdgeProtocol"
    keep_alive: bool
    started: bool = False
    """All requests before this one are answered."""
    complete: bool = False
    """The body is whole."""
    disconnected: bool = False
    response_complete: bool = False
    refused: tuple[int, str] | None = None
    chunks: list[bytes] = msgspec.field(default_factory=list)
    message_event: ClassVar[_NoEvent] = _NoEvent()

    def begin(self) -> None:
        """It is its turn."""
        self.started = True
        head = self.head
        if self.refused or self.complete:
            self.submit()
        elif head.expects:
            if head.length > self.route.payload_limit:
                self.size = head.length  # refused for its size, if nothing else is wrong; the body need not come
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
        elif self.size <= self.route.payload_limit:
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
        self.began = monotonic()
        tid = self.head.tid
        self.tid = transaction_id(tid) if tid else ids.transaction()
        if self.refused:
            status, text = self.refused
            self.respond(*refusal(status, text, self.tid, _LATER if status == 503 else (), allow=()))
            return
        if self.chunks:
            self.body, self.chunks = b"".join(self.chunks), []
        self.route.handle(self)

    def respond(
        self, status: int, headers: Headers, body: bytes | Raw, activation: str = "", seconds: float | None = None
    ) -> None:
        """Write the answer, unless there is one already or nobody is left to read it."""
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self.protocol
        transport = protocol.transport
        if transport.is_closing():
            return
        edge, keep_alive = protocol.edge, self.keep_alive
        if seconds is None:
            seconds = monotonic() - self.began
        if self.head.target is NOWHERE:
            edge.figures.answered("refused", status, seconds)
        else:
            edge.figures.invoked(status, seconds)
        start = edge.start(protocol.server_state, status, headers, bool(activation))
        length = _KEPT if keep_alive else _CLOSED
        rest = f"{activation}{edge.tid_line}{self.tid}{length}{len(body)}\r\n\r\n"
        transport.write(b"".join((start, rest.encode("latin-1", "replace"), body)))
        if not keep_alive:
            protocol.end()
        protocol.on_response_complete()
