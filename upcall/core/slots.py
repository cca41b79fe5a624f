"""The pool's data: slots, the queue, and the indexes that spare a scan.

A slot is in the indexes that its phase and its jobs say, and in no other:

| index              | holds                                                        | order, and what is taken first |
|--------------------|--------------------------------------------------------------|--------------------------------|
| open[action]       | WARM, fewer jobs than the action's concurrency               | used; the last, so that the    |
|                    |                                                              | others can sleep               |
| asleep[action]     | PAUSED, or PAUSING and nobody waits                          | paused; the last               |
| joining[action]    | CREATING for a job, INITING, RESUMING, or PAUSING with a     | made; the furthest on          |
|                    | job: room is left                                            |                                |
| idle               | WARM, nothing runs                                           | idle since; the first          |
| paused             | PAUSED                                                       | paused since; the first        |
| stems[kind,memory] | PREWARM                                                      | made = expiry; the first       |

`shelve` puts a slot where it belongs, `unshelve` takes it out of everything; a transition is unshelve, change, shelve.
Only the warm hit and its end do by hand what these two would do (`run_warm`, `rest`): they move a slot between open and
idle and touch nothing else. What is idle is kept in the order of becoming idle, so the next deadline is that of the
first, and nothing is pushed to a heap for each activation.

Memory: `free` is the limit less everything but the slots whose removal has started (docs/DESIGN.md D9); those are in
`removing`. A REMOVING slot where jobs still run counts as used: its Remove comes with the end of the last. One slot may
be above the limit, the *reserve*, made for a probe where there was no memory. It is charged nothing, so what it has is
nobody's loss, and it is removed as soon as nothing runs there.

Odd: an empty shelf of `open` may stay while its slots are at their concurrency; `unshelve` drops it.
"""

from collections import OrderedDict, deque
from enum import Enum

import msgspec

from upcall.core.events import ActionKey, Command, Job, Remove, SlotId, Start
from upcall.core.prewarm import Cell, CellKey, StemCell, cells_of, lose
from upcall.core.story import LENGTH, LIVES, Entry


class Phase(Enum):
    """Of a slot; the table of transitions is in `pool.py`."""

    CREATING = "creating"
    PREWARM = "prewarm"
    INITING = "initing"
    WARM = "warm"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    REMOVING = "removing"


class Mode(Enum):
    """Of the pool. RESERVED: the queue's head has waited so long that nobody overtakes it any more."""

    OPEN = "open"
    RESERVED = "reserved"
    DRAINING = "draining"


CREATING, PREWARM, INITING, WARM = Phase.CREATING, Phase.PREWARM, Phase.INITING, Phase.WARM
PAUSING, PAUSED, RESUMING, REMOVING = Phase.PAUSING, Phase.PAUSED, Phase.RESUMING, Phase.REMOVING

STEM: ActionKey = ""
"""The action of a slot that no job has claimed yet."""


class PoolConfig(msgspec.Struct, frozen=True):
    """Memory in MB, times in seconds. Upstream's keys: `whisk.container-pool` and `whisk.container-proxy.timeouts`."""

    memory: int
    """`user-memory`"""
    pause_grace: float = 10.0
    """Idle so long → paused; infinite where the driver cannot pause: then `idle_timeout` counts from the last run."""
    idle_timeout: float = 600.0
    """Paused so long → removed (`idle-container`)."""
    reserve_after: float = 1.0
    """How long jobs with a warm slot may overtake a head that waits for memory."""
    max_returns: int = 3
    """How often a job may come back from containers that refuse it before it is aborted."""
    prewarm: tuple[StemCell, ...] = ()
    prewarm_delay: float = 600.0
    """The first round (`prewarm-expiration-check-init-delay`)."""
    prewarm_check: float = 600.0
    """Between two rounds (`prewarm-expiration-check-interval`). Upstream adds up to 10 s at random to each so that its
    Invokers do not move in step; here the shell adds a random number to these two, once."""
    prewarm_limit: int = 100
    """Expired ones removed in one round at most (`prewarm-expiration-limit`)."""
    prewarm_retry: float = 10.0
    """Pause after a stem cell that did not come up or broke."""


class Slot(msgspec.Struct, eq=False):
    """One container. `charge` is what it takes of the limit: its memory, or nothing for the reserve. `waiting` are jobs
    bound to it that it has not got yet; `since` is when it became idle, paused or a ready stem cell; `start` is how the
    job that claimed it got it."""

    id: SlotId
    kind: str
    memory: int
    charge: int
    action: ActionKey = STEM
    concurrency: int = 1
    start: Start = "cold"
    phase: Phase = CREATING
    since: float = 0.0
    running: set[Job] = msgspec.field(default_factory=set)
    waiting: list[Job] = msgspec.field(default_factory=list)


Shelf = dict[SlotId, Slot]
Index = dict[ActionKey, Shelf]


class Pool(msgspec.Struct, eq=False):
    """Make it with `new_pool`. Shells may read `free`, `removing`, `slots`, `queue` and `mode`, and change nothing.
    `story` and `lives` are what happened (`upcall.core.story`)."""

    config: PoolConfig
    free: int
    cells: dict[CellKey, Cell]
    round_at: float
    mode: Mode = Mode.OPEN
    removing: int = 0
    reserve: SlotId = 0
    """The slot above the limit; 0 where there is none."""
    made: int = 0
    slots: Shelf = msgspec.field(default_factory=dict)
    open: Index = msgspec.field(default_factory=dict)
    asleep: Index = msgspec.field(default_factory=dict)
    joining: Index = msgspec.field(default_factory=dict)
    idle: OrderedDict[SlotId, Slot] = msgspec.field(default_factory=OrderedDict)
    paused: OrderedDict[SlotId, Slot] = msgspec.field(default_factory=OrderedDict)
    stems: dict[CellKey, OrderedDict[SlotId, Slot]] = msgspec.field(default_factory=dict)
    queue: OrderedDict[Job, None] = msgspec.field(default_factory=OrderedDict)
    backlog: dict[ActionKey, deque[Job]] = msgspec.field(default_factory=dict)
    """The queue by action; each in the queue's order."""
    story: deque[Entry] = msgspec.field(default_factory=lambda: deque(maxlen=LENGTH))
    lives: deque[Entry] = msgspec.field(default_factory=lambda: deque(maxlen=LIVES))


def new_pool(config: PoolConfig, now: float) -> Pool:
    """An empty pool. Its stem cells start with the first Tick, which is due at once."""
    cells = cells_of(config.prewarm, now)
    reactive = any(cell.config.reactive for cell in cells.values())
    return Pool(config, config.memory, cells, now + config.prewarm_delay if reactive else float("inf"))


def new_slot(pool: Pool, kind: str, memory: int) -> Slot:
    """Takes the memory; the caller shelves it."""
    pool.free -= memory
    return _add(pool, kind, memory, memory)


def new_reserve(pool: Pool, kind: str, memory: int) -> Slot:
    """Takes nothing, and there is no other; the caller shelves it."""
    slot = _add(pool, kind, memory, 0)
    pool.reserve = slot.id
    return slot


def _add(pool: Pool, kind: str, memory: int, charge: int) -> Slot:
    pool.made += 1
    slot = pool.slots[pool.made] = Slot(pool.made, kind, memory, charge)
    return slot


def drop(pool: Pool, slot: Slot) -> None:
    """It is gone."""
    del pool.slots[slot.id]
    if pool.reserve == slot.id:
        pool.reserve = 0


def shelve(pool: Pool, slot: Slot) -> None:
    """Put a slot that is in no index into those where it belongs."""
    room = len(slot.running) + len(slot.waiting) < slot.concurrency
    match slot.phase:
        case Phase.PREWARM:
            pool.stems.setdefault((slot.kind, slot.memory), OrderedDict())[slot.id] = slot
        case Phase.WARM:
            if room:
                pool.open.setdefault(slot.action, {})[slot.id] = slot
            if not slot.running:
                pool.idle[slot.id] = slot
        case Phase.PAUSED:
            pool.paused[slot.id] = slot
            pool.asleep.setdefault(slot.action, {})[slot.id] = slot
        case Phase.PAUSING if not slot.waiting:
            pool.asleep.setdefault(slot.action, {})[slot.id] = slot
        case Phase.CREATING | Phase.INITING | Phase.PAUSING | Phase.RESUMING if room and slot.action:
            pool.joining.setdefault(slot.action, {})[slot.id] = slot


def unshelve(pool: Pool, slot: Slot) -> None:
    """Take it out of all indexes, whatever its phase."""
    pool.idle.pop(slot.id, None)
    pool.paused.pop(slot.id, None)
    for index in (pool.open, pool.asleep, pool.joining):
        shelf = index.get(slot.action)
        if shelf is not None:
            shelf.pop(slot.id, None)
            if not shelf:
                del index[slot.action]
    stems = pool.stems.get((slot.kind, slot.memory))
    if stems is not None:
        stems.pop(slot.id, None)
        if not stems:
            del pool.stems[slot.kind, slot.memory]


def move(pool: Pool, slot: Slot, phase: Phase, now: float) -> None:
    """The transition of a slot whose jobs are as they are."""
    unshelve(pool, slot)
    slot.phase = phase
    slot.since = now
    shelve(pool, slot)


def run_warm(pool: Pool, shelf: Shelf, job: Job) -> Slot:
    """Give a job to the slot of its action's open shelf that was used last."""
    number, slot = shelf.popitem()
    running = slot.running
    if not running:
        del pool.idle[number]
    running.add(job)
    if len(running) < slot.concurrency:
        shelf[number] = slot
    return slot


def rest(pool: Pool, slot: Slot, now: float) -> None:
    """A job of a WARM slot has ended: it has room now, and may be idle."""
    if not slot.running:
        slot.since = now
        pool.idle[slot.id] = slot
    shelf = pool.open.get(slot.action)
    if shelf is None:
        pool.open[slot.action] = {slot.id: slot}
    else:
        shelf[slot.id] = slot


def remove(pool: Pool, slot: Slot) -> list[Command]:
    """Start a slot's removal. Where jobs still run there it takes no more, and this is called again after the last."""
    if slot.phase in (CREATING, PREWARM) and slot.action == STEM:
        lose(pool.cells[slot.kind, slot.memory])
    unshelve(pool, slot)
    slot.phase = REMOVING
    if slot.running:
        return []
    pool.free += slot.charge
    pool.removing += slot.charge
    return [Remove(slot.id)]
