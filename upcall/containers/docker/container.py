"""One container of the engine, from its start to its removal.

Where its process is seen from here (`freezer`) a pidfd tells of its death, its cgroups' files pause it and count what
the kernel has killed, and a signal ends it at once, be the engine slow, hung or away. Else the engine is asked for all
of that, and its events tell. Removing the remains is the engine's work in any case (`removals`).

Frozen by a file the engine does not know that it is: nothing but `destroy` may meet such a container, and it thaws
first, for version 1 keeps what is frozen from dying. Somebody else's `docker pause` would make it time out for ever, so
it counts as lost.

An engine that is behind may tell of one pause of ours twice: it hears of it from its containerd once more, and when we
had resumed meanwhile it takes that for another pause, until it hears of the resumption, too. So where a pause of ours
came before, one that nobody has announced counts when the engine stands by it; and while it is wrong about that it
refuses what we ask for as done already, so it is asked again for as long.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from upcall.containers.docker.engine import Engine, EngineAway, EngineError
from upcall.containers.docker.freezer import Freezer
from upcall.containers.docker.inspection import inspect
from upcall.containers.docker.removals import Removals
from upcall.containers.loss import Mortal
from upcall.containers.sandbox.cgroups import Grip
from upcall.containers.sandbox.freezing import freeze
from upcall.errors import Failed, StartFailed
from upcall.ports import Address, ContainerSpec, Lines

log = logging.getLogger(__name__)

PORT = 8080
POLL = 0.005
LATE = 2.0
"""Seconds after a lost connection in which the engine may still learn of a kill (spec: container.md §2.5)."""
_DOUBT = 0.05
"""Seconds between two questions about a pause; `LATE` in all."""
_KILLED = 128 + signal.SIGKILL


class Logs(Protocol):
    """Where a container's output is found."""

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None: ...

    def over(self) -> None: ...

    def share(self) -> None: ...

    async def close(self) -> None: ...


class Driver(Protocol):
    """What a container needs of the driver that made it."""

    engine: Engine
    freezer: Freezer
    removals: Removals

    def forget(self, container: "DockerContainer") -> None: ...


class DockerContainer(Mortal):
    """Implements `upcall.ports.Container`; one that has been started."""

    foreign = True

    def __init__(self, driver: Driver, spec: ContainerSpec, id: str, host: str, logs: Logs) -> None:
        self.id = id
        self.name = spec.name
        self.address = Address(host=host, port=PORT)
        self._driver = driver
        self._tenant = spec.tenant
        self._logs = logs
        self._grip: Grip | None = None
        self._pidfd = -1
        self._ended = asyncio.Event()
        self._exhausted = False
        self._counted = False
        """Whether that is what the kernel had counted when it ended."""
        self._paused = False
        """By the engine, for us or for somebody else."""
        self._announced = 0
        """Pauses of ours that the engine has not told of yet."""
        self._asked_before = False
        """Whether the engine has ever been asked for one."""
        self._gone: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def watch(self, pid: int) -> None:
        """Get hold of its process (`State.Pid`), where it is seen from here."""
        reached = await asyncio.to_thread(self._driver.freezer.reach, pid, self.id)
        if reached is not None:
            self._pidfd, self._grip = reached
            asyncio.get_running_loop().add_reader(self._pidfd, self.ended)
            await self._driver.freezer.prove(self._grip, self._over)

    async def claim(self, tenant: str, concurrency: int = 1) -> None:
        """It runs already."""
        if self._tenant or self._gone is not None:
            raise StartFailed("The container has its tenant already, or is gone.")
        if self._ended.is_set():
            raise StartFailed("The container has ended before it was used.")
        self._tenant = tenant
        if concurrency > 1:
            self._logs.share()

    async def pause(self) -> None:
        if self._grip is not None and self._grip.can_freeze and self._driver.freezer.works:
            await freeze(self._grip, self._over)
            return
        self._announced += 1
        self._asked_before = self._paused = True  # or soon will be
        await self._insisting(self._pause, "is already paused")

    async def resume(self) -> None:
        if self._paused:
            await self._insisting(self._unpause, "is not paused")
            self._paused = False
        elif self._grip is not None:
            self._grip.thaw()
        if self._ended.is_set():
            raise Failed("The container has ended.")

    async def destroy(self) -> None:
        """Kill and remove; a second caller waits for the first."""
        if self._gone is not None:
            await self._gone.wait()
            return
        self._unwatch()
        gone = self._gone = asyncio.Event()
        try:
            self._count_kills()
            self._kill()
            await self._driver.removals.remove(self.id, self._paused)
            await self._logs.close()
        except BaseException:
            self._gone = None  # whoever comes next has to do it again
            raise
        else:
            self._let_go()
            self._driver.forget(self)
        finally:
            gone.set()

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        self._logs.collect(limit, complete, done)

    def exhausted(self, done: Callable[[bool], None]) -> None:
        known = self._count_kills() or self._counted
        if self._exhausted or known or self._gone is not None:
            done(self._exhausted)
        else:
            self._begin(self._ask_engine(done))

    def memory_used(self) -> int | None:
        grip = self._grip
        return grip.memory_used() if grip is not None else None

    # --- told by the pidfd, the engine's events, and those who look after what is ours

    def ended(self) -> None:
        """Its process has."""
        self._unread()
        self._counted = self._count_kills() or self._counted
        self._ended.set()
        self._logs.over()
        self.died()

    def killed(self) -> None:
        """The kernel has, or a process in it, for want of memory."""
        self._exhausted = True

    def stopped(self) -> None:
        """The engine has paused it."""
        if self._announced:
            self._announced -= 1
        elif self._asked_before:
            self._begin(self._doubted())
        else:
            self._stopped()

    def signalled(self) -> None:
        """Somebody has sent it a signal, as `docker stop` and an engine that ends do: frozen it would not hear it."""
        if self._grip is not None and not self._paused:
            with contextlib.suppress(OSError):
                self._grip.thaw()

    # --- inside

    async def _pause(self) -> None:
        async with self._driver.engine.asked(self._driver.engine.timeouts.pause, "pause") as docker:
            await docker.containers.container(self.id).pause()

    async def _unpause(self) -> None:
        async with self._driver.engine.asked(self._driver.engine.timeouts.unpause, "unpause") as docker:
            await docker.containers.container(self.id).unpause()

    async def _insisting(self, ask: Callable[[], Coroutine[Any, Any, None]], already: str) -> None:
        """Over and over while the engine refuses, by 409 or 500, with what it may be about to take back. Raises
        EngineAway, EngineError."""
        end = asyncio.get_running_loop().time() + LATE
        while True:
            try:
                return await ask()
            except EngineError as error:
                if already not in str(error) or self._over() or asyncio.get_running_loop().time() >= end:
                    raise
            await asyncio.sleep(_DOUBT)

    def _stopped(self) -> None:
        self._paused = True
        if self._gone is None:
            log.warning("container %s was paused by somebody else: it is not used any more", self.name)
            self.died()

    async def _doubted(self) -> None:
        """By somebody else, unless the engine takes it back, or we pause it anyway."""
        end = asyncio.get_running_loop().time() + LATE
        with contextlib.suppress(EngineAway, EngineError):
            while not self._paused and not self._over():
                if not (await inspect(self._driver.engine, self.id))["State"]["Paused"]:
                    return
                if asyncio.get_running_loop().time() >= end:
                    self._stopped()
                    return
                await asyncio.sleep(_DOUBT)

    def _over(self) -> bool:
        return self._ended.is_set() or self._gone is not None

    def _count_kills(self) -> bool:
        """Ask the kernel; whether it knows. When the container has ended its cgroups go soon after."""
        try:
            self._exhausted = self._exhausted or (self._grip is not None and self._grip.oom_kills() > 0)
        except OSError:
            return False
        return self._grip is not None and "memory" in self._grip.places

    async def _ask_engine(self, done: Callable[[bool], None]) -> None:
        """Over and over: it learns of a kill some time after the connection was lost."""
        try:
            async with asyncio.timeout(LATE):
                while True:
                    if self._exhausted or self._gone is not None or not await self._look():
                        break
                    await asyncio.sleep(POLL)
        except (TimeoutError, EngineAway, EngineError):
            pass
        finally:
            done(self._exhausted)

    async def _look(self) -> bool:
        """Whether more may come. Raises EngineAway, EngineError."""
        state = (await inspect(self._driver.engine, self.id))["State"]
        self._exhausted = self._exhausted or bool(state["OOMKilled"])
        return bool(state["Running"]) or state["ExitCode"] == _KILLED

    def _kill(self) -> None:
        """At once, if that is ours to do; the engine does it again."""
        with contextlib.suppress(OSError):
            if self._grip is not None:
                self._grip.thaw()
        with contextlib.suppress(OSError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _unread(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)

    def _let_go(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._unread()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        grip, self._grip = self._grip, None
        if grip is not None:
            grip.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
