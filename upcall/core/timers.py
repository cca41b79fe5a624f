"""What time does to a pool: pause, removal of what sleeps too long, rounds and retries of stem cells.

There is no period. `deadline` says when the next thing is due; a Tick at that time or later does all that is due, a
Tick before it does nothing. After a Tick the deadline is later than its `now`, or None; so it is while the pool drains.

| what is due                 | when                                     | then                                       |
|-----------------------------|------------------------------------------|--------------------------------------------|
| the longest idle slot       | `pause_grace` after it became idle       | Pause                                      |
| the same, grace is infinite | `idle_timeout` after it became idle      | Remove                                     |
| the longest paused slot     | `idle_timeout` after it was paused       | Remove                                     |
| round of the stem cells     | `round_at`                               | Remove the expired; new counts (`prewarm`) |
| a cell that failed          | its `retry_at`                           | it may be refilled                         |

A head that waits needs no timer: when it reserves, nothing has changed that could place it; the next event counts.
"""

from upcall.core.events import Command, Create, Pause
from upcall.core.prewarm import begin_round, short
from upcall.core.slots import PAUSING, Mode, Pool, Slot, move, new_slot, remove, shelve

NEVER = float("inf")


def deadline(pool: Pool) -> float | None:
    """When the next Tick is due. A shell may leave a timer armed for an earlier time, and ask again when it fires."""
    if pool.mode is Mode.DRAINING:
        return None
    config, due = pool.config, pool.round_at
    if pool.idle:
        due = min(due, next(iter(pool.idle.values())).since + _patience(pool))
    if pool.paused:
        due = min(due, next(iter(pool.paused.values())).since + config.idle_timeout)
    for cell in pool.cells.values():
        if cell.retry_at is not None and cell.retry_at < due:
            due = cell.retry_at
    return None if due == NEVER else due


def pass_time(pool: Pool, now: float) -> list[Command]:
    """All that is due."""
    commands: list[Command] = []
    while pool.paused and (slot := next(iter(pool.paused.values()))).since + pool.config.idle_timeout <= now:
        commands += remove(pool, slot)
    while pool.idle and (slot := next(iter(pool.idle.values()))).since + _patience(pool) <= now:
        commands += _give_up(pool, slot, now)
    for cell in pool.cells.values():
        if cell.retry_at is not None and cell.retry_at <= now:
            cell.retry_at = None
    if pool.round_at <= now:
        commands += _round(pool, now)
    return commands


def refill(pool: Pool) -> list[Command]:
    """Start the stem cells that are wanted and fit into free memory. For nobody's need is anything evicted here."""
    commands: list[Command] = []
    for cell in pool.cells.values():
        while short(cell) and cell.config.memory <= pool.free:
            slot = new_slot(pool, cell.config.kind, cell.config.memory)
            shelve(pool, slot)
            cell.live += 1
            commands.append(Create(slot.id, slot.kind, slot.memory, None))
    return commands


def _patience(pool: Pool) -> float:
    config = pool.config
    return config.pause_grace if config.pause_grace != NEVER else config.idle_timeout


def _give_up(pool: Pool, slot: Slot, now: float) -> list[Command]:
    if pool.config.pause_grace == NEVER:
        return remove(pool, slot)
    move(pool, slot, PAUSING, now)
    return [Pause(slot.id)]


def _round(pool: Pool, now: float) -> list[Command]:
    expired = sorted(
        (slot.since + cell.ttl, slot.id)
        for key, cell in pool.cells.items()
        for slot in pool.stems.get(key, {}).values()
        if slot.since + cell.ttl <= now
    )
    commands: list[Command] = []
    for _, number in expired[: pool.config.prewarm_limit]:
        commands += remove(pool, pool.slots[number])
    for cell in pool.cells.values():
        begin_round(cell)
    pool.round_at = now + pool.config.prewarm_check
    return commands
