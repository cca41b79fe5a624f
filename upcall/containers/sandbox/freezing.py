"""Freezing a container's cgroup, and knowing that it is frozen."""

import asyncio
from collections.abc import Callable

from upcall.containers.sandbox.cgroups import Grip
from upcall.errors import Failed

PATIENCE = 10.0
_SOON = 0.001
"""Within this a group usually freezes; a timer of the loop would take as long."""


async def freeze(grip: Grip, ended: Callable[[], bool]) -> None:
    """Return when every process has stopped. Raises Failed where the container does not freeze, and is thawed again, or
    has ended."""
    loop = asyncio.get_running_loop()
    grip.freeze()
    begin = loop.time()
    while not grip.frozen():
        waited = loop.time() - begin
        if waited > PATIENCE:
            grip.thaw()
            raise Failed("The container does not freeze.")
        await asyncio.sleep(0 if waited < _SOON else _SOON)
        if ended():
            raise Failed("The container has ended.")
