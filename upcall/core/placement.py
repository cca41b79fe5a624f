"""Where a job goes, and in which order those that wait are served (spec: container.md §6.2; docs/DESIGN.md D9).

For one job, the first that there is:

| # | where                                                                   | label                              |
|---|-------------------------------------------------------------------------|------------------------------------|
| 1 | a WARM slot of its action with room, else one that is being resumed, or | warmed                             |
|   | is PAUSED or PAUSING                                                    |                                    |
| 2 | one of its action INITING or CREATING, with room: it waits for that one | warming (was a stem cell),         |
|   |                                                                         | else warmingCold                   |
| 3 | a stem cell of its kind and memory, the oldest first                    | prewarmed                          |
| 4 | a new slot in free memory                                               | cold                               |
| 5 | for a probe: a new slot above the limit, unless there is one already    | cold                               |
| 6 | a new slot in memory that eviction frees: idle slots, longest idle      | recreated                          |
|   | first, then stem cells; only if all that is needed can be had           |                                    |
| 7 | the queue: a probe at its head, others at its end                       |                                    |

1 and 2 cost no memory. So a job whose action has room *overtakes* a head that waits for memory, in its action's
order; a big action does not block the small ones behind it (upstream's does). The bound: when the head has waited
`reserve_after`, the mode is RESERVED, the queue is strictly first in, first out, and whatever becomes idle adds up for
the head. As no job is bigger than the pool, and what runs ends, its turn comes.

After each event `serve` runs the queue to a fixed point: nothing is left waiting that could be placed. It needs no scan
for that: room without memory appears only at the event's own slot, at the slot made for a head (more of its action
may join), and for all when a reservation ends.

Odd: upstream's label recreatedPrewarm (a stem cell found after eviction) cannot happen: the stem cell was looked for
before, and eviction makes none.
"""

from collections import deque
from collections.abc import Iterable
from itertools import chain

from upcall.core.events import (
    Abort,
    ActionKey,
    Command,
    Create,
    Job,
    Pull,
    Reason,
    Resume,
    Run,
    Start,
)
from upcall.core.slots import (
    INITING,
    PAUSED,
    PAUSING,
    RESUMING,
    Mode,
    Pool,
    Slot,
    new_reserve,
    new_slot,
    remove,
    run_warm,
    shelve,
    unshelve,
)


def enqueue(pool: Pool, job: Job) -> None:
    if job.probe and pool.queue:
        job.arrived = next(iter(pool.queue)).arrived  # so that no reservation of the head behind it ends
        _put_first(pool, job)
        return
    pool.queue[job] = None
    pool.backlog.setdefault(job.action, deque()).append(job)


def give_back(pool: Pool, jobs: list[Job]) -> list[Command]:
    """Jobs that had a slot go to the queue's head, in their order. Nothing is placed while the pool drains."""
    if pool.mode is Mode.DRAINING:
        return abort(jobs, "drain")
    for job in reversed(jobs):
        _put_first(pool, job)
    return []


def _put_first(pool: Pool, job: Job) -> None:
    pool.queue[job] = None
    pool.queue.move_to_end(job, last=False)
    pool.backlog.setdefault(job.action, deque()).appendleft(job)


def abort(jobs: Iterable[Job], reason: Reason, cause: object = None) -> list[Command]:
    """They end here: each with its Abort, and their units go back to the feed."""
    commands: list[Command] = [Abort(job, reason, cause) for job in jobs]
    return [*commands, Pull(len(commands))] if commands else []


def serve(pool: Pool, action: ActionKey, now: float) -> list[Command]:
    """Place of the queue what can be placed. `action` is the one whose slots may have got room."""
    commands: list[Command] = []
    roomy: Iterable[ActionKey] = (action,)
    while pool.queue:
        head = next(iter(pool.queue))
        if now - head.arrived < pool.config.reserve_after:
            if pool.mode is Mode.RESERVED:
                pool.mode, roomy = Mode.OPEN, list(pool.backlog)
            for key in roomy:
                commands += _overtake(pool, key)
            if head not in pool.queue:
                roomy = ()
                continue
        else:
            pool.mode = Mode.RESERVED
        placed = _place(pool, head)
        if placed is None:
            return commands
        _dequeue(pool, head)
        commands += placed
        roomy = (head.action,)
    pool.mode = Mode.OPEN
    return commands


def _overtake(pool: Pool, action: ActionKey) -> list[Command]:
    """Those of an action that find room in its slots, first come first."""
    commands: list[Command] = []
    while jobs := pool.backlog.get(action):
        job = jobs[0]
        joined = _join(pool, job)
        if joined is None:
            break
        _dequeue(pool, job)
        commands += joined
    return commands


def _dequeue(pool: Pool, job: Job) -> None:
    """Only ever the first of its action."""
    del pool.queue[job]
    jobs = pool.backlog[job.action]
    jobs.popleft()
    if not jobs:
        del pool.backlog[job.action]


def _place(pool: Pool, job: Job) -> list[Command] | None:
    """Rows 1 to 6 of the table; None where it has to wait."""
    joined = _join(pool, job)
    if joined is not None:
        return joined
    if stems := pool.stems.get((job.kind, job.memory)):
        return [_claim_stem(pool, next(iter(stems.values())), job)]
    if job.memory <= pool.free:
        return [_create_for(pool, job, new_slot(pool, job.kind, job.memory), "cold")]
    if job.probe and not pool.reserve:
        return [_create_for(pool, job, new_reserve(pool, job.kind, job.memory), "cold")]
    evicted = _make_room(pool, job.memory)
    if not evicted:
        return None
    return [*evicted, _create_for(pool, job, new_slot(pool, job.kind, job.memory), "recreated")]


def _join(pool: Pool, job: Job) -> list[Command] | None:
    """Rows 1 and 2: a slot of the job's action, which takes no memory."""
    shelf = pool.open.get(job.action)
    if shelf:
        warm = run_warm(pool, shelf, job)
        return [Run(warm.id, job, init=False, fresh=len(warm.running) == 1, start="warmed")]
    joining, asleep = pool.joining.get(job.action), pool.asleep.get(job.action)
    slot = max(joining.values(), key=_wakes) if joining else None
    if asleep and not (slot and _wakes(slot)):
        slot = next(reversed(asleep.values()))
    return None if slot is None else _wait_for(pool, slot, job)


def _wakes(slot: Slot) -> bool:
    """It is warm, and somebody waits for it already; the others in `joining` have their /init to come."""
    return slot.phase in (PAUSING, RESUMING)


def _wait_for(pool: Pool, slot: Slot, job: Job) -> list[Command]:
    unshelve(pool, slot)
    slot.waiting.append(job)
    woken: list[Command] = []
    if slot.phase is PAUSED:
        slot.phase = RESUMING
        woken.append(Resume(slot.id))
    shelve(pool, slot)
    return woken


def _claim_stem(pool: Pool, slot: Slot, job: Job) -> Command:
    pool.cells[slot.kind, slot.memory].live -= 1
    unshelve(pool, slot)
    slot.action, slot.concurrency, slot.start = job.action, job.concurrency, "prewarmed"
    slot.phase = INITING
    slot.running.add(job)
    shelve(pool, slot)
    return Run(slot.id, job, init=True, fresh=False, start="prewarmed")


def _create_for(pool: Pool, job: Job, slot: Slot, start: Start) -> Command:
    cell = pool.cells.get((job.kind, job.memory))
    if cell is not None:
        cell.cold += 1
    slot.action, slot.concurrency, slot.start = job.action, job.concurrency, start
    slot.waiting.append(job)
    shelve(pool, slot)
    return Create(slot.id, job.kind, job.memory, job)


def _make_room(pool: Pool, need: int) -> list[Command]:
    """Row 6: the removals that raise free memory to the need, or none where all of them would not."""
    freed, victims = pool.free, []
    stems = (slots.values() for slots in pool.stems.values())
    for slot in chain(pool.paused.values(), pool.idle.values(), *stems):
        freed += slot.charge
        victims.append(slot)
        if freed >= need:
            return [command for victim in victims for command in remove(pool, victim)]
    return []


def relieve(pool: Pool) -> list[Command]:
    """Half of what is paused or idle goes, the longest first."""
    resting = [*pool.paused.values(), *pool.idle.values()]
    return [command for slot in resting[: (len(resting) + 1) // 2] for command in remove(pool, slot)]


def claimants(slot: Slot) -> list[Job]:
    """Those that wait for the slot, taken from it."""
    waiting, slot.waiting = slot.waiting, []
    return waiting
