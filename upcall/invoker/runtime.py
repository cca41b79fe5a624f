"""The client of one action container: POST /init and /run over keep-alive connections (D3; spec: container.md §2.5).

Each connection is an `asyncio.Protocol` with its own httptools parser, which is spared where the head of an answer has
come before (`heads.py`), and carries one request at a time (`call.py`); free ones stand in a stack. A warm request is
one `write` of head and body, one read, and a call of `done`: no task, no future, no timer (the deadline is an entry in
`Deadlines`). Only a new connection costs a task.

What may be retried, and what may not (D14): where no connection came about nothing has run, so /init tries again, soon
and then each 50 ms, until its time is up, and a refused /run says so (REFUSED). Whatever fails later is CLOSED: the
request may have run. A unix socket knows more: it says ECONNRESET where the peer closed with the request unread, whole
or in part, and EPIPE where it had closed before, so a runtime that was killed while it was idle or frozen counts as
REFUSED, too; and where the peer's end is read before the request has left us, nobody has got it. Over TCP the peer's
end acknowledges all that its host had by then: what was sent on a kept connection and is not acknowledged nobody has
got, and it is sent once more on a new one. From then on that server's connections are used once.
For the same reason a connection to a foreign image is not used again after a second of idleness: its server may be
closing it just now (node closes at 5 s). And such a server may serve one connection to its end before it looks at the
next: while a new connection waits for its first answer no other one is kept idle for long. One that writes the head
of its answer apart from the body waits in between until the head is acknowledged, which takes the kernel 40 ms on a
connection that goes back and forth: it is told to do so at once.

Odd corners. A deadline counts from the moment the request is written, as upstream's does: the time spent on reaching a
starting container is bounded by the same limit but not deducted. A body without Content-Length that is not chunked
ends with the connection and cannot be told from a crash: it counts as CLOSED, and so does an answer that can have no
body (204, 304), as upstream has it. Bytes behind a whole answer end the
connection, not the request. An endless answer (body, heads, tiny chunks) ends early: reading it until the deadline
would be the work of the loop for all that time. On the stock loop `max_size` keeps each read from mapping 256 KiB
(docs/DESIGN.md, rule 4).
"""

import asyncio
from typing import cast

import httptools

from upcall.core.outcome import ANSWERED, Ending
from upcall.deadlines import Deadlines, clock
from upcall.invoker.acknowledgements import hurry, missing
from upcall.invoker.call import Allowance, Call, Done
from upcall.invoker.heads import BLANK, known, learn
from upcall.ports import Address

SOON, RETRY = 0.002, 0.05
"""seconds between two tries to reach a container that starts: at first, and at most"""
_GROWTH = 1.1
"""of that, each time: a server that has come up is found after a tenth of the time that it took at the latest, and
what is tried in vain meanwhile, some 30 µs each, is a millisecond's work"""
IDLE = 1.0
"""seconds after which a connection to a foreign image is not used again"""
_STEP_ASIDE = 0.1
"""seconds for which it is kept idle while a new one has no answer yet"""
_READ = 16384
_OVERHEAD = 1 << 20
"""bytes of heads and chunk marks that may come, and once more as many as the body has"""
_LARGE = 256 * 1024
"""bytes of a body that is not copied behind its head: with 40 MB of code the loop would stand still for 15 ms"""
_NOTHING = (b"", b"")
_UNREAD = (ConnectionResetError, BrokenPipeError)
_BODILESS = (204, 304)
_HEAD = (
    b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: "
)


class Runtime:
    """All connections to one container."""

    __slots__ = (
        "_address",
        "_calls",
        "_dead",
        "_heads",
        "_keeps",
        "_loop",
        "_newcomers",
        "_time",
        "deadlines",
        "free",
        "is_foreign",
        "is_local",
        "retries",
    )

    def __init__(self, address: Address, deadlines: Deadlines, foreign: bool = False) -> None:
        self._address = address
        self.deadlines = deadlines
        self.is_local = bool(address.path)
        """Whether it is reached by a unix socket."""
        self.is_foreign = foreign
        self._keeps = True
        """Whether its server keeps connections that it does not say it will close."""
        self._dead = False
        self.free: list[_Connection] = []
        """Connections that rest; the last is taken first."""
        self._calls: set[Call] = set()
        self._newcomers: set[Call] = set()
        """Those that have made a connection."""
        host = f"[{address.host}]" if ":" in address.host else address.host
        name = f"{host}:{address.port}".encode() if host else b"runtime"
        self._heads = {path: _HEAD % (path, name) for path in (b"/init", b"/run")}
        self._loop = asyncio.get_running_loop()
        self._time = clock(self._loop)
        self.retries = 0
        """connections tried again, for the metric"""

    def post(self, path: bytes, body: bytes, allowance: Allowance, done: Done, retry: bool = False) -> None:
        """Send one request; `done` is called once. With `retry` a container that cannot be reached is waited for."""
        call = Call(self, done, allowance, self._time())
        self._calls.add(call)
        size, rest = len(body), b""
        if size > _LARGE:
            body, rest = rest, body
        data = b"%b%d\r\n\r\n%b" % (self._heads[path], size, body)
        free = self.free
        while free:
            connection = free.pop()
            if self.is_foreign:
                self.deadlines.drop(connection)
                if call.begun - connection.idle > IDLE:
                    connection.close()
            if not connection.closing:
                connection.send(call, data, rest)
                return
        self._newcomers.add(call)
        call.opening = self._loop.create_task(self._open(call, data, rest, retry))

    @property
    def has_newcomers(self) -> bool:
        """Whether a new connection waits for its first answer."""
        return bool(self._newcomers)

    def give_up(self) -> None:
        """The container is dead: nobody waits for it to come up any more. What it has answered before still counts."""
        self._dead = True
        for call in list(self._calls):
            if call.opening is not None:
                call.end(Ending.REFUSED)

    def close(self) -> None:
        """Close every connection; what is in flight ends as CLOSED."""
        for connection in self.free:
            self.deadlines.drop(connection)
            connection.close()
        self.free.clear()
        for call in list(self._calls):
            call.end(Ending.CLOSED)

    async def _open(self, call: Call, data: bytes, rest: bytes, retry: bool) -> None:
        pause = SOON
        while True:
            try:
                connection = await self._connect()
                break
            except OSError:
                if not retry or self._dead:
                    call.opening = None
                    call.end(Ending.REFUSED)
                    return
            self.retries += 1
            await asyncio.sleep(pause)
            pause = min(_GROWTH * pause, RETRY)
        call.opening = None
        call.begin(self._loop.time())
        connection.send(call, data, rest)

    async def _connect(self) -> "_Connection":
        address = self._address
        make = self._connection
        if address.path:
            return (await self._loop.create_unix_connection(make, address.path))[1]
        return (await self._loop.create_connection(make, address.host, address.port))[1]

    def _connection(self) -> "_Connection":
        return _Connection(self)

    # --- called by calls and connections

    def again(self, call: Call, data: bytes, rest: bytes) -> None:
        """A connection was closed before the request came there."""
        self._newcomers.add(call)
        call.opening = self._loop.create_task(self._open(call, data, rest, False))

    def finished(self, call: Call) -> float:
        """Forget the call; gives the time."""
        self.deadlines.drop(call)
        self._calls.discard(call)
        if self._newcomers:
            self._newcomers.discard(call)
        return self._time()

    def freed(self, connection: "_Connection", call: Call) -> None:
        """Of a foreign server, which may close it."""
        if not self._keeps:
            connection.close()
            return
        connection.idle = self._time()
        if self._newcomers - {call}:
            self.deadlines.set(connection, connection.idle + _STEP_ASIDE)
        self.free.append(connection)

    def closed(self, connection: "_Connection") -> None:
        """Its server has."""
        if self.is_foreign and self._loop.time() - connection.idle < _STEP_ASIDE:
            self._keeps = False
        self.lost(connection)

    def lost(self, connection: "_Connection") -> None:
        if connection in self.free:
            self.free.remove(connection)
            self.deadlines.drop(connection)


class _Connection(asyncio.Protocol):
    """One connection; `httptools` calls the `on_…` methods."""

    __slots__ = ("_call", "_parser", "_received", "_runtime", "_sent", "_status", "_transport", "closing", "idle")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._call: Call | None = None
        self._status = 0
        self._received = 0
        self._sent = _NOTHING
        self.closing = False
        self.idle = 0.0
        self._parser = httptools.HttpResponseParser(self)

    def send(self, call: Call, data: bytes, rest: bytes) -> None:
        self._call = call
        self._received = 0
        call.connection = self
        if not self._runtime.is_local:
            self._sent = (data, rest)
        self._transport.write(data)
        if rest:
            self._transport.write(rest)

    def close(self) -> None:
        self.closing = True
        self._transport.abort()

    def expire(self) -> None:
        """It has been idle for long enough, if it is still in somebody's way."""
        if self._runtime.has_newcomers:
            self._runtime.lost(self)
            self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is not None and not self._received:
            end = data.find(BLANK) + len(BLANK)
            if known.get(data[:end]) == len(data) - end:
                call.body, call.length = data[end:], len(data) - end
                self._answered(call, 200)
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.closing = True
        if self._status in _BODILESS:
            self._broken()
        elif self._status and self._call is not None:
            if self._status == 200 and not self.closing and not self._received:
                learn(data, self._call.length)
            self._answered(self._call, self._status)
        elif self.closing or self._call is None:
            self._broken()
        else:
            self._continued(self._call, len(data))

    def eof_received(self) -> None:
        """The peer has closed: from now on nothing is sent here, though the loop tells of the loss only in a turn."""
        self.closing = True
        self._runtime.closed(self)
        if self._call is not None and self._is_unheard and self._transport.get_write_buffer_size():
            self._broken(Ending.REFUSED)
        elif self._call is not None and self._is_reused and not self._received and missing(self._transport):
            call, self._call = self._call, None
            call.connection = None
            self.close()
            self._runtime.again(call, *self._sent)

    @property
    def _is_reused(self) -> bool:
        return bool(self.idle) and not self._runtime.is_local

    def connection_lost(self, exc: BaseException | None) -> None:
        unread = self._is_unheard and isinstance(exc, _UNREAD)
        self._broken(Ending.REFUSED if unread else Ending.CLOSED)

    @property
    def _is_unheard(self) -> bool:
        """Whether nothing has come back where that means something."""
        return self._runtime.is_local and not self._received

    def on_message_begin(self) -> None:
        self.closing = self.closing or self._status != 0

    def on_body(self, chunk: bytes) -> None:
        if self._call is not None and not self._status:
            self._call.add(chunk)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self._status:
            self._status = status
            self.closing = self.closing or not self._parser.should_keep_alive()

    def _continued(self, call: Call, size: int) -> None:
        """Part of an answer has come: ask for the rest, stop where it has no end in sight."""
        if not self._runtime.is_local:
            hurry(self._transport)
        self._received += size
        if call.excessive:
            self.closing = True
            self._answered(call, self._parser.get_status_code())
        elif self._received > _OVERHEAD + 2 * call.length:
            self._broken()

    def _answered(self, call: Call, status: int) -> None:
        self._call, self._status, self._sent = None, 0, _NOTHING
        runtime = self._runtime
        if self.closing:
            self.close()
        elif runtime.is_foreign:
            runtime.freed(self, call)
        else:
            runtime.free.append(self)
        call.connection = None
        call.end(ANSWERED, status)

    def _broken(self, ending: Ending = Ending.CLOSED) -> None:
        call, self._call = self._call, None
        self.close()
        self._runtime.lost(self)
        if call is not None:
            call.connection = None
            call.end(ending)
