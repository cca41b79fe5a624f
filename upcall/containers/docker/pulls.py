"""Fetching images: what several ask for at a time with the same credentials is fetched once.

Each who waits may give up without harm to the others; when the last one does, so does the fetch. What takes longer than
a moment, or brings something, is told in the log.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import msgspec
from aiodocker import Docker, DockerError

from upcall.containers.docker.credentials import Auth, Source, encoded
from upcall.containers.docker.engine import Engine, EngineError
from upcall.errors import UpcallError
from upcall.model.images import Image
from upcall.model.sizes import MB

log = logging.getLogger(__name__)

QUIET = 2.0
"""Seconds after which a fetch is told while it goes on."""
_REASON = 400
_REFUSED = ("denied", "unauthorized", "authentication required", "no basic auth credentials", "forbidden")
"""What registries say, and engines of them, where credentials do not suffice."""


class PullFailed(UpcallError):
    """An image was not fetched. `denied`: its registry does not give it to these credentials."""

    def __init__(self, reason: str, denied: bool) -> None:
        super().__init__(reason)
        self.denied = denied


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
            async with self._engine.asked(self._engine.timeouts.pull) as docker:
                if image.digest:
                    await _ask(docker, image, auth)
                said = docker.images.pull(image.full, auth=cast("dict[str, Any] | None", auth), stream=True)
                async with aclosing(cast(AsyncGenerator[dict[str, Any], None], said)) as steps:
                    async for step in steps:
                        progress.heard(step)
        except EngineError as error:
            why = str(error)[:_REASON]
            log.warning("the image %s was not fetched: %s", image, why)
            raise PullFailed(why, is_denied(error.reply, why)) from error
        finally:
            progress.close()
        progress.told()


async def _ask(docker: Docker, image: Image, auth: Auth | None) -> None:
    """Have the registry itself say that these credentials may have the image: of a digest that is here already the
    engine asks nobody. Raises DockerError."""
    url = f"{docker.docker_host}/{docker.api_version}/distribution/{image.full}/json"
    async with docker.session.get(url, headers={"X-Registry-Auth": encoded(auth)} if auth else None) as answer:
        if answer.status != 200:
            raise DockerError(answer.status, str((await answer.json()).get("message")))


class Progress:
    """Of one fetch, for the log."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._began = time.monotonic()
        self._layers: dict[str, int] = {}
        self._timer = asyncio.get_running_loop().call_later(QUIET, log.info, "the image %s is being fetched", image)

    def heard(self, step: Mapping[str, Any]) -> None:
        """One line of what the engine says; sizes come with the layers that it downloads."""
        if step.get("status") == "Downloading" and isinstance(layer := step.get("id"), str):
            total = (step.get("progressDetail") or {}).get("total")
            self._layers[layer] = total if isinstance(total, int) else 0

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
