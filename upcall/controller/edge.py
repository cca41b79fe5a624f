"""The HTTP edge: uvicorn's httptools protocol with one route answered inside it (docs/DESIGN.md D2).

`POST /api/v1/namespaces/{ns}/actions/[{package}/]{name}` becomes an `Exchange`, without ASGI scope, task or future; all
other requests go on to the ASGI app as uvicorn does it. An Exchange takes the place of uvicorn's `cycle` (the members
that uvicorn looks at are named there), so that both kinds of request share its queue of pipelined requests: one runs
at a time, answers come in order, and reading pauses while any wait.

A whole request whose head is known to the byte is not parsed again (`Edge.heads`).

What uvicorn leaves to us is here too. Head, trailers, URL, body and the number of connections are bounded; a request
has to arrive within a set time, an idle connection is closed, one whose client does not read its answers is cut;
`patience.py` is the coarse timer of all that. A wish for another protocol is passed over, and trailers are.
A refusal that leaves part of a request unread closes softly (`end`): else the client would be reset before it has read
why. A client that sends nothing more (`nc -N`) may still read: what arrived whole is answered before the connection
closes. One that has left looks the same until then.

In a shutdown (D8) what began to arrive before it is answered, what begins later gets 503, and either closes. After
`lock` nothing starts any more.

uvicorn's names are not a public interface: its version is pinned, and tests/unit/controller/test_uvicorn.py fails where
the shape has changed.
"""

import asyncio
from time import monotonic
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from upcall.controller.exchange import Edge, Exchange
from upcall.controller.holdings import SMALL
from upcall.controller.route import Head
from upcall.controller.target import NOWHERE
from upcall.http.envelope import transaction_id
from upcall.http.ids import ids
from upcall.http.operator import INSIDE
from upcall.model import texts

READ_SIZE = 16384
"""Bytes per read on the stock loop; its own 256 KiB make each one map and unmap memory (docs/DESIGN.md, rule 4)."""
END_OF_HEAD = b"\r\n\r\n"
EXPECTED = b"100-continue"
URI_TOO_LONG = "414 Request-URI Too Large"
HEAD_TOO_LARGE = "The head of the request is larger than the server is willing to process."
NO_HTTP = "Invalid HTTP request received."


class EdgeProtocol(HttpToolsProtocol):
    """One connection."""

    outside = True
    """It comes from no action's network."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        edge: Edge,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.edge = edge
        self.since = edge.now
        """When the connection last began to receive, or finished something."""
        self.running: Any = None
        """The Exchange or ASGI cycle whose answer is next."""
        self.receiving = self.in_head = False
        self.in_trailer = False
        """After a chunk's size and before its data: where it is 0, what follows is bounded as a head is."""
        self.head_size = self.body_size = 0
        self.unsent = self.held = 0
        self.deaf = False
        """What arrives is thrown away: it cannot be understood, or the answer before it closes."""
        self.draining = False
        """A shutdown has begun."""
        self.refusing = False
        """The request that arrives began after that."""
        self.pumping = False
        self.known = b""
        """The known head that came last."""
        self.fresh: Head | None = None
        """The head that has just been parsed, where it may come again."""
        self.last: Any = None
        """What was to be answered when the shutdown began, on a connection that would else stay open."""

    # --- the transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = READ_SIZE
        self.draining = self.outside and self.edge.refusing
        if len(self.connections) > self.edge.max_connections:
            self.give_up(503, "")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.edge.gone(self)

    def data_received(self, data: bytes) -> None:
        size = len(data)
        if size > READ_SIZE:  # uvloop reads more at once, and the head's bound needs steps
            for start in range(0, size, READ_SIZE):
                self.data_received(data[start : start + READ_SIZE])
            return
        if self.receiving:
            self._parse(data)
            return
        known = self.known
        if not (known and data.startswith(known)):  # else no need to look for its end, nor to hash it
            known = data[: data.find(END_OF_HEAD) + len(END_OF_HEAD)]
        head, running = self.edge.heads.get(known), self.running
        fits = head is not None and size - len(known) == head.length and (running is None or running.response_complete)
        busy = self.deaf or self.draining or self.pipeline or self.flow.write_paused or self.transport.is_closing()
        if head is not None and fits and not busy:
            self.known = head.raw  # one for all connections
            self._repeat(head, data[len(known) :])
            return
        self.fresh = None
        self._parse(data)
        head = self.fresh
        if head is not None and head.way and size - len(known) == head.length and not self.receiving:
            self.edge.learn(known, head)  # where it led somewhere: a stranger's heads take no memory

    def _repeat(self, head: Head, body: bytes) -> None:
        """A whole request whose head is known, without the parser: it stands between two messages as before."""
        edge = self.edge
        self.since = edge.now
        self.refusing = False
        tid = transaction_id(head.tid) if head.tid else ids.transaction()
        exchange = Exchange(head, edge.route, body, head.length, tid, monotonic(), self, True, True, True)
        self.cycle = self.running = exchange  # type: ignore[assignment]
        edge.route.handle(exchange)

    def _parse(self, data: bytes) -> None:
        while data and not self.deaf:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self.give_up(400, NO_HTTP)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade(data[upgrade.args[0] :])
                continue
            if self.in_head or self.in_trailer:
                self.head_size += len(data)
                if self.head_size > self.edge.max_head:
                    self.give_up(431, HEAD_TOO_LARGE)
            return

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Whether an answer follows. Comes again when reading resumes; TLS ends both ways at once."""
        if self.scheme == "https" or not self._drop_half():
            return None
        last: Any = self.pipeline[0][0] if self.pipeline else self.running
        last.keep_alive = False
        return True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.edge.holdings.caught_up(self)
        self._pump()

    def shutdown(self) -> None:
        """Close, once what has begun to arrive is answered; it has some seconds left to arrive whole."""
        self.draining = True
        self.since = self.edge.now
        if self.cycle is not None:
            self.last = self.cycle if self.cycle.keep_alive else None
            self.cycle.keep_alive = False
        if (self.deaf or not self.receiving) and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def lock(self) -> None:
        """Close, once what runs is answered; start nothing any more."""
        self.shutdown()
        self.pipeline.clear()
        if self.running is not None:
            self.running.keep_alive = False
        if self.receiving:
            self.give_up(503, texts.STOPPING)

    # --- the parser's side

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self.receiving = self.in_head = True
        self.in_trailer = False
        self.head_size = self.body_size = 0
        self.since = self.edge.now
        self.refusing = self.draining

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # else it is a trailer, which must not change what the head said
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        method = parser.get_method()
        if parser.should_upgrade() and method != b"CONNECT":
            return  # comes again (`_without_upgrade`)
        self.in_head = False
        if self.deaf or self.transport.is_closing():
            return
        url, edge, headers = self.url, self.edge, dict(self.headers)
        target = edge.target(url) if method == b"POST" else None
        announced = int(headers.get(b"content-length", 0))
        if self.refusing:
            self._turn_away(headers)
        elif len(url) > edge.max_url:
            self._refuse_request(headers, 414, URI_TOO_LONG)
        elif announced > edge.max_body:
            self._refuse_request(headers, 413, texts.request_too_large(announced, edge.max_body))
        elif announced > SMALL and not edge.holdings.fits(self, announced):
            self._refuse_request(headers, 503, texts.BODIES_FULL)
        elif target is None:
            self._to_app()
        else:
            keep_alive = parser.should_keep_alive() and not self.draining and parser.get_http_version() != "1.0"
            head = edge.head(target, headers, announced)
            again = keep_alive and announced <= SMALL and b"expect" not in headers
            self.fresh = head if again else None
            self._enqueue(Exchange(head, edge.route, b"", 0, "", 0.0, self, keep_alive))

    def on_chunk_header(self) -> None:
        self.in_trailer = True
        self.head_size = 0

    def on_body(self, body: bytes) -> None:
        self.in_trailer = False
        cycle: Any = self.cycle
        if self.deaf or self.transport.is_closing():
            return
        if type(cycle) is Exchange:
            cycle.take(body)
            if SMALL < cycle.size <= self.edge.route.payload_limit:
                self._hold(body)
            return
        self.body_size += len(body)
        if self.body_size > self.edge.max_body:
            self.give_up(413, texts.request_too_large(self.body_size, self.edge.max_body))
        else:
            super().on_body(body)
            if self.body_size > SMALL:
                self._hold(body)

    def on_message_complete(self) -> None:
        if self.in_head:
            return
        self.receiving = self.in_trailer = False
        cycle: Any = self.cycle
        if self.deaf or self.transport.is_closing():
            if self.idle() and not self.pipeline:
                self.transport.close()
            return
        if type(cycle) is Exchange:
            cycle.complete = True
            if cycle.started:
                cycle.submit()
        else:
            super().on_message_complete()

    # --- requests in their order

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        if type(cycle) is Exchange:
            cycle.begin()
        else:
            super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self.since = self.edge.now
        if self.held:
            self.edge.holdings.release(self)
        if self.flow.write_paused:
            self.edge.holdings.fell_behind(self)
        if self.pipeline or self.flow.read_paused:
            self._pump()

    def end(self) -> None:
        """No answer follows. Close; where the client is still sending, once it stops."""
        if not self.receiving or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.deaf = True
        self.pipeline.clear()
        self.flow.resume_reading()
        self.transport.write_eof()

    def _drop_half(self) -> bool:
        """Forget the request whose rest does not come; whether anything is left to be answered."""
        half: Any = self.cycle if self.receiving and not self.in_head and not self.deaf else None
        self.receiving = self.in_head = False
        if half is not None and not (type(half) is Exchange and half.refused):
            if half is self.running:
                return False
            self.pipeline.popleft()
        return bool(self.pipeline) or not self.idle()

    def idle(self) -> bool:
        """Whether nothing runs."""
        return self.running is None or self.running.response_complete

    def _enqueue(self, exchange: Exchange) -> None:
        self.cycle = exchange  # type: ignore[assignment]
        if self.idle() and not self.pipeline and not self.flow.write_paused:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]

    def _pump(self) -> None:
        """Start what waits, until one is not answered at once. A loop: a recursion would be as deep as the queue."""
        if self.pumping or self.transport.is_closing():
            return
        self.pumping = True
        try:
            while self.pipeline and self.idle() and not self.flow.write_paused and not self.transport.is_closing():
                self._start_asgi_task(*self.pipeline.pop())
        finally:
            self.pumping = False
        if not self.pipeline and not self.flow.write_paused:
            self.flow.resume_reading()

    def _to_app(self) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()  # makes the scope, and resets what was read
        self.url, self.headers = url, headers
        self.expect_100_continue = any(name == b"expect" and value.lower() == EXPECTED for name, value in headers)
        self.scope["headers"] = headers
        cast("dict[str, Any]", self.scope)[INSIDE] = not self.outside
        try:
            super().on_headers_complete()
        except httptools.HttpParserInvalidURLError:
            self._refuse_request(dict(headers), 400, NO_HTTP)
            return
        if self.draining or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The head again, without the wish for another protocol, and what came behind it: the parser stops at such a
        wish and leaves the body unread, though HTTP allows to answer as if there were none (Java's client asks for
        HTTP/2 so, with its first request). After CONNECT there is no HTTP any more."""
        parser = self.parser
        if parser.get_method() == b"CONNECT":
            self.deaf = True
            return b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        first = b"%b %b HTTP/%b\r\n" % (parser.get_method(), self.url, parser.get_http_version().encode())
        kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join([first, *kept, b"\r\n", rest])

    def _hold(self, body: bytes) -> None:
        if not self.edge.holdings.hold(self, len(body)):
            self.give_up(503, texts.BODIES_FULL)

    def _turn_away(self, headers: dict[bytes, bytes]) -> None:
        """The shutdown began before this request. The answer to the one before it does not close, if there is time."""
        before: Any = self.cycle
        if before is not None and before is self.last:
            told = before.response_complete if type(before) is Exchange else before.response_started
            before.keep_alive = not told
        self._refuse_request(headers, 503, texts.STOPPING)

    def _refuse_request(self, headers: dict[bytes, bytes], status: int, text: str) -> None:
        """Answer the request whose head has arrived, in its turn, and none after it."""
        edge = self.edge
        exchange = Exchange(edge.head(NOWHERE, headers, 0), edge.route, b"", 0, "", 0.0, self, False)
        exchange.refuse(status, text)
        self._enqueue(exchange)
        self.deaf = True

    def give_up(self, status: int, text: str) -> None:
        """The rest of the input is of no use. What arrived whole is answered before this refusal."""
        if self.deaf or self.transport.is_closing():
            return
        self.deaf = True
        half: Any = self.cycle if self.receiving and not self.in_head else None
        if type(half) is Exchange:
            half.refuse(status, text)
            return
        if half is not None and half is self.running:
            if half.response_started:
                self.transport.close()
                return
            half.response_complete = half.disconnected = True  # the app is told that its client is gone
            half.message_event.set()
        elif half is not None:
            self.pipeline.popleft()
        self._refuse_request({}, status, text)
