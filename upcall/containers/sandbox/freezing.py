"""Freezing a container's cgroup, and knowing that it is frozen.

Version 1 may freeze some of the threads of a process that is just being replaced (exec) while one waits for them to
end, and processes may come faster than they are frozen: then it says FREEZING for ever. To thaw for a moment and to try
again is what helps, and what runc does.
"""

import asyncio
from collections.abc import Callable

from upcall.containers.sandbox.cgroups import Grip
from upcall.errors import Failed

PATIENCE = 10.0
_SOON = 0.001
"""Within this a group usually freezes; a timer of the loop would take as long."""
_STUCK = 0.05
"""Seconds after which it is thawed and frozen again; the next time after twice as many."""
_MOMENT = 0.01


async def freeze(grip: Grip, ended: Callable[[], bool]) -> None:
    """Return when every process has stopped. Raises Failed where the container does not freeze, and is thawed again, or
    has ended."""
    loop = asyncio.get_running_loop()
    grip.freeze()
    begin, stuck = loop.time(), _STUCK
    while not grip.frozen():
        waited = loop.time() - begin
        if waited > PATIENCE:
            grip.thaw()
            raise Failed("The container does not freeze.")
        if waited > stuck:
            stuck = 2 * waited
            grip.thaw()
            await asyncio.sleep(_MOMENT)
            grip.freeze()
        await asyncio.sleep(0 if waited < _SOON else _SOON)
        if ended():
            raise Failed("The container has ended.")
