"""What can be seen of an Invoker's inside: its pool, containers and their stories (spec: invoker.md §8).

The memory that containers use is the kernel's to say, and asked of it in a thread, for a bounded time: what it did not
come to keeps its last number.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.core.slots import STEM, Slot
from upcall.core.story import of_slot
from upcall.invoker.desk import Box
from upcall.invoker.figures import by_phase, metrics
from upcall.invoker.pool import PoolRunner
from upcall.measures import one
from upcall.model.names import Json
from upcall.model.sizes import MB

if TYPE_CHECKING:
    from prometheus_client import Metric

FRESH, PATIENCE = 1.0, 0.05
"""Seconds that memory's numbers are good for, and that asking for them may take."""


class Inspection:
    """Of one pool."""

    def __init__(self, runner: PoolRunner) -> None:
        self._runner = runner
        self._used: dict[str, int] = {}
        """Bytes by container."""
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def measure(self) -> None:
        """Ask for the memory that containers use, unless that was done just now."""
        async with self._asking:
            loop = asyncio.get_running_loop()
            if loop.time() - self._asked < FRESH:
                return
            self._used = await asyncio.to_thread(_memory, list(self._runner.boxes.values()), self._used)
            self._asked = loop.time()

    @property
    def used(self) -> int:
        """Bytes of all containers, as `measure` found them."""
        return sum(self._used.values())

    def metrics(self, tags: bool = True) -> Iterator["Metric"]:
        runner = self._runner
        retries = sum(box.runtime.retries for box in runner.boxes.values())
        yield from metrics(runner.counters, runner.pool, retries, tags)
        yield from one(names.POOL_USED, self.used)

    def pool(self) -> dict[str, Json]:
        """Numbers of the whole; memory in bytes."""
        pool = self._runner.pool
        return {
            "mode": pool.mode.value,
            "containers": len(pool.slots),
            "states": {phase: number for phase, number in by_phase(pool).items() if number},
            "running": sum(len(slot.running) for slot in pool.slots.values()),
            "waiting": len(pool.queue) + sum(len(slot.waiting) for slot in pool.slots.values()),
            "memory": {
                "limit": pool.config.memory * MB,
                "promised": (pool.config.memory - pool.free) * MB,
                "removing": pool.removing * MB,
                "used": self.used,
            },
        }

    def containers(self) -> list[Json]:
        """Each of them, the oldest first."""
        return [self._container(slot, self._runner.boxes.get(slot.id)) for slot in self._runner.pool.slots.values()]

    def story(self, container: str) -> list[Json] | None:
        """What is remembered of a container, by its number or id, the oldest first; None where that is nothing."""
        pool = self._runner.pool
        ids = {box.container.id: number for number, box in self._runner.boxes.items()}
        slot = ids.get(container) or (int(container) if container.isdecimal() and len(container) < 20 else 0)
        start = time.time() - asyncio.get_running_loop().time()
        entries = of_slot(pool.story, pool.lives, slot)
        return [
            {"time": round((start + now) * 1000), "event": what, "activation": job} for now, what, _, job in entries
        ] or None

    def _container(self, slot: Slot, box: Box | None) -> dict[str, Json]:
        idle = asyncio.get_running_loop().time() - slot.since if not slot.running and slot.since else None
        return {
            "number": slot.id,
            "id": box.container.id if box else None,
            "name": box.name if box else None,
            "kind": slot.kind,
            "state": slot.phase.value,
            "namespace": slot.action.partition(" ")[0] if slot.action != STEM else None,
            "action": (box.action or None) if box else None,
            "running": [job.id for job in slot.running],
            "waiting": [job.id for job in slot.waiting],
            "concurrency": slot.concurrency,
            "idle": None if idle is None else round(idle, 3),
            "memory": {"promised": slot.memory * MB, "used": self._used.get(box.container.id) if box else None},
        }


def _memory(boxes: list[Box], before: dict[str, int]) -> dict[str, int]:
    """Runs in a thread."""
    until = time.perf_counter() + PATIENCE
    found = {}
    for box in boxes:
        id_ = box.container.id
        used = box.container.memory_used() if time.perf_counter() < until else before.get(id_)
        if used is not None:
            found[id_] = used
    return found
