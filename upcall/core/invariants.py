"""What is true of a pool between any two steps; for tests and for debug mode, as it looks at everything.

Each index is compared with what the phases and jobs of all slots say (`slots.py` has the table), so a transition that
forgets one shows at once and not when the wrong slot is found in it.
"""

from collections import Counter
from itertools import chain

from upcall.core.events import ActionKey
from upcall.core.slots import STEM, Index, Mode, Phase, Pool, Slot


def check(pool: Pool) -> None:
    """Raises AssertionError."""
    for number, slot in pool.slots.items():
        assert number == slot.id
        _check_slot(slot)
    _check_memory(pool)
    _check_jobs(pool)
    _check_indexes(pool)
    _check_orders(pool)
    for key, cell in pool.cells.items():
        live = sum((slot.kind, slot.memory) == key and _is_stem(slot) for slot in pool.slots.values())
        assert cell.live == live, f"{cell} has {live} stem cells"


def _check_slot(slot: Slot) -> None:
    """What a phase says of the jobs."""
    running, waiting = len(slot.running), len(slot.waiting)
    assert running + waiting <= slot.concurrency or slot.phase is Phase.REMOVING, f"{slot} is over its concurrency"
    assert running <= slot.concurrency, f"{slot} is over its concurrency"
    if slot.phase is Phase.INITING:
        assert running == 1, f"{slot} has not exactly one job at /init"
    elif slot.phase not in (Phase.WARM, Phase.REMOVING):
        assert not running, f"{slot} runs jobs"
    if slot.phase not in (Phase.CREATING, Phase.INITING, Phase.PAUSING, Phase.RESUMING):
        assert not waiting, f"{slot} lets jobs wait"
    if slot.phase in (Phase.INITING, Phase.WARM, Phase.PAUSING, Phase.PAUSED, Phase.RESUMING):
        assert slot.action != STEM, f"{slot} has no action"


def _check_memory(pool: Pool) -> None:
    slots = pool.slots.values()
    removing = sum(slot.charge for slot in slots if slot.phase is Phase.REMOVING and not slot.running)
    used = sum(slot.charge for slot in slots) - removing
    assert used <= pool.config.memory, f"{used} MB of {pool.config.memory} are used"
    assert pool.free == pool.config.memory - used
    assert pool.removing == removing
    free_of_charge = [slot.id for slot in slots if slot.charge != slot.memory]
    assert free_of_charge == ([pool.reserve] if pool.reserve else []), "one slot at most is above the limit"
    assert not any(slot.charge == 0 for slot in chain(pool.idle.values(), pool.paused.values())), "the reserve is kept"


def _check_jobs(pool: Pool) -> None:
    """Each is at one place, and nothing waits that could be placed."""
    places = Counter(chain(pool.queue, *(chain(slot.running, slot.waiting) for slot in pool.slots.values())))
    assert all(count == 1 for count in places.values()), "a job is in two places"
    by_action: dict[ActionKey, list[str]] = {}
    for job in pool.queue:
        by_action.setdefault(job.action, []).append(job.id)
    assert {action: [job.id for job in jobs] for action, jobs in pool.backlog.items()} == by_action
    if pool.mode is Mode.DRAINING:
        assert not pool.queue
    elif pool.queue:
        head = next(iter(pool.queue))
        roomy = [pool.open, pool.asleep, pool.joining]
        placeable = list(pool.backlog) if pool.mode is Mode.OPEN else [head.action]
        assert not any(index.get(action) for index in roomy for action in placeable), "a job waits beside its slot"
        assert head.memory > pool.free, "the head waits though there is memory"
        assert (head.kind, head.memory) not in pool.stems, "the head waits beside a stem cell"
        assert not head.probe or pool.reserve, "a probe waits beside the reserve"
        idle = chain(pool.idle.values(), pool.paused.values(), *(stems.values() for stems in pool.stems.values()))
        assert head.memory > pool.free + sum(slot.memory for slot in idle), "the head waits beside idle slots"
    else:
        assert pool.mode is Mode.OPEN


def _check_indexes(pool: Pool) -> None:
    slots = pool.slots.values()
    warm = [slot for slot in slots if slot.phase is Phase.WARM]
    asleep = [slot for slot in slots if slot.phase in (Phase.PAUSED, Phase.PAUSING) and not slot.waiting]
    under_way = (Phase.CREATING, Phase.INITING, Phase.PAUSING, Phase.RESUMING)
    joining = [slot for slot in slots if slot.phase in under_way and slot not in asleep and not _is_stem(slot)]
    assert _shelved(pool.open) == {slot.id for slot in warm if _room(slot)}
    assert _shelved(pool.asleep) == {slot.id for slot in asleep}
    assert _shelved(pool.joining) == {slot.id for slot in joining if _room(slot)}
    assert set(pool.idle) == {slot.id for slot in warm if not slot.running}
    assert set(pool.paused) == {slot.id for slot in slots if slot.phase is Phase.PAUSED}
    ready = {slot.id for slot in slots if slot.phase is Phase.PREWARM}
    assert {number for stems in pool.stems.values() for number in stems} == ready
    actions = {slot.action for slot in warm}
    assert all(shelf or action in actions for action, shelf in pool.open.items()), "an empty shelf is left"
    assert all(chain(pool.asleep.values(), pool.joining.values(), pool.stems.values())), "an empty shelf is left"


def _check_orders(pool: Pool) -> None:
    for index in (pool.idle, pool.paused, *pool.stems.values()):
        times = [slot.since for slot in index.values()]
        assert times == sorted(times), "the oldest is not first"


def _shelved(index: Index) -> set[int]:
    for action, shelf in index.items():
        assert all(number == slot.id and slot.action == action for number, slot in shelf.items())
    return {number for shelf in index.values() for number in shelf}


def _room(slot: Slot) -> bool:
    return len(slot.running) + len(slot.waiting) < slot.concurrency


def _is_stem(slot: Slot) -> bool:
    return slot.action == STEM and slot.phase in (Phase.CREATING, Phase.PREWARM)
