"""The container pool: one state, one step (docs/DESIGN.md; spec: container.md §6, §7).

`step(pool, event, now)` changes the pool and returns what is to be done; `deadline(pool)` says when a Tick is due. The
shell carries the commands out and answers each with one event. No time, no I/O, no randomness of its own: a history of
events gives the same commands each time.

A slot is a container from its Create to its Removed. At most one of its lifecycle commands (Create, Pause, Resume,
Remove) is unanswered, so the shell needs no locks and no queue for a container. What a slot may receive:

| phase    | may receive                             | leads to                                                       |
|----------|-----------------------------------------|----------------------------------------------------------------|
| CREATING | Created                                 | INITING + Run(init) for the job that it is for; else PREWARM   |
|          | CreateFailed                            | gone; those that wait are aborted with its cause               |
|          | Broken                                  | nothing: the answer to Create is on its way and says it too    |
| PREWARM  | (claimed by a job)                      | INITING + Run(init)                                            |
|          | Broken, (expired, evicted)              | REMOVING + Remove                                              |
| INITING  | Inited                                  | WARM + Run for those that wait                                 |
|          | JobDone, not reusable                   | REMOVING + Remove; those that wait are aborted with its cause  |
|          | JobReturned                             | REMOVING + Remove; it and those that wait to the queue's head  |
|          | Broken                                  | REMOVING; those that wait to the queue's head                  |
| WARM     | JobDone, reusable                       | WARM + Run of the next in the queue; the reserve: REMOVING     |
|          | JobDone, not reusable                   | REMOVING, + Remove unless others still run                     |
|          | JobReturned                             | the same, and the job to the queue's head                      |
|          | Broken                                  | REMOVING, + Remove if idle                                     |
|          | (idle for the grace, evicted)           | PAUSING + Pause / REMOVING + Remove                            |
| PAUSING  | Paused                                  | PAUSED, or RESUMING + Resume if a job has come                 |
|          | Broken                                  | REMOVING + Remove; those that wait to the queue's head         |
| PAUSED   | (claimed by a job)                      | RESUMING + Resume                                              |
|          | Broken, (too long, evicted)             | REMOVING + Remove                                              |
| RESUMING | Resumed                                 | WARM + Run for those that wait                                 |
|          | Broken                                  | REMOVING + Remove; those that wait to the queue's head         |
| REMOVING | JobDone, JobReturned                    | + Remove with the last                                         |
|          | Removed, nothing runs                   | gone                                                           |
|          | Inited, Paused, Resumed, Broken         | nothing: its death was reported before                         |
| gone     | Paused, Resumed, Broken                 | nothing: the same, later                                       |

Everything else raises InvalidTransition with the story of the slot and the job. In a pool that drains, what comes to
rest (WARM without jobs, PREWARM, PAUSED) goes on to REMOVING at once.

Each job ends exactly once: by the JobDone that answers its Run, or by an Abort. With its end one unit of `Pull` goes
out (its docstring has the flow control), never earlier, never twice. The queue needs no bound of its own: it holds at
most what the feed has units.

The warm hit and its end come first, and cost no more than they must: no scan, no generator, one command. They can be
had without event and command, too (`take`, `leave`), and `step` does them in the same way.
"""

from upcall.core.events import (
    Broken,
    Command,
    Created,
    CreateFailed,
    Drained,
    Event,
    Inited,
    Job,
    JobArrived,
    JobDone,
    JobReturned,
    Paused,
    Pull,
    Removed,
    Resume,
    Resumed,
    Run,
    SlotId,
    Start,
    Strained,
    Tick,
)
from upcall.core.invariants import check
from upcall.core.placement import abort, claimants, enqueue, give_back, relieve, serve
from upcall.core.prewarm import Reactive, StemCell, lose
from upcall.core.slots import (
    CREATING,
    INITING,
    PAUSED,
    PAUSING,
    PREWARM,
    REMOVING,
    RESUMING,
    STEM,
    WARM,
    Mode,
    Phase,
    Pool,
    PoolConfig,
    Slot,
    drop,
    move,
    new_pool,
    remove,
    rest,
    run_warm,
    shelve,
    unshelve,
)
from upcall.core.story import tell, told
from upcall.core.timers import deadline, pass_time, refill
from upcall.errors import InvalidTransition

__all__ = [
    "Pool",
    "PoolConfig",
    "Reactive",
    "StemCell",
    "check",
    "deadline",
    "leave",
    "load",
    "new_pool",
    "step",
    "take",
]

SlotEvent = Created | CreateFailed | Inited | JobDone | JobReturned | Paused | Resumed | Broken | Removed

OPEN, DRAINING = Mode.OPEN, Mode.DRAINING
PULL_ONE = Pull(1)

TAKES: dict[type[SlotEvent], frozenset[Phase]] = {
    Created: frozenset({CREATING}),
    CreateFailed: frozenset({CREATING}),
    Inited: frozenset({INITING}),
    JobDone: frozenset({INITING, WARM, REMOVING}),
    JobReturned: frozenset({INITING, WARM, REMOVING}),
    Paused: frozenset({PAUSING}),
    Resumed: frozenset({RESUMING}),
    Broken: frozenset({PREWARM, INITING, WARM, PAUSING, PAUSED, RESUMING}),
    Removed: frozenset({REMOVING}),
}
IGNORES: dict[type[SlotEvent], frozenset[Phase | None]] = {
    Inited: frozenset({REMOVING}),
    Paused: frozenset({REMOVING, None}),
    Resumed: frozenset({REMOVING, None}),
    Broken: frozenset({CREATING, REMOVING, None}),
}
"""The table's rows that lead to nothing; None is a slot that is gone."""


def step(pool: Pool, event: Event, now: float) -> list[Command]:
    """What is to be done about the event, in this order. `now` never goes back."""
    if isinstance(event, JobArrived):
        slot = take(pool, event.job, now)
        if slot is not None:
            return [Run(slot.id, event.job, init=False, fresh=len(slot.running) == 1, start="warmed")]
    elif isinstance(event, JobDone) and event.reusable and leave(pool, event.slot, event.job, now):
        return [PULL_ONE]
    return _step_cold(pool, event, now)


def take(pool: Pool, job: Job, now: float) -> Slot | None:
    """The step of a JobArrived for which a slot is warm and has room: the slot, where the job is to be Run without
    /init. None where that is not so: then nothing has changed, and `step` does the rest."""
    job.arrived = now
    shelf = pool.open.get(job.action)
    if not shelf or pool.queue or pool.mode is not OPEN:
        return None
    slot = run_warm(pool, shelf, job)
    pool.story.append((now, "JobArrived → Run", slot.id, job.id))
    return slot


def leave(pool: Pool, number: SlotId, job: Job, now: float) -> bool:
    """The step of a JobDone, reusable, after which the slot rests or runs others: a unit of `Pull` is due. False where
    that is not so: then nothing has changed, and `step` does the rest."""
    slot = pool.slots.get(number)
    if slot is None or slot.phase is not WARM or pool.queue or pool.mode is not OPEN or number == pool.reserve:
        return False
    if job not in slot.running:
        return False
    slot.running.remove(job)
    rest(pool, slot, now)
    pool.story.append((now, "JobDone → Pull", number, job.id))
    return True


def load(pool: Pool) -> int:
    """Jobs that wait and run: the feed's units in use. It counts, so it is not for the warm path."""
    return len(pool.queue) + sum(len(slot.running) + len(slot.waiting) for slot in pool.slots.values())


def _step_cold(pool: Pool, event: Event, now: float) -> list[Command]:
    """What the event itself demands, then the queue, then stem cells where memory is left and nobody waits for it."""
    action = STEM
    match event:
        case JobArrived():
            action = event.job.action
            commands = _arrive(pool, event.job)
        case Tick():
            commands = pass_time(pool, now)
        case Drained():
            commands = _drain(pool)
        case Strained():
            commands = relieve(pool)
        case _:
            slot = _taker(pool, event)
            action = slot.action if slot else STEM
            commands = _change(pool, slot, event, now) if slot else []
    if pool.queue:
        commands += serve(pool, action, now)
    if not pool.queue and pool.mode is not DRAINING:
        commands += refill(pool)
    tell(pool.story, pool.lives, now, event, commands)
    return commands


def _taker(pool: Pool, event: SlotEvent) -> Slot | None:
    """The slot that takes the event, None where the event is to be ignored."""
    slot, job = pool.slots.get(event.slot), None
    phase = slot.phase if slot else None
    gone = slot is None and 0 < event.slot <= pool.made
    if (slot or gone) and phase in IGNORES.get(type(event), ()):
        return None
    fits = phase in TAKES[type(event)]
    if isinstance(event, JobDone | JobReturned):
        job = event.job.id
        fits = fits and slot is not None and event.job in slot.running
        fits = fits and not (phase is INITING and isinstance(event, JobDone) and event.reusable)
    elif isinstance(event, Removed):
        fits = fits and slot is not None and not slot.running
    if slot is None or not fits:
        about = (
            f"{type(event).__name__} of job {job} does not fit: slot {event.slot} is {phase.value if phase else 'gone'}"
        )
        raise InvalidTransition(f"{about}\n{told(pool.story, event.slot, job)}")
    return slot


def _change(pool: Pool, slot: Slot, event: SlotEvent, now: float) -> list[Command]:
    match event:
        case Created():
            return _created(pool, slot, now)
        case CreateFailed():
            return _create_failed(pool, slot, event, now)
        case Inited() | Resumed():
            return _awake(pool, slot, now)
        case JobDone():
            return _done(pool, slot, event, now)
        case JobReturned():
            return _returned(pool, slot, event)
        case Paused():
            return _paused(pool, slot, now)
        case Broken():
            return _broken(pool, slot, now)
        case Removed():
            pool.removing -= slot.charge
            drop(pool, slot)
            return []


def _arrive(pool: Pool, job: Job) -> list[Command]:
    if pool.mode is DRAINING:
        return abort([job], "drain")
    if job.memory > pool.config.memory:
        return abort([job], "too-big")
    enqueue(pool, job)
    return []


def _created(pool: Pool, slot: Slot, now: float) -> list[Command]:
    if not slot.waiting:
        return _come_to_rest(pool, slot, PREWARM, now)
    job = slot.waiting.pop(0)
    slot.running.add(job)
    move(pool, slot, INITING, now)
    return [Run(slot.id, job, init=True, fresh=False, start=slot.start)]


def _create_failed(pool: Pool, slot: Slot, event: CreateFailed, now: float) -> list[Command]:
    if slot.action == STEM:
        cell = pool.cells[slot.kind, slot.memory]
        lose(cell)
        cell.retry_at = now + pool.config.prewarm_retry
    unshelve(pool, slot)
    drop(pool, slot)
    pool.free += slot.charge
    return abort(slot.waiting, "create", event.cause)


def _awake(pool: Pool, slot: Slot, now: float) -> list[Command]:
    """After /init or resume: what waits for the slot runs, as many as have room by then."""
    resumed = slot.phase is RESUMING
    warming: Start = "warming" if slot.start == "prewarmed" else "warmingCold"
    jobs = claimants(slot)
    slot.running.update(jobs)
    if not slot.running:
        return _come_to_rest(pool, slot, WARM, now)
    move(pool, slot, WARM, now)
    return [Run(slot.id, job, False, fresh=resumed, start="warmed" if resumed else warming) for job in jobs]


def _done(pool: Pool, slot: Slot, event: JobDone, now: float) -> list[Command]:
    slot.running.remove(event.job)
    commands: list[Command] = [PULL_ONE]
    if slot.phase is INITING:
        commands += abort(claimants(slot), "init", event.cause)
    if slot.phase is WARM and event.reusable:
        rest(pool, slot, now)
        if slot.running or (pool.mode is not DRAINING and slot.id != pool.reserve):
            return commands
    return commands + remove(pool, slot)


def _returned(pool: Pool, slot: Slot, event: JobReturned) -> list[Command]:
    job, waiting = event.job, claimants(slot)
    slot.running.remove(job)
    commands = remove(pool, slot)
    if job.returns >= pool.config.max_returns and pool.mode is not DRAINING:
        return commands + abort([job], "returned", event.cause) + give_back(pool, waiting)
    job.returns += 1
    return commands + give_back(pool, [job, *waiting])


def _paused(pool: Pool, slot: Slot, now: float) -> list[Command]:
    if not slot.waiting:
        return _come_to_rest(pool, slot, PAUSED, now)
    move(pool, slot, RESUMING, now)
    return [Resume(slot.id)]


def _broken(pool: Pool, slot: Slot, now: float) -> list[Command]:
    if slot.action == STEM:
        pool.cells[slot.kind, slot.memory].retry_at = now + pool.config.prewarm_retry
    waiting = claimants(slot)
    return remove(pool, slot) + give_back(pool, waiting)


def _come_to_rest(pool: Pool, slot: Slot, phase: Phase, now: float) -> list[Command]:
    """The slot has nothing to do: it stays for the next job, unless the pool drains."""
    if pool.mode is DRAINING:
        return remove(pool, slot)
    move(pool, slot, phase, now)
    return []


def _drain(pool: Pool) -> list[Command]:
    """Twice is as good as once."""
    pool.mode = DRAINING
    jobs = [*pool.queue]
    pool.queue.clear()
    pool.backlog.clear()
    for slot in pool.slots.values():
        if slot.waiting:
            unshelve(pool, slot)
            jobs += claimants(slot)
            shelve(pool, slot)
    commands = abort(jobs, "drain")
    for slot in list(pool.slots.values()):
        if slot.phase in (PREWARM, PAUSED) or (slot.phase is WARM and not slot.running):
            commands += remove(pool, slot)
    return commands
