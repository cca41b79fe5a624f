"""Containers without isolation and without code, for tests: each is a small HTTP server on a unix socket in this
process, and a script says what it answers.

The script is asked once per request: `(path, body) -> Reply`. A reply may wait for an event, come in pieces, end in the
middle, or be any bytes at all, so a client meets everything that a runtime can do to it on a real socket. What the
platform did to a container is in its `story`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from upcall.containers.loss import Mortal
from upcall.errors import StartFailed
from upcall.model.names import Json
from upcall.ports import Address, ContainerSpec, Lines


class Reply(msgspec.Struct, kw_only=True):
    """What a fake runtime answers. `raw` replaces all of the rest but `after` and `close`."""

    status: int = 200
    body: bytes = b"{}"
    raw: bytes | None = None
    after: asyncio.Event | None = None
    """Answer when it is set; None: at once."""
    chunked: bool = False
    close: bool = False
    """Close the connection afterwards, without having said so."""


Script = Callable[[str, Json], Reply]

CRASH = Reply(raw=b"", close=True)
"""The connection ends without an answer."""


def echo(path: str, body: Json) -> Reply:
    """A well-behaved action that returns its arguments."""
    return Reply(body=msgspec.json.encode(body["value"])) if path == "/run" else Reply(body=b'{"ok":true}')


class FakeContainers:
    """Implements `upcall.ports.Containers`."""

    def __init__(self, script: Script = echo, kinds: Sequence[str] = ("python:3", "nodejs:20")) -> None:
        self.script = script
        self.kinds = kinds
        self.foreign = False
        """Of those made from now on."""
        self.failure: Exception | None = None
        """Raised by `create` while set."""
        self.made: list[FakeContainer] = []
        self.started = self.closed = False
        self._numbers = count()
        self._folder = TemporaryDirectory(prefix="upcall-fake-")
        self.trouble: str | None = None
        """Why none can be made just now; `create` does not wait for its end."""

    async def start(self) -> None:
        self.started = True

    async def create(self, spec: ContainerSpec) -> "FakeContainer":
        if self.failure is not None:
            raise self.failure
        container = FakeContainer(self, spec, Path(self._folder.name) / f"{next(self._numbers)}")
        await container.open()
        self.made.append(container)
        return container

    async def close(self) -> None:
        for container in self.made:
            await container.destroy()
        await asyncio.sleep(0)
        self.closed = True
        self._folder.cleanup()


class FakeContainer(Mortal):
    """Implements `upcall.ports.Container`."""

    def __init__(self, driver: FakeContainers, spec: ContainerSpec, path: Path) -> None:
        self.foreign = driver.foreign
        self.id = path.name
        self.address = Address(path=str(path))
        self.spec = spec
        self.tenant = spec.tenant
        self.story: list[str] = []
        """What was done to it: `claim`, `/init`, `/run`, `pause`, `resume`, `destroy`."""
        self.bodies: list[Json] = []
        self.lines = Lines([])
        """What `collect` finds."""
        self.hold_logs = False
        """Keeps `collect` waiting; `release_logs` lets go."""
        self.out_of_memory = False
        self.told_after = 0.0
        """Seconds until `exhausted` says so."""
        self.memory: int | None = 40 << 20
        """Bytes in use."""
        self.stuck: str | None = None
        """Name of the operation that fails: `claim`, `pause`, `resume` or `destroy`."""
        self.collected: list[tuple[int, bool]] = []
        self._held: list[Callable[[Lines], None]] = []
        self._driver = driver
        self._listening: socket.socket | None = None
        self.connected = 0
        """How many connections it has been given so far."""
        self._connections: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        listening = self._listening = socket.socket(socket.AF_UNIX)
        listening.setblocking(False)
        listening.bind(self.address.path)
        listening.listen(64)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def claim(self, tenant: str, concurrency: int = 1) -> None:
        self._note("claim")
        self.tenant = tenant

    async def pause(self) -> None:
        self._note("pause")

    async def resume(self) -> None:
        self._note("resume")

    async def destroy(self) -> None:
        self._unwatch()
        if "destroy" not in self.story:
            self._note("destroy")
        await self.refuse()

    async def refuse(self) -> None:
        """Take no connections any more and end those that there are."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        Path(self.address.path).unlink(missing_ok=True)  # noqa: ASYNC240 - in a folder of memory

    async def die(self) -> None:
        """As a crash does."""
        await self.refuse()
        self.died()

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        self.collected.append((limit, complete))
        if self.hold_logs:
            self._held.append(done)
        else:
            done(self.lines)

    def release_logs(self) -> None:
        held, self._held = self._held, []
        for done in held:
            done(self.lines)

    def exhausted(self, done: Callable[[bool], None]) -> None:
        if self.told_after:
            asyncio.get_running_loop().call_later(self.told_after, lambda: done(self.out_of_memory))
        else:
            done(self.out_of_memory)

    def memory_used(self) -> int | None:
        return self.memory

    def _note(self, what: str) -> None:
        self.story.append(what)
        if self.stuck == what:
            raise StartFailed(f"{what} fails", developer=False)

    def _accept(self, listening: socket.socket) -> None:
        """By hand: an asyncio server that is closed while it accepts leaks the connection (CPython 3.11)."""
        with contextlib.suppress(BlockingIOError):
            connection, _ = listening.accept()
            connection.setblocking(False)
            self._connections.add(connection)
            self.connected += 1
            self._begin(self._serve(connection))

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()
            self._connections.discard(connection)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        length = next(
            int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")
        )
        body = msgspec.json.decode(await reader.readexactly(length))
        self.story.append(path)
        self.bodies.append(body)
        reply = self._driver.script(path, body)
        if reply.after is not None:
            await reply.after.wait()
        writer.write(encoded(reply))
        await writer.drain()
        return not reply.close


def encoded(reply: Reply) -> bytes:
    """The reply as bytes on the wire."""
    if reply.raw is not None:
        return reply.raw
    head = f"HTTP/1.1 {reply.status} X\r\nContent-Type: application/json\r\n".encode()
    if not reply.chunked:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(reply.body), reply.body)
    half = len(reply.body) // 2
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (reply.body[:half], reply.body[half:]) if p)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
