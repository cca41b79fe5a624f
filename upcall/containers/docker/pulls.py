"""Fetching images: what several ask for at a time with the same credentials is fetched once.

Each who waits may give up without harm to the others; when the last one does, so does the fetch. What takes longer than
a moment, or brings something, is told in the log.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import aiohttp
import msgspec
from aiodocker import Docker, DockerError

from upcall.containers.docker.credentials import Source, encoded
from upcall.containers.docker.engine import Engine, EngineError
from upcall.errors import UpcallError
from upcall.model.images import Image
from upcall.model.sizes import MB

log = logging.getLogger(__name__)

QUIET = 2.0
"""Seconds after which a fetch is told while it goes on."""
_REASON, _MISSING = 400, 404
_REFUSED = ("denied", "unauthorized", "authentication required", "no basic auth credentials", "forbidden")
"""What registries say, and engines of them, where credentials do not suffice."""


class PullFailed(UpcallError):
    """An image was not fetched. `denied`: its registry does not give it to these credentials; `missing`: has none."""

    def __init__(self, reason: str, denied: bool = False, missing: bool = False) -> None:
        super().__init__(reason)
        self.denied = denied
        self.missing = missing


class Detail(msgspec.Struct, frozen=True):
    """Bytes."""

    total: int = 0


class Step(msgspec.Struct, frozen=True):
    """One line of what the engine says while it fetches; `id` is a layer's."""

    status: str = ""
    id: str = ""
    detail: Detail | None = msgspec.field(name="progressDetail", default=None)
    error: str = ""


class Flight(msgspec.Struct, eq=False):
    """One fetch, and how many wait for it."""

    task: asyncio.Task[None]
    waiting: int = 0


class Pulls:
    """By one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flights: dict[tuple[str, str], Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def fetch(self, image: Image, source: Source) -> None:
        """Return when the engine has what the registry has by this name. Raises PullFailed, EngineAway."""
        key = (image.full, source.owner)
        flight = self._flights.get(key) or self._start(key, image, source)
        flight.waiting += 1
        try:
            await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                self._landed(key, flight)
                flight.task.cancel()

    async def close(self) -> None:
        """Give up whatever is being fetched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, key: tuple[str, str], image: Image, source: Source) -> Flight:
        task = asyncio.get_running_loop().create_task(self._pull(image, source))
        flight = self._flights[key] = Flight(task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda task: self._landed(key, flight))
        return flight

    def _landed(self, key: tuple[str, str], flight: Flight) -> None:
        """Who asks now, asks anew."""
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _pull(self, image: Image, source: Source) -> None:
        progress = Progress(str(image))
        try:
            auth = await source.auth()
            headers = {"X-Registry-Auth": encoded(auth)} if auth else {}
            async with self._engine.asked(self._engine.timeouts.pull, "pull") as docker:
                if image.digest:
                    await _ask(docker, image, headers)
                await _fetch(docker, image, headers, progress.heard)
        except EngineError as error:
            why = str(error)[:_REASON]
            log.warning("the image %s was not fetched: %s", image, why)
            raise PullFailed(why, is_denied(error.reply, why), error.reply == _MISSING) from error
        finally:
            progress.close()
        progress.told()


async def _ask(docker: Docker, image: Image, headers: dict[str, str]) -> None:
    """Have the registry itself say that these credentials may have the image: of a digest that is here already the
    engine asks nobody. Raises DockerError."""
    async with docker.session.get(_url(docker, f"distribution/{image.full}/json"), headers=headers) as answer:
        await _check(answer)


async def _fetch(docker: Docker, image: Image, headers: dict[str, str], heard: Callable[[Step], None]) -> None:
    """Not by aiodocker's own call: that leaves the request open where it is given up. Raises DockerError."""
    url, query = _url(docker, "images/create"), {"fromImage": image.full}
    async with docker.session.post(url, params=query, headers=headers) as answer:
        await _check(answer)
        async for line in answer.content:
            step = msgspec.json.decode(line, type=Step)
            if step.error:
                raise DockerError(0, step.error)
            heard(step)


async def get(docker: Docker, path: str, most: int) -> bytes:
    """What the engine says, read until it is more than so many bytes. Raises DockerError."""
    async with docker.session.get(_url(docker, path)) as answer:
        await _check(answer)
        data = bytearray()
        async for chunk in answer.content.iter_any():
            data += chunk
            if len(data) > most:
                break
        return bytes(data)


def _url(docker: Docker, path: str) -> str:
    return f"{docker.docker_host}/{docker.api_version}/{path}"


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status != 200:
        body = await answer.read()
        try:
            message = msgspec.json.decode(body, type=dict[str, str])["message"]
        except (msgspec.MsgspecError, KeyError):
            message = body.decode(errors="replace")
        raise DockerError(answer.status, message)


class Progress:
    """Of one fetch, for the log."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._began = time.monotonic()
        self._layers: dict[str, int] = {}
        self._timer = asyncio.get_running_loop().call_later(QUIET, log.info, "the image %s is being fetched", image)

    def heard(self, step: Step) -> None:
        """Sizes come with the layers that are downloaded."""
        if step.status == "Downloading":
            self._layers[step.id] = max(0, step.detail.total) if step.detail else 0

    def close(self) -> None:
        self._timer.cancel()

    def told(self) -> None:
        """It is there."""
        seconds = time.monotonic() - self._began
        if self._layers or seconds > QUIET:
            size = sum(self._layers.values()) / MB
            log.info("the image %s was fetched in %.1f s, %.1f MB", self._image, seconds, size)


def is_denied(status: int, message: str) -> bool:
    """Whether a registry's refusal is one of the credentials; some hide what one may not have as missing, and say so
    in the same breath."""
    return status in (401, 403) or any(word in message.lower() for word in _REFUSED)
