"""The shell around the container pool: feeds it events, carries its commands out (docs/DESIGN.md).

`feed` is synchronous: the pool's state never changes across an await. A command may bring the next event before it
returns (an answer that is at hand, a driver that has logs ready); such events wait until the commands of the one before
are carried out, so the pool sees them one after another and the stack stays flat. A warm hit and its end (`arrive`,
`end`) change the pool whole before anything follows from them, and wait only for commands that are being carried out. A
warm Run is a call; what needs time
(Create, Pause, Resume, Remove, the claim of a stem cell) is a task that answers with one event.

One timer stands for all of the pool's: armed to the earliest deadline seen, and left alone when that moves later. The
warm path does not even look: what comes to rest now is not due before `_patience` is over.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from time import perf_counter
from typing import cast

from upcall.core.events import (
    Abort,
    Broken,
    Command,
    Create,
    Created,
    CreateFailed,
    Event,
    Job,
    JobArrived,
    JobDone,
    Pause,
    Paused,
    Pull,
    Remove,
    Removed,
    Resume,
    Resumed,
    Run,
    SlotId,
    Tick,
)
from upcall.core.pool import Pool, deadline, leave, load, step, take
from upcall.core.slots import STEM
from upcall.deadlines import Deadlines, clock
from upcall.errors import StartFailed
from upcall.invoker.aborts import start_response
from upcall.invoker.activate import Work
from upcall.invoker.counters import Counters, Operation
from upcall.invoker.desk import Box
from upcall.invoker.runtime import Runtime
from upcall.markers import transaction
from upcall.model import texts
from upcall.ports import Containers, ContainerSpec
from upcall.telemetry import about

log = logging.getLogger(__name__)
NEVER = float("inf")


class PoolRunner:
    """Interprets the commands of one pool. `tasks` owns what takes time; `failed` is told of a bug in the pool, `made`
    of each container that was made, or could not be."""

    def __init__(
        self,
        pool: Pool,
        containers: Containers,
        tasks: asyncio.TaskGroup,
        *,
        specify: Callable[[Create, Work | None], ContainerSpec],
        pull: Callable[[int], None],
        counters: Counters,
        failed: Callable[[BaseException], None],
        made: Callable[[StartFailed | None], None] = lambda error: None,
    ) -> None:
        self.pool = pool
        self._containers = containers
        self._tasks = tasks
        self._specify = specify
        self._pull = pull
        self.counters = counters
        self._failed = failed
        self._made = made
        self._loop = asyncio.get_running_loop()
        self._time = clock(self._loop)
        self._deadlines = Deadlines()
        self.boxes: dict[SlotId, Box] = {}
        """Containers that there are, for who looks."""
        self._cold: set[asyncio.Task[None]] = set()
        self._events: deque[Event] = deque()
        self._stepping = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = NEVER
        config = pool.config
        self._patience = min(config.pause_grace, config.idle_timeout, config.prewarm_retry)
        self._awaited: list[tuple[asyncio.Future[None], Callable[[], bool]]] = []

    def start(self) -> None:
        """Start what the pool wants to have from the beginning."""
        self._arm()

    def feed(self, event: Event) -> None:
        """Take an event and do what follows from it."""
        self._events.append(event)
        if self._stepping or self._closed:
            return
        self._stepping = True
        try:
            while self._events:
                self._step(self._events.popleft())
        except Exception as error:  # noqa: BLE001 - the boundary: the service ends with it
            self._fail(error)
        finally:
            self._stepping = False

    def arrive(self, work: Work) -> None:
        """`feed` a JobArrived; a warm hit needs neither event nor command."""
        job = work.job
        if self._stepping or self._closed:
            self._events.append(JobArrived(job))
            return
        try:
            slot = take(self.pool, job, self._time())
            if slot is not None:
                work.tally.starts["warmed"] += 1
                work.run(slot.id, self.boxes[slot.id], init=False, fresh=len(slot.running) == 1)
                return
        except Exception as error:  # noqa: BLE001 - the boundary, as in `feed`
            self._fail(error)
        else:
            self.feed(JobArrived(job))

    def end(self, slot: SlotId, job: Job, reusable: bool, cause: object) -> None:
        """`feed` a JobDone; the same."""
        if reusable and not (self._stepping or self._closed or self._awaited):
            try:
                now = self._time()
                if leave(self.pool, slot, job, now):
                    self._pull(1)
                    if self._due > now + self._patience:
                        self._arm()
                    return
            except Exception as error:  # noqa: BLE001 - the boundary, as in `feed`
                self._fail(error)
                return
        self.feed(JobDone(slot, job, reusable, cause))

    def close(self) -> None:
        """Take no more events; let go of all connections and of what takes time."""
        self._closed = True
        for task in self._cold:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for box in list(self.boxes.values()):
            box.runtime.close()
        self._deadlines.close()

    async def empty(self) -> None:
        """Return when the pool has no slot left; for use after Drained."""
        await self._until(lambda: not self.pool.slots)

    async def idle(self) -> None:
        """Return when no job waits or runs."""
        await self._until(lambda: not load(self.pool))

    def works(self) -> list[Work]:
        """What has been given to a container and has not ended."""
        return [cast(Work, job.task) for slot in self.pool.slots.values() for job in slot.running]

    def _fail(self, error: Exception) -> None:
        self.close()
        self._failed(error)

    def _step(self, event: Event) -> None:
        now = self._time()
        commands = step(self.pool, event, now)
        for command in commands:
            self._carry_out(command)
        kind = type(event)
        if kind is Tick or not commands:
            self._count(event, commands, now)
        if kind is not JobArrived and (kind is not JobDone or self._due > now + self._patience):
            self._arm()
        if self._awaited:
            self._look()

    def _count(self, event: Event, commands: Iterable[Command], now: float) -> None:
        """What only the pool knows: jobs that wait for memory, stem cells that grew too old."""
        if isinstance(event, JobArrived):
            self.counters.buffered += event.job in self.pool.queue
        for command in commands:
            slot = self.pool.slots[command.slot] if isinstance(command, Remove) else None
            cell = self.pool.cells.get((slot.kind, slot.memory)) if slot and slot.action == STEM else None
            if slot is not None and cell is not None and slot.since + cell.ttl <= now:
                key = slot.kind, slot.memory
                self.counters.expired[key] = self.counters.expired.get(key, 0) + 1

    async def _until(self, holds: Callable[[], bool]) -> None:
        if not holds():
            future: asyncio.Future[None] = self._loop.create_future()
            self._awaited.append((future, holds))
            await future

    def _look(self) -> None:
        """Tell those who await what holds now."""
        for future, holds in self._awaited:
            if not future.done() and holds():
                future.set_result(None)
        self._awaited = [each for each in self._awaited if not each[0].done()]

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, Run):
            self._run(command)
        elif isinstance(command, Pull):
            self._pull(command.count)
        elif isinstance(command, Abort):
            cast(Work, command.job.task).abort(command.reason, command.cause)
        else:
            self._begin(self._perform(command))

    def _run(self, command: Run) -> None:
        work = cast(Work, command.job.task)
        box = self.boxes[command.slot]
        work.found(command.start)
        if command.init:
            self.counters.uninited += 1
            box.action = work.message.action.id
        if box.tenant:
            work.run(command.slot, box, command.init, command.fresh)
        else:
            self._begin(self._claim(command, box, work))

    def _begin(self, cold: Coroutine[object, object, None]) -> None:
        task = self._tasks.create_task(cold)
        self._cold.add(task)
        task.add_done_callback(self._cold.discard)

    async def _claim(self, command: Run, box: Box, work: Work) -> None:
        """Make a stem cell the job's own."""
        tenant, id_ = work.message.user.namespace.name, box.container.id
        try:
            with self._timed("claim"):
                await box.container.claim(tenant, work.recipe.concurrency)
        except StartFailed as error:
            log.warning("container %s cannot be claimed: %s", id_, error, extra=about(work.message, id_))
            work.refuse(command.slot, start_response(error))
        except Exception:
            log.exception("container %s cannot be claimed", id_, extra=about(work.message, id_))
            work.refuse(command.slot, start_response(StartFailed(texts.PROVISION)))
        else:
            box.tenant = tenant
            work.run(command.slot, box, command.init, command.fresh)

    async def _perform(self, command: Create | Pause | Resume | Remove) -> None:
        """Do one thing, answer with one event."""
        match command:
            case Create():
                self.feed(await self._create(command))
            case Pause(slot):
                self.feed(await self._attempt(slot, self.boxes[slot].pause, Paused(slot)))
            case Resume(slot):
                self.feed(await self._attempt(slot, self.boxes[slot].container.resume, Resumed(slot)))
            case Remove(slot):
                await self._remove(slot)
                self.feed(Removed(slot))

    async def _create(self, command: Create) -> Event:
        slot = command.slot
        work = cast(Work, command.job.task) if command.job else None
        spec = self._specify(command, work)
        extra = about(work.message) if work else {}
        if work:
            transaction.set(work.message.transid)
        cell = command.kind, command.memory
        if work and cell in self.pool.cells:
            self.counters.coldstarts[cell] = self.counters.coldstarts.get(cell, 0) + 1
        try:
            with self._timed("create"):
                container = await self._containers.create(spec)
        except StartFailed as error:
            log.warning("no container for %s: %s", spec.kind, error, extra=extra)
            return self._not_made(slot, error)
        except Exception:
            log.exception("no container for %s", spec.kind, extra=extra)
            return self._not_made(slot, StartFailed(texts.PROVISION))
        self._made(None)
        runtime = Runtime(container.address, self._deadlines, container.foreign)
        self.boxes[slot] = Box(container, runtime, spec.tenant, spec.name)
        container.lost = lambda: self._lost(slot)
        return Created(slot)

    def _not_made(self, slot: SlotId, error: StartFailed) -> Event:
        self._made(error)
        return CreateFailed(slot, error)

    async def _attempt(self, slot: SlotId, act: Callable[[], Coroutine[object, object, None]], good: Event) -> Event:
        operation: Operation = "pause" if isinstance(good, Paused) else "resume"
        id_ = self.boxes[slot].container.id  # if it dies meanwhile its slot may be gone afterwards
        try:
            with self._timed(operation):
                await act()
        except Exception as error:  # noqa: BLE001 - whatever it is, the container cannot be used any more
            log.warning("container %s: %s failed: %s", id_, operation, error, extra={"container": id_})
            return Broken(slot)
        return good

    async def _remove(self, slot: SlotId) -> None:
        box = self.boxes.pop(slot)
        box.container.lost = None
        box.runtime.close()
        self.counters.retries += box.runtime.retries
        try:
            with self._timed("remove"):
                await box.container.destroy()
        except Exception:
            log.exception("container %s cannot be removed", box.container.id, extra={"container": box.container.id})

    @contextlib.contextmanager
    def _timed(self, operation: Operation) -> Iterator[None]:
        """One thing that a container is told."""
        began = perf_counter()
        try:
            yield
        except Exception:
            self.counters.container_failures += 1
            raise
        self.counters.container_times[operation].observe(perf_counter() - began)

    def _lost(self, slot: SlotId) -> None:
        box = self.boxes.get(slot)
        if box is not None:
            self.counters.lost["warm" if box.tenant else "prewarm"] += 1
            self.feed(Broken(slot))
            box.runtime.give_up()

    def _arm(self) -> None:
        due = deadline(self.pool)
        if due is None or self._closed or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer, self._due = None, NEVER
        self.feed(Tick())
