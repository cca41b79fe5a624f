"""All pods of one Invoker, by one watch: nothing is asked for over and over.

It goes on from where it broke off; where the API does not know that place any more, and at the beginning, all are
listed. A pod that is missing from the list has gone.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from lightkube.resources.core_v1 import Pod

from upcall.containers.kubernetes.state import State, state
from upcall.kubernetes.client import Api, Away, Refused

log = logging.getLogger(__name__)

PAUSE = 0.2, 5.0
"""Seconds before another attempt, which grow."""
Told = Callable[[State], None]
GONE = State(over=True, failure="Deleted: the pod is not there any more")


class Watching:
    """`labels` are those of the pods."""

    def __init__(self, api: Api, labels: Mapping[str, str]) -> None:
        self.trouble: str | None = None
        self._api = api
        self._labels = labels
        self._told: dict[str, Told] = {}
        self._there: dict[str, State] = {}
        self._back = asyncio.Event()
        self._change = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def expect(self, pod: str, told: Told) -> None:
        """Tell of everything that happens to it from now on."""
        self._told[pod] = told

    def forget(self, pod: str) -> None:
        self._told.pop(pod, None)

    async def back(self) -> None:
        """Return while the API answers."""
        await self._back.wait()

    async def until_gone(self, pods: set[str]) -> None:
        """Return when none of them is there."""
        while pods & self._there.keys():
            self._change.clear()
            await self._change.wait()

    async def _run(self) -> None:
        pause = PAUSE[0]
        while True:
            try:
                version = await self._list()
                pause = PAUSE[0]
                async for happening, pod in self._api.watch(self._labels, version):
                    self._heard(happening, pod)
            except Refused as error:
                log.debug("pods are listed anew: %s", error)
            except Away as error:
                self._lost(error)
            except Exception:
                log.exception("pods cannot be watched")
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE[1])

    async def _list(self) -> str:
        """Raises Refused, Away."""
        expected = set(self._told)
        pods, version = await self._api.list(self._labels)
        if self.trouble is not None:
            log.warning("Kubernetes' API answers again")
        self.trouble = None
        self._back.set()
        names = {_name(pod) for pod in pods}
        for name in (self._there.keys() | expected) - names:
            if name in self._there:
                self._gone(name)
        for pod in pods:
            self._heard("ADDED", pod)
        return version

    def _heard(self, happening: str, pod: Pod) -> None:
        name = _name(pod)
        if happening == "DELETED":
            self._gone(name)
            return
        now = self._there[name] = state(pod)
        if told := self._told.get(name):
            told(now)

    def _gone(self, name: str) -> None:
        self._there.pop(name, None)
        self._change.set()
        if told := self._told.get(name):
            told(GONE)

    def _lost(self, error: Away) -> None:
        self._back.clear()
        if self.trouble is None:
            log.warning("%s: containers that are there go on, new ones wait", error)
        self.trouble = f"{error}: see whether it runs, and whether this Invoker reaches it."


def _name(pod: Pod) -> str:
    assert pod.metadata is not None
    assert pod.metadata.name is not None
    return pod.metadata.name
