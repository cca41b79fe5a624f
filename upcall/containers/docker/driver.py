"""The driver: containers of a Docker engine (`upcall.ports.Containers`).

Nothing here lies on the way of a warm activation: the engine is asked when a container is made, and when it goes.

An engine that is away makes no creation fail: it waits, and is done anew when the engine is back. A creation that
nobody waits for any more goes on by itself to where it is known what the engine has made, which is removed. Whatever
is missed all the same is found by its labels (`ownership`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from upcall.containers.docker import flags
from upcall.containers.docker.bridge import Bridge
from upcall.containers.docker.container import DockerContainer
from upcall.containers.docker.creation import Creation, Made, Stopped
from upcall.containers.docker.credentials import Credentials
from upcall.containers.docker.engine import OFTEN, Engine, EngineAway
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.images import Images
from upcall.containers.docker.labels import Labels, platform_of
from upcall.containers.docker.options import DockerOptions, nameless, settled
from upcall.containers.docker.output import Outputs
from upcall.containers.docker.ownership import Ownership
from upcall.containers.docker.removals import Removals
from upcall.containers.sandbox.interior import Serve
from upcall.containers.sandbox.ways import Reach
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.ports import ContainerSpec

log = logging.getLogger(__name__)
Done = TypeVar("Done")

PATIENCE = 30.0
"""Seconds for the removal of all containers at the end."""
_IN_VAIN = 3.0
"""The same while the engine is away: what is left goes at the next start."""
_LIMPING = 30.0
"""Seconds in which an engine that answers may yet be unable to make a container: its containerd may be starting."""


class DockerContainers:
    """`run` is a folder of its own, private and short of path. `labels` are what our containers are known by. `kinds`
    have an image. `serve_api` serves the API at the network's gateway; `reach` is what actions reach besides: None for
    a private network where that can be had."""

    def __init__(
        self,
        run: Path,
        options: DockerOptions,
        labels: Labels,
        *,
        kinds: Sequence[str],
        serve_api: Serve | None = None,
        reach: Reach | None = None,
    ) -> None:
        options = settled(nameless(options) if reach == "none" else options)
        self.kinds = kinds
        self.run = run
        self.labels = labels
        self.engine = Engine(options)
        self.freezer = Freezer()
        self.removals = Removals(self.engine)
        self.images = Images(self.engine, Credentials(options.registry_credentials))
        self.outputs = Outputs(run, self.engine, options.log_bound)
        self.ownership = Ownership(self.engine, labels, self.freezer, self.removals)
        owner = platform_of(labels.given())
        self.bridge = Bridge(self.engine, options, owner=owner, reach=reach, serve_api=serve_api)
        self._extra = flags.parse(options.extra_args)
        if flags.passes_on(self._extra) and self.outputs.mode == "fifo":
            self.outputs.mode = "stream"
        self._creation = Creation(
            self.engine,
            options,
            self._extra,
            labels,
            images=self.images,
            outputs=self.outputs,
            bridge=self.bridge,
            removals=self.removals,
            names=self.ownership.names,
            background=self._background,
        )
        self._macs: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    @property
    def trouble(self) -> str | None:
        """The engine's, or its network's."""
        return self.engine.trouble or self.bridge.trouble

    async def start(self) -> None:
        """Reach the engine, remove what an earlier life left, get ready. Raises Misconfigured with cause and fix."""
        try:
            await self.engine.start()
            await self.images.start()
            await self.outputs.start()
            await self.ownership.start()
            await self.bridge.start()
        except BaseException:
            await self.close()
            raise
        self.engine.returned = self._returned
        if had := flags.forging(self._extra):
            log.warning(
                "with %s (extra-args) an action's code can evade the rules about its packets", " and ".join(had)
            )

    async def create(self, spec: ContainerSpec) -> DockerContainer:
        """Raises StartFailed."""
        if self._closing:
            raise StartFailed("The driver is closing.")
        self.ownership.names.add(spec.name)
        making = asyncio.get_running_loop().create_task(self._create(spec))
        self._hold(making)
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self._background(self._unwanted(making))
            raise

    async def close(self) -> None:
        """Remove every container, and whatever the driver made on the host."""
        self._closing = True
        self.engine.returned = None
        self.bridge.relent()
        if not await self._emptied():
            log.error("not all containers could be removed: what is left goes at the next start, or by upcall clean")
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await self.ownership.close()
        await self.bridge.close()
        await self.images.close()
        await self.engine.close()

    def facts(self) -> dict[str, str]:
        """How actions are kept apart here, in words."""
        return {
            "driver": "docker",
            "engine": f"{self.engine.version} at {self.engine.host}",
            **self.bridge.facts(),
            "logs": self.outputs.mode,
            "freezer": self.freezer.how,
        }

    def forget(self, container: DockerContainer) -> None:
        """It is gone."""
        self.ownership.drop(container)
        self.bridge.give_back(self._macs.pop(container.id, ""))

    async def _create(self, spec: ContainerSpec) -> DockerContainer:
        try:
            fetched = await self._patiently(lambda: self.images.ready(spec))
            await self.removals.room()
            made = await self._patiently(lambda: self._creation.run(spec, fetched))
        except BaseException:
            self.ownership.names.discard(spec.name)
            raise
        return await self._known(spec, made)

    async def _known(self, spec: ContainerSpec, made: Made) -> DockerContainer:
        """From here on its end is heard of."""
        if made.name != spec.name:
            self.ownership.names.discard(spec.name)
            spec = msgspec.structs.replace(spec, name=made.name)
        container = DockerContainer(self, spec, made.id, made.host, made.output)
        self._macs[made.id] = made.mac
        self.ownership.add(container)
        try:
            await container.watch(made.pid)
        except BaseException:
            self._background(container.destroy())
            raise
        return container

    async def _patiently(self, act: Callable[[], Awaitable[Done]]) -> Done:
        """Over and over while the engine is away. Raises StartFailed where it is there and does not let it be done."""
        loop = asyncio.get_running_loop()
        absences, until = self._absences, 0.0
        while True:
            await self.bridge.back()
            if self._closing:
                raise StartFailed("The driver is closing.")
            try:
                return await act()
            except EngineAway as error:
                await self.engine.back()
                if not until or self._absences != absences:
                    absences, until = self._absences, loop.time() + _LIMPING
                elif isinstance(error, Stopped) and error.own.developer:  # the engine was asked, and does not end
                    raise error.own from error
                elif loop.time() > until:
                    log.warning("the Docker engine answers, but does not let a container be made: %s", error)
                    raise StartFailed(texts.PROVISION) from error

    @property
    def _absences(self) -> int:
        return self.engine.absences + self.bridge.absences

    async def _unwanted(self, making: asyncio.Task[DockerContainer]) -> None:
        """Whoever wanted it has gone."""
        with contextlib.suppress(StartFailed):
            await (await making).destroy()

    async def _emptied(self) -> bool:
        """Whether all has gone in time; of an engine that is away, or goes meanwhile, not much is hoped for."""
        loop = asyncio.get_running_loop()
        removing = loop.create_task(self._logged(self._remove_all()))
        end, away = loop.time() + PATIENCE, False
        try:
            while not removing.done() and (now := loop.time()) < end:
                if self.engine.trouble and not away:
                    end, away = min(end, now + _IN_VAIN), True
                await asyncio.wait({removing}, timeout=min(OFTEN, end - now))
            return removing.done()
        finally:
            removing.cancel()
            await asyncio.gather(removing, return_exceptions=True)

    async def _remove_all(self) -> None:
        """With what is just being made, and what the engine has made and nobody heard of."""
        while self._tasks or self.ownership.containers:
            known = self.ownership.containers.values()
            await asyncio.gather(*(container.destroy() for container in known), *self._tasks, return_exceptions=True)
        if self.ownership.watches:
            await self.ownership.look_round()

    def _returned(self) -> None:
        self.bridge.doubt()
        self._background(self.bridge.refresh())

    def _background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(self._logged(work))
        self._hold(task)
        task.add_done_callback(lambda _: work.close())  # where it was cancelled before it began

    def _hold(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except Exception:
            log.exception("work in the background has failed")
