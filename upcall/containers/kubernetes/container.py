"""One pod, from the moment when its server can be reached to its removal.

`pause` does nothing, as with OpenWhisk: Kubernetes has no such thing. A pod's death is heard of by the watch, up to a
second or two after it; the connection that it broke is known at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from upcall.containers.kubernetes.logs import PodOutput
from upcall.containers.kubernetes.spec import PORT
from upcall.containers.kubernetes.state import State
from upcall.containers.loss import Mortal
from upcall.errors import Failed, StartFailed
from upcall.ports import Address, ContainerSpec, Lines

LATE = 2.0
"""Seconds after a lost connection in which the kubelet may still tell of a kill (spec: container.md §2.5)."""


class Driver(Protocol):
    """What a container needs of the driver that made it."""

    async def remove(self, container: "KubernetesContainer") -> None: ...

    def relabel(self, pod: str, tenant: str) -> None: ...

    def background(self, work: Coroutine[Any, Any, object]) -> None: ...


class KubernetesContainer(Mortal):
    """Implements `upcall.ports.Container`."""

    foreign = True

    def __init__(self, driver: Driver, spec: ContainerSpec, pod: str, host: str, output: PodOutput) -> None:
        self.id = self.pod = pod
        self.name = spec.name
        self.address = Address(host=host, port=PORT)
        self._driver = driver
        self._tenant = spec.tenant
        self._output = output
        self._ended = asyncio.Event()
        self._exhausted = False
        self._gone: asyncio.Event | None = None

    async def claim(self, tenant: str, concurrency: int = 1) -> None:
        """No request to Kubernetes is waited for: the labels follow."""
        if self._tenant or self._gone is not None:
            raise StartFailed("The container has its tenant already, or is gone.")
        if self._ended.is_set():
            raise StartFailed("The container has ended before it was used.")
        self._tenant = tenant
        if concurrency > 1:
            self._output.share()
        self._driver.relabel(self.pod, tenant)

    async def pause(self) -> None:
        """It goes on."""

    async def resume(self) -> None:
        if self._ended.is_set():
            raise Failed("The container has ended.")

    async def destroy(self) -> None:
        """A second caller waits for the first."""
        if self._gone is not None:
            await self._gone.wait()
            return
        self._unwatch()
        gone = self._gone = asyncio.Event()
        try:
            await self._driver.remove(self)
            await self._output.close()
        except BaseException:
            self._gone = None  # whoever comes next has to do it again
            raise
        finally:
            gone.set()

    def collect(self, limit: int, complete: bool, done: Callable[[Lines], None]) -> None:
        self._output.collect(limit, complete, done)

    def exhausted(self, done: Callable[[bool], None]) -> None:
        if self._ended.is_set() or self._gone is not None:
            done(self._exhausted)
        else:
            self._driver.background(self._await_end(done))

    def memory_used(self) -> int | None:
        return None

    def told(self, now: State) -> None:
        """By the watch."""
        if now.over and not self._ended.is_set():
            self._exhausted = now.exhausted
            self._ended.set()
            self._output.over()
            self.died()

    async def _await_end(self, done: Callable[[bool], None]) -> None:
        try:
            async with asyncio.timeout(LATE):
                await self._ended.wait()
        except TimeoutError:
            pass
        finally:
            done(self._exhausted)
