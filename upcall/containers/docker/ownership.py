"""What is ours on the engine, and what became of it while nobody asked.

The engine's events tell of deaths, but not while it is away or the stream is cut off; so all that is ours is listed at
the beginning of each stream and twice a minute. Who is missing there is lost, who is there and not known goes (a
creation whose answer never came, a removal that the engine refused). Containers of a later life of ours are left alone,
so that one that drains takes nothing from its successor.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping

from upcall.containers.docker.container import DockerContainer
from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.events import Happening, follow
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.labels import Labels
from upcall.containers.docker.remnants import clear
from upcall.containers.docker.removals import Removals
from upcall.containers.docker.sweeping import Found, find, remove, strays, sweep

log = logging.getLogger(__name__)

ROUND = 30.0
"""Seconds between two looks round."""
CLEARING = 2.0
"""Seconds between two looks for what is left of starts that were cut off."""
_DEATHS = 1000
"""Remembered for those who become known after it."""


class Ownership:
    """Of one life. `names` are those that a creation is under way for, or that belong to a container."""

    def __init__(self, engine: Engine, labels: Labels, freezer: Freezer, removals: Removals) -> None:
        self.names: set[str] = set()
        self.containers: dict[str, DockerContainer] = {}
        """By id."""
        self._engine = engine
        self._labels = labels
        self._freezer = freezer
        self._removals = removals
        self._deaths: deque[str] = deque(maxlen=_DEATHS)
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Remove what earlier lives left, and watch from now on. Raises Misconfigured."""
        if count := await sweep(self._engine, self._labels, self._freezer, self._removals):
            log.warning("%d containers of an earlier life were removed", count)
        loop = asyncio.get_running_loop()
        listening = follow(self._engine, self._labels.filter(), self._told, self._due.set)
        self._tasks = [loop.create_task(each) for each in (listening, self._rounds(), self._clearing())]

    @property
    def watches(self) -> bool:
        """Whether it has been started."""
        return bool(self._tasks)

    async def close(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.to_thread(clear, self._freezer, self._removals.cut_off)

    def add(self, container: DockerContainer) -> None:
        """It has been started; its name is in `names` since before it was created."""
        self.containers[container.id] = container
        if container.id in self._deaths:
            container.ended()

    def drop(self, container: DockerContainer) -> None:
        """It is removed."""
        self.containers.pop(container.id, None)
        self.names.discard(container.name)

    async def look_round(self) -> None:
        """Compare what is there with what is known. The engine's going away is no error."""
        known, names = dict(self.containers), set(self.names)
        try:
            found = await find(self._engine, self._labels.filter())
            self._bury(known, found)
            left = strays(found, self._labels, names | self.names | known.keys() | self.containers.keys())
            if left:
                log.warning("containers that nobody needs are removed: %s", ", ".join(each.name for each in left))
                await remove(self._engine, left, self._freezer, self._removals)
        except (EngineAway, EngineError) as error:
            log.debug("what is ours cannot be looked for: %s", error)

    def _bury(self, known: Mapping[str, DockerContainer], found: list[Found]) -> None:
        alive = {each.id for each in found if not each.ended}
        for id, container in known.items():
            if id not in alive:
                container.ended()

    def _told(self, id: str, happening: Happening) -> None:
        container = self.containers.get(id)
        if happening in ("die", "destroy"):
            self._deaths.append(id)
            if container is not None:
                container.ended()
        elif container is not None:
            {"oom": container.killed, "pause": container.stopped, "kill": container.signalled}[happening]()

    async def _rounds(self) -> None:
        """At the beginning of each stream, and in between."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND):
                    await self._due.wait()
            self._due.clear()
            try:
                await self.look_round()
            except Exception:
                log.exception("what is ours cannot be looked for")

    async def _clearing(self) -> None:
        while True:
            await asyncio.sleep(CLEARING)
            if self._removals.cut_off:
                await self._clear()

    async def _clear(self) -> None:
        try:
            await asyncio.to_thread(clear, self._freezer, self._removals.cut_off)
        except Exception:
            log.exception("what is left of starts that were cut off cannot be looked for")
