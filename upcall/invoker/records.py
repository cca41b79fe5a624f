"""Records on their way to the store, which may be full for a while (docs/DESIGN.md, rule 10).

As long as the store takes them, keeping one is a plain call. When its batch is full, records wait here in order and one
task follows the store's `room`. What waits is bounded by its producers: an activation holds its container, and with it
its share of the feed, until its record is taken. So a slow store slows the intake, and no record is dropped.

A result that a client gets must not be contradicted by what the next life finds: the store promises the record before
the result is told, or the bus keeps the acknowledgement with the whole record in it, and the next life reads it there
(`upcall.invoker.told`); else the result waits until the record is durable.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from upcall.model.activation import Activation
from upcall.ports import Store

Then = Callable[[], None]
log = logging.getLogger(__name__)


class Records:
    """Hands records to the store; `tasks` owns the task that waits for it. `recalled`: what is told is read again by
    the next life."""

    def __init__(self, store: Store, tasks: asyncio.TaskGroup, *, recalled: bool = False) -> None:
        self._store = store
        self._tasks = tasks
        self._waiting: deque[tuple[Activation, Then]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._recalled = recalled

    def __len__(self) -> int:
        return len(self._waiting)

    def promise(self, record: Activation) -> bool:
        """Whether its result may be told, whole, before `keep`."""
        return self._store.promise(record) or self._recalled

    def settle(self, then: Then) -> None:
        """Call `then` when all that was kept is durable."""
        task = self._tasks.create_task(self._settled(then))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def kept(self, record: Activation) -> None:
        """Return when an outcome of it is durable: this one, unless there was one before."""
        taken = asyncio.Event()
        self.keep(record, taken.set)
        await taken.wait()
        await self._store.flush()

    def tell(self, record: Activation, then: Then) -> None:
        """`keep`, where `then` tells the result."""
        self.keep(record, then if self.promise(record) else lambda: self.settle(then))

    def keep(self, record: Activation, then: Then) -> None:
        """Call `then` when the store has taken it: before this returns, unless the store is full."""
        if not self._waiting and self._store.record(record):
            then()
            return
        self._waiting.append((record, then))
        if self._task is None:
            self._task = self._tasks.create_task(self._follow())

    async def close(self, patience: float) -> None:
        """Return when nothing waits, or after `patience` seconds: a store that takes nothing more cannot be helped."""
        following = [task for task in (self._task, *self._settling) if task is not None]
        if following:
            await asyncio.wait(following, timeout=patience)
        if self._waiting:
            log.error("the store does not take %d activation records: they are lost", len(self._waiting))
        for task in following:
            task.cancel()

    async def _settled(self, then: Then) -> None:
        await self._store.flush()
        then()

    async def _follow(self) -> None:
        try:
            while self._waiting:
                record, then = self._waiting[0]
                if not self._store.record(record):
                    await self._store.room()
                    continue
                self._waiting.popleft()
                then()
        finally:
            self._task = None
