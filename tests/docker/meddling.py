"""A bad engine: what stands between the driver and the tests' engine, and spoils answers of one kind."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

Fault = Literal["cut", "cut after", "half", "late", "refusal", "gateway", "noise", "empty", "other", "behind"]
"""
| fault     | the engine                                                                          |
|-----------|-------------------------------------------------------------------------------------|
| cut       | hears nothing; the connection ends                                                  |
| cut after | does it; no answer comes                                                            |
| half      | does it; the answer ends in its middle                                              |
| late      | does it some time later                                                             |
| refusal   | says 500                                                                            |
| gateway   | hears nothing; somebody before it says 502, in HTML                                 |
| noise     | does it, and says what is no HTTP                                                   |
| empty     | does it, and says 200 with nothing                                                  |
| other     | does it, and says 200 with JSON of another shape                                    |
| behind    | hears nothing; says that it is paused already (409), or not paused (500)            |
"""
FAULTS: tuple[Fault, ...] = (
    "cut",
    "cut after",
    "half",
    "late",
    "refusal",
    "gateway",
    "noise",
    "empty",
    "other",
)
CALLS = {
    "version": r"GET (/v[\d.]+)?/version",
    "ping": r"GET /_ping",
    "inspect an image": r"GET .*/images/.*/json",
    "network": r"GET .*/networks/",
    "create": r"POST .*/containers/create",
    "start": r"POST .*/containers/[0-9a-f]+/start",
    "inspect": r"GET .*/containers/[^/]+/json(?!\?)",
    "list": r"GET .*/containers/json",
    "remove": r"DELETE .*/containers/",
    "attach": r"POST .*/attach",
    "events": r"GET .*/events",
    "pause": r"POST .*/pause",
    "unpause": r"POST .*/unpause",
    "pull": r"POST .*/images/create",
}
"""Requests, by what they are for."""
_LATE = 0.5
_BODIES: dict[Fault, bytes] = {"empty": b"", "other": b'{"message": 7}'}
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Meddler:
    """Passes on whatever comes, but for the next `left` requests of the kind that is to be spoilt."""

    def __init__(self, engine: Path) -> None:
        self._engine = engine
        self._call = re.compile("$^")
        self._fault: Fault = "cut"
        self.left = 0
        self.spoilt = 0
        self.meanwhile: Callable[[str], None] = lambda path: None
        """Called in a thread with the path of what is spoilt, before the fault."""
        self._tasks: set[asyncio.Task[None]] = set()

    def spoil(self, call: str, fault: Fault, times: int = 1) -> None:
        self._call, self._fault, self.left = re.compile(CALLS[call]), fault, times
        self.spoilt = 0

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the driver's."""
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(str(self._engine))
        answers = asyncio.get_running_loop().create_task(_pass(behind[0], writer))
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._pass_request((reader, writer), behind, answers):
                    pass
        finally:
            answers.cancel()
            behind[1].close()
            writer.close()
            await asyncio.gather(answers, return_exceptions=True)

    async def _pass_request(self, front: _Streams, behind: _Streams, answers: "asyncio.Task[None]") -> bool:
        """Whether more may come."""
        head = await front[0].readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        request = head + (await front[0].readexactly(int(found[1])) if found else b"")
        if self.left and self._call.match(head.decode(errors="replace")):
            self.left -= 1
            self.spoilt += 1
            await asyncio.to_thread(self.meanwhile, head.split(b" ")[1].decode())
            return await self._spoil(self._fault, request, front, behind, answers)
        behind[1].write(request)
        if b"upgrade: tcp" in head.lower():
            await _pass(front[0], behind[1])
            return False
        return True

    async def _spoil(
        self, fault: Fault, request: bytes, front: _Streams, behind: _Streams, answers: "asyncio.Task[None]"
    ) -> bool:
        if fault == "late":
            await asyncio.sleep(_LATE)
            behind[1].write(request)
            return True
        if fault == "behind":
            front[1].write(_refused(fault, b"/unpause " in request))
            return True
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        if fault not in ("cut", "refusal", "gateway"):
            behind[1].write(request)
            answer = await behind[0].read(1 << 16)
            front[1].write(_spoilt(fault, answer))
        elif fault != "cut":
            front[1].write(_refused(fault))
        await front[1].drain()
        return False


def _spoilt(fault: Fault, answer: bytes) -> bytes:
    match fault:
        case "half":
            return answer[: len(answer) // 2]
        case "noise":
            return b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n"
        case "cut after":
            return b""
    body = _BODIES[fault]
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _refused(fault: Fault, runs: bool = False) -> bytes:
    status, kind, body = {
        "refusal": (b"500 Internal Server Error", b"application/json", b'{"message": "out of sorts"}'),
        "gateway": (b"502 Bad Gateway", b"text/html; charset=utf-8", b"<h1>\xff</h1>"),
        "behind": (
            b"500 Internal Server Error" if runs else b"409 Conflict",
            b"application/json",
            b'{"message": "Container x is %s paused"}' % (b"not" if runs else b"already"),
        ),
    }[fault]
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def meddling(engine: Path, socket: Path) -> AsyncIterator[Meddler]:
    """At `socket`."""
    meddler = Meddler(engine)
    server = await asyncio.start_unix_server(meddler.serve, str(socket))
    try:
        yield meddler
    finally:
        server.close()
        await meddler.close()
