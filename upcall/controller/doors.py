"""Further listening sockets of the API that come and go: one inside each tenant's network (docs/DESIGN.md D15).

Requests from there are what they are from outside: the same app and protocol, the same credentials, never TLS, which
inside the kernel would protect nothing. A door may be opened before the server runs; its clients wait till then. What
one tenant can hold of the platform is bounded: so many connections, of which a turn of the loop accepts a few.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from upcall.accepting import Accepting
from upcall.controller.edge import EdgeProtocol

CONNECTIONS = 128
"""Through a tenant's door; the next ones wait in the kernel's queue, which is as long."""
SHARED = 1024
"""Through the door of a network that tenants share, where the rules bound what each container has."""


class Visitor(EdgeProtocol):
    """A connection through a door."""

    outside = False

    def __init__(self, *args: Any, door: "Door", **members: Any) -> None:
        super().__init__(*args, **members)
        self.door = door

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.door.entered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.door.left(self)


Admit = Callable[["Door"], Visitor]
"""Makes a connection's protocol."""


class Door:
    """One listening socket."""

    def __init__(self, listener: socket.socket, bound: int) -> None:
        self._listener = listener
        self._bound = bound
        self._accepting: Accepting | None = None
        self._visitors: set[Visitor] = set()
        self._entering: set[asyncio.Task[None]] = set()
        self._gone = False

    def serve(self, admit: Admit) -> None:
        self._accepting = Accepting(self._listener, self._bound, partial(self._accepted, admit))

    def lock(self) -> None:
        """Accept no more."""
        if self._accepting is not None:
            self._accepting.close()
        self._listener.close()

    def close(self) -> None:
        """The tenant's network goes: nobody is left at the other ends."""
        self._gone = True
        self.lock()
        for visitor in list(self._visitors):
            visitor.transport.abort()

    def entered(self, visitor: Visitor) -> None:
        self._visitors.add(visitor)
        if self._gone:
            visitor.transport.abort()

    def left(self, visitor: Visitor) -> None:
        self._visitors.discard(visitor)
        self._ended()

    def _accepted(self, admit: Admit, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._enter(admit, connection))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, admit: Admit, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(partial(admit, self), connection)
        except OSError:
            connection.close()
            self._ended()

    def _ended(self) -> None:
        assert self._accepting is not None
        self._accepting.ended()


class Doors:
    """All of them; `open` and `serve` come in any order. After `close` none opens any more."""

    def __init__(self) -> None:
        self._doors: set[Door] = set()
        self._admit: Admit | None = None
        self._closed = False

    def open(self, listener: socket.socket, bound: int | None = None) -> Callable[[], None]:
        """Serve this socket, too; gives what closes it and the connections that came through it."""
        door = Door(listener, bound or CONNECTIONS)
        if self._closed:
            door.lock()
        else:
            self._doors.add(door)
            if self._admit is not None:
                door.serve(self._admit)

        def close() -> None:
            self._doors.discard(door)
            door.close()

        return close

    def open_shared(self, listener: socket.socket) -> Callable[[], None]:
        """The same for a socket in a network that tenants share."""
        return self.open(listener, SHARED)

    def serve(self, admit: Admit) -> None:
        """The server runs."""
        self._admit = admit
        for door in self._doors:
            door.serve(admit)

    def close(self) -> None:
        """Take no more connections; what is open is the server's to end."""
        self._closed = True
        for door in self._doors:
            door.lock()
