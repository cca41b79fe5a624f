"""The Invoker's counts and its pool as metrics (`upcall.metrics`). Gauges are counted when somebody asks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.core.prewarm import CellKey
from upcall.core.slots import STEM, Phase, Pool, Slot
from upcall.invoker.counters import Counters
from upcall.measures import Histogram, many, one
from upcall.model.activation import STATUS
from upcall.model.sizes import MB

if TYPE_CHECKING:
    from prometheus_client import Metric

_GAUGES = {
    "active": (names.ACTIVE_COUNT, names.ACTIVE_SIZE),
    "idles": (names.IDLES_COUNT, names.IDLES_SIZE),
    "prewarm": (names.PREWARM_COUNT, names.PREWARM_SIZE),
}


def metrics(counters: Counters, pool: Pool, retries: int = 0, tags: bool = True) -> Iterator["Metric"]:
    """Everything that one Invoker has to say; `retries` are those of containers that there are."""
    yield from _activations(counters)
    yield from _by_action(counters, tags)
    lost = [((state,), number) for state, number in counters.lost.items()]
    yield from many(names.HEALTH_FAILED, lost, tags=tags)
    yield from one(names.RETRIES, counters.retries + retries)
    yield from one(names.CONTAINER_FAILURES, counters.container_failures)
    yield from many(names.CONTAINER_TIMES, [((each,), times) for each, times in counters.container_times.items()])
    for name, numbers in ((names.COLDSTARTS, counters.coldstarts), (names.EXPIRED, counters.expired)):
        yield from many(name, [_cell(key, numbers.get(key, 0)) for key in pool.cells], tags=tags)
    yield from _pool(pool)


def _activations(counters: Counters) -> Iterator["Metric"]:
    yield from one(names.ACTIVATIONS, counters.activations)
    yield from one(names.CACHE_HITS, counters.cache_hits)
    yield from one(names.CACHE_MISSES, counters.cache_misses)
    yield from one(names.REFUSED, counters.refused)
    yield from one(names.ABORTED, counters.aborted)
    yield from one(names.RETURNED, counters.rescheduled)
    yield from one(names.BUFFERED, counters.buffered)
    yield from one(names.WAITS, counters.waits + _at_once(counters.unwaited))
    yield from one(names.INITS, counters.inits)
    yield from one(names.INIT_TIMES, counters.init_times)
    yield from one(names.INIT_ERRORS, counters.init_error_times.count)
    yield from one(names.INIT_ERROR_TIMES, counters.init_error_times)
    yield from one(names.RUNS, counters.runs)
    yield from one(names.RUN_TIMES, counters.run_times)
    yield from one(names.RUN_ERRORS, counters.run_error_times.count)
    yield from one(names.RUN_ERROR_TIMES, counters.run_error_times)
    collected = counters.collect_times + _at_once(counters.collected_at_once)
    yield from one(names.COLLECTIONS, collected.count + counters.collect_error_times.count)
    yield from one(names.COLLECT_TIMES, collected)
    yield from one(names.COLLECT_ERRORS, counters.collect_error_times.count)
    yield from one(names.COLLECT_ERROR_TIMES, counters.collect_error_times)


def _by_action(counters: Counters, tags: bool) -> Iterator["Metric"]:
    starts = [
        ((start, *tally.name), count)
        for tally in counters.tallies.all()
        for start, count in tally.starts.items()
        if count
    ]
    yield from many(names.STARTS, starts, tags=tags)
    yield from many(names.ENDED, [((status,), count) for status, count in zip(STATUS, counters.outcomes, strict=True)])


def _pool(pool: Pool) -> Iterator["Metric"]:
    for kind, (number, memory) in _held(pool).items():
        count, size = _GAUGES[kind]
        yield from one(count, number)
        yield from one(size, memory * MB)
    waiting = [job.memory for job in pool.queue]
    yield from one(names.BUFFER_COUNT, len(waiting))
    yield from one(names.BUFFER_SIZE, sum(waiting) * MB)
    yield from many(names.CONTAINERS, [((phase,), number) for phase, number in by_phase(pool).items()])
    yield from one(names.POOL_LIMIT, pool.config.memory * MB)
    yield from one(names.POOL_PROMISED, (pool.config.memory - pool.free) * MB)
    yield from one(names.POOL_REMOVING, pool.removing * MB)
    yield from one(names.POOL_RESERVE, pool.slots[pool.reserve].memory * MB if pool.reserve else 0)
    yield from one(names.POOL_FREE, pool.free * MB)


def by_phase(pool: Pool) -> dict[str, int]:
    """How many containers are in which phase."""
    found = dict.fromkeys((phase.value for phase in Phase), 0)
    for slot in pool.slots.values():
        found[slot.phase.value] += 1
    return found


def _held(pool: Pool) -> dict[str, tuple[int, int]]:
    """Number of containers and their MB."""
    found = dict.fromkeys(_GAUGES, (0, 0))
    for slot in pool.slots.values():
        if slot.phase is not Phase.REMOVING:
            kind = _kind(slot)
            number, memory = found[kind]
            found[kind] = number + 1, memory + slot.memory
    return found


def _kind(slot: Slot) -> str:
    if slot.action == STEM:
        return "prewarm"
    at_rest = slot.phase in (Phase.WARM, Phase.PAUSING, Phase.PAUSED) and not slot.running and not slot.waiting
    return "idles" if at_rest else "active"


def _cell(key: CellKey, count: int) -> tuple[tuple[str, str], int]:
    kind, memory = key
    return (str(memory), kind), count


def _at_once(count: int) -> Histogram:
    """What took so little that it was not timed."""
    found = Histogram()
    found.counts[0] = count
    return found
