"""Removing containers: some at a time, over and over until they are gone.

An engine takes 50 to 500 ms for one, in which it may do little else, so no more than a few are asked for at once; who
makes containers waits (`room`) while too many are to go. What could not be removed because the engine was away is
removed after its return; an engine that is there and cuts the request off refuses it.
"""

import asyncio
import contextlib
import logging
import time

from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.inspection import inspect
from upcall.errors import UpcallError

log = logging.getLogger(__name__)

WIDTH = 10
"""Removed at once."""
MOST = 40
"""Containers that are to go, above which nobody makes new ones."""
TRIES = 5
PAUSE = 0.2
"""Seconds before the second try; the next ones take twice as long each."""
_MISSING, _BUSY = 404, 409


class Removals:
    """Of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._width = asyncio.Semaphore(WIDTH)
        self._room = asyncio.Event()
        self._room.set()
        self.pending = 0
        """Containers that are to go."""
        self.cut_off: dict[str, float] = {}
        """Containers whose start nobody knows the end of, and when that was found (`remnants`)."""

    async def room(self) -> None:
        """Return when not too many are to go."""
        await self._room.wait()

    async def remove(self, id: str, paused: bool = False, cut_off: bool = False) -> bool:
        """Kill it if it runs, and remove it with its volumes that have no name; `paused` says that the engine has it
        as paused, `cut_off` that it may have been left in the middle of its start. Whether it has gone: where the
        engine refuses to the end, it is logged. Waits while the engine is away."""
        self._count(1)
        if cut_off:
            self.cut_off[id] = time.monotonic()
        try:
            async with self._width:
                return await self._persist(id, paused)
        finally:
            self._count(-1)

    async def _persist(self, id: str, paused: bool) -> bool:
        left, pause = TRIES, PAUSE
        while left:
            before = self._engine.absences
            try:
                await self._once(id, paused)
                return True
            except EngineAway as error:
                refusal: UpcallError = error
                await self._engine.back()
                if self._engine.absences != before:
                    continue
            except EngineError as error:
                refusal = error
            left -= 1
            await asyncio.sleep(pause)
            pause *= 2
        log.error("container %s cannot be removed: %s", id[:12], refusal, extra={"container": id})
        return False

    async def _once(self, id: str, paused: bool) -> None:
        """Raises EngineAway, EngineError."""
        if paused:
            with contextlib.suppress(EngineError):  # it is not, or has ended
                async with self._engine.asked(self._engine.timeouts.unpause, "unpause") as docker:
                    await docker.containers.container(id).unpause()
        try:
            async with self._engine.asked(self._engine.timeouts.rm, "rm") as docker:
                await docker.containers.container(id).delete(force=True, v=True)
        except EngineError as error:
            if error.reply == _MISSING:
                return
            if error.reply == _BUSY and await self._gone(id):  # somebody else removes it
                return
            raise

    async def _gone(self, id: str) -> bool:
        """Raises EngineAway, EngineError."""
        try:
            await inspect(self._engine, id)
        except EngineError as error:
            if error.reply == _MISSING:
                return True
            raise
        return False

    def _count(self, change: int) -> None:
        self.pending += change
        if self.pending >= MOST:
            self._room.clear()
        else:
            self._room.set()
