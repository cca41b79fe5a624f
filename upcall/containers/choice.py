"""Two drivers as one (`--driver auto`): what a sandbox of this host runs is run by one, everything else in Docker's
containers.

Both kinds of containers live in one pool. While Docker's engine is away only what needs it waits: the sandboxes go on,
so it is no trouble of the whole, and is told among the facts. Where there was no engine at the start, there is none.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from upcall.containers import images
from upcall.model.entities import BLACKBOX
from upcall.model.names import Json
from upcall.ports import Container, Containers, ContainerSpec


class Driver(Containers, Protocol):
    """What a platform runs on."""

    def facts(self) -> Mapping[str, Json]:
        """How actions are kept apart, in words."""


class Choice:
    """Implements `Driver`. `process` has been started, as what it runs had to be known; `own` are the kinds that it is
    to run, besides native executables."""

    def __init__(self, process: Driver, docker: Driver | None, own: Collection[str], kinds: Sequence[str]) -> None:
        self._process = process
        self._docker = docker
        self._own = own
        self.kinds = kinds

    @property
    def trouble(self) -> str | None:
        """Of all that there are."""
        troubles = [driver.trouble for driver in self._drivers]
        return " ".join(filter(None, troubles)) if all(troubles) else None

    async def start(self) -> None:
        """Raises Misconfigured."""
        if self._docker is not None:
            await self._docker.start()

    async def create(self, spec: ContainerSpec) -> Container:
        return await self._of(spec).create(spec)

    async def close(self) -> None:
        """Both, whatever one of them raises."""
        ended = await asyncio.gather(*(driver.close() for driver in self._drivers), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    def facts(self) -> dict[str, Json]:
        """The sandboxes', and apart from them Docker's."""
        docker = {**self._docker.facts(), "trouble": self._docker.trouble} if self._docker else None
        return {**self._process.facts(), "driver": "auto", "docker": docker}

    def _of(self, spec: ContainerSpec) -> Driver:
        own = images.is_native(spec) if spec.kind == BLACKBOX else spec.kind in self._own
        return self._process if own or self._docker is None else self._docker

    @property
    def _drivers(self) -> list[Driver]:
        return [self._process, *([self._docker] if self._docker else [])]
