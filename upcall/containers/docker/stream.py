"""A container's output by the engine's stream: the way for images without a shell, and for engines that do not see
this host's files.

It is opened before the container starts, so nothing is lost. What is not read makes the engine wait, and the container
behind it, so everything is read as it comes, in small portions like the pipes of others (`upcall.logs.pipes`).

Where the stream breaks and the container lives (an engine that restarts and leaves its containers running), the
engine's log is followed from its beginning, and what was read before is skipped (`replay`). A log
driver that cannot be read leaves the stream, and what was printed meanwhile is lost.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable

import aiohttp
from aiodocker import DockerError
from aiodocker.docker import Docker
from aiodocker.stream import Message
from aiodocker.stream import Stream as Frames
from yarl import URL

from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.inspection import inspect
from upcall.containers.docker.replay import Replay, Seen
from upcall.logs.collection import QUIET
from upcall.logs.pipes import TURN, Sink, cost, portions
from upcall.logs.streams import STREAMS, Stream

log = logging.getLogger(__name__)

_HEAD = struct.Struct(">BxxxL")
"""Number of the stream, and length."""
_NUMBERS: dict[int, Stream] = {1: "stdout", 2: "stderr"}
_SETTLING = 0.05
"""Seconds that the engine may be behind with it."""
_AGAIN = 0.2
"""Seconds before each attempt to open it anew."""


class Followed:
    """The engine's log as frames, like those of aiodocker's stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read_out(self) -> Message | None:
        try:
            number, length = _HEAD.unpack(await self._response.content.readexactly(_HEAD.size))
            return Message(number, await self._response.content.readexactly(length))
        except asyncio.IncompleteReadError:
            return None

    async def close(self) -> None:
        self._response.close()


class Attached:
    """The stream of one container into a sink. `ended` is called when no more will come. Whoever has had his share of
    a turn of the loop waits for `turn`, so that many floods cost as much as one."""

    def __init__(self, engine: Engine, sink: Sink, ended: Callable[[], None], turn: asyncio.Lock) -> None:
        self._engine = engine
        self._sink = sink
        self._ended = ended
        self._turn = turn
        self._spent = 0
        self._seen: dict[Stream, Seen] = {name: Seen() for name in STREAMS}
        self._frames: Frames | Followed | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, id: str) -> None:
        """Before the container starts. Raises EngineAway, EngineError."""
        self._frames = await self._attached(id)
        self._task = asyncio.get_running_loop().create_task(self._read(id))

    def settling(self) -> float:
        """After so many seconds of silence all has been read that was printed before; longer while it is broken."""
        return _SETTLING if self._frames is not None else QUIET

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._shut()

    async def _attached(self, id: str) -> Frames:
        async with self._engine.asked(self._engine.timeouts.run) as docker:
            frames = attach(docker, id)
            try:
                return await frames.__aenter__()
            except BaseException:
                await _close(frames)
                raise

    async def _followed(self, id: str) -> Followed:
        async with self._engine.asked(self._engine.timeouts.run) as docker:
            return await follow(docker, id)

    async def _shut(self) -> None:
        frames, self._frames = self._frames, None
        if frames is not None:
            await _close(frames)

    async def _read(self, id: str) -> None:
        try:
            await self._pass_on({})
            while await self._lives(id):
                with contextlib.suppress(EngineAway, EngineError):  # away once more, or paused
                    await self._again(id)
        except Exception:
            log.exception("the output of container %s is not read any more", id)
        finally:
            self._ended()

    async def _again(self, id: str) -> None:
        try:
            self._frames = await self._followed(id)
        except EngineError:
            self._frames = await self._attached(id)
            await self._pass_on({})
        else:
            replays = {name: Replay(seen) for name, seen in self._seen.items()}
            before, self._seen = self._seen, {name: Seen() for name in STREAMS}
            await self._pass_on(replays)
            self._seen = {name: (self._seen if replay.done else before)[name] for name, replay in replays.items()}

    async def _lives(self, id: str) -> bool:
        """Asked when the stream has ended, which the engine knows before it knows of the container's end; waits for the
        engine's return."""
        while True:
            await asyncio.sleep(_AGAIN)
            await self._engine.back()
            try:
                return bool((await inspect(self._engine, id))["State"]["Running"])
            except EngineError:
                return False
            except EngineAway:
                continue

    async def _pass_on(self, replays: dict[Stream, Replay]) -> None:
        """Until it ends or breaks."""
        assert self._frames is not None
        with contextlib.suppress(aiohttp.ClientError, DockerError, OSError):
            while (frame := await self._frames.read_out()) is not None:
                name = _NUMBERS.get(frame.stream)
                if name is not None:
                    self._seen[name].add(frame.data)
                    await self._feed(name, replays[name].new(frame.data) if replays else frame.data)
        await self._shut()

    async def _feed(self, name: Stream, data: bytes) -> None:
        for portion in portions(self._sink, data):
            self._sink.feed(name, portion)
            self._spent += cost(portion)
            if self._spent >= TURN:
                self._spent = 0
                async with self._turn:
                    await asyncio.sleep(0)


async def _close(frames: Frames | Followed) -> None:
    with contextlib.suppress(OSError, AssertionError):  # aiodocker asserts that it is still connected
        await frames.close()


def attach(docker: Docker, id: str) -> Frames:
    """Both streams of a container without a terminal; aiodocker's own way asks each time whether it has one."""

    async def setup() -> tuple[URL, bytes | None, bool]:
        return URL(f"containers/{id}/attach").with_query(stream="1", stdout="1", stderr="1"), None, False

    return Frames(docker, setup, None)


async def follow(docker: Docker, id: str) -> Followed:
    """What a container has printed and prints. Raises DockerError."""
    url = URL(f"{docker.docker_host}/{docker.api_version}/containers/{id}/logs")
    query = {"follow": "1", "stdout": "1", "stderr": "1"}
    response = await docker.session.get(url, params=query, timeout=aiohttp.ClientTimeout())
    if response.status != 200:
        async with response:
            raise DockerError(response.status, await response.text(errors="replace"))
    return Followed(response)
