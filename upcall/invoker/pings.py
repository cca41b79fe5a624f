"""What an Invoker tells controllers of itself, each second: that it is there, and whether activations may be sent to it
(spec: bus.md §6)."""

import asyncio
from collections.abc import Callable

from upcall.model.messages import PingMessage, Topic
from upcall.model.names import InvokerId
from upcall.ports import Bus

PING = 1.0
"""seconds"""


class Pings:
    """Of one Invoker; `well` is asked before each of them."""

    def __init__(self, bus: Bus, instance: InvokerId, prefix: str, well: Callable[[], bool]) -> None:
        self._bus = bus
        self._instance = instance
        self._topic = Topic(f"{prefix}health", "ping")
        self._well = well
        self._task: asyncio.Task[None] | None = None
        self.enabled = False
        """As it was said last."""

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._ping())

    def stop(self) -> None:
        """Say that nothing may be sent here, and no more."""
        if self._task is not None:
            self._task.cancel()
        self._say(False)

    async def _ping(self) -> None:
        while True:
            self._say(self._well())
            await asyncio.sleep(PING)

    def _say(self, enabled: bool) -> None:
        self.enabled = enabled
        self._bus.send(self._topic, PingMessage(self._instance, enabled))
