"""core.pool's warm path: its cost as a ratio to plain dictionary work in the same process, and no scan in it.

The budget is 2 µs for a warm hit (docs/DESIGN.md). Wall time means nothing on a shared machine, so the gate
compares the best of many repeats with the best of a loop that does what a pool without any logic would do. Measured
here (CPython 3.11, 2 shared cores): 0.9 to 1.1 µs for an arrival and its end together, 7 times the calibration's round
(9 in a bad moment); the limit of 15 stands for the budget. A scan of 4,096 slots would cost some 60 times one of 64;
what is less is the processor's caches. The deadline costs 0.4 µs.
"""

from collections import deque
from time import perf_counter

from tests.unit.core.pool_builders import job
from upcall.core.events import Created, Inited, JobArrived, JobDone
from upcall.core.pool import Pool, PoolConfig, deadline, new_pool, step

ROUNDS, REPEATS = 2_000, 25
RATIO_LIMIT = 15.0
SCAN_LIMIT = 3.0


def a_warm_pool(slots: int) -> Pool:
    pool = new_pool(PoolConfig(slots * 128), 0.0)
    for number in range(1, slots + 1):
        one = job(f"action{number}", 128)
        for event in (JobArrived(one), Created(number), Inited(number), JobDone(number, one, True)):
            step(pool, event, 0.0)
    return pool


def hits(slots: int) -> tuple[Pool, list[tuple[JobArrived, JobDone]]]:
    """A pool, and arrivals with their ends for each of its actions in turn."""
    numbers = [1 + index % slots for index in range(ROUNDS)]
    jobs = [job(f"action{number}", 128) for number in numbers]
    pairs = [(JobArrived(one), JobDone(number, one, True)) for number, one in zip(numbers, jobs, strict=True)]
    return a_warm_pool(slots), pairs


def run_hits(pool: Pool, pairs: list[tuple[JobArrived, JobDone]]) -> float:
    """Seconds for each arrival and its end."""
    begin = perf_counter()
    for arrived, done in pairs:
        step(pool, arrived, 1.0)
        step(pool, done, 1.0)
    return (perf_counter() - begin) / ROUNDS


def run_calibration() -> float:
    """Seconds for a look-up, a take, a put and two notes."""
    free = {f"action{number}": {number: number} for number in range(64)}
    keys = [f"action{index % 64}" for index in range(ROUNDS)]
    notes: deque[tuple[str, int]] = deque(maxlen=256)
    begin = perf_counter()
    for key in keys:
        shelf = free[key]
        number, value = shelf.popitem()
        notes.append((key, number))
        shelf[number] = value
        notes.append((key, value))
    return (perf_counter() - begin) / ROUNDS


def measured() -> dict[str, float]:
    """The best of many, taken in turns so that other work on the machine hits all alike."""
    few, many = hits(64), hits(4096)
    best = dict.fromkeys(("calibration", "few", "many"), float("inf"))
    for _ in range(REPEATS):
        took = {"calibration": run_calibration(), "few": run_hits(*few), "many": run_hits(*many)}
        best = {name: min(best[name], took[name]) for name in best}
    return best


def test_a_warm_hit_stays_cheap_and_does_not_scan() -> None:
    """Once more if it fails: another process may have had the caches for all of one measurement."""
    best = measured()
    if best["few"] > RATIO_LIMIT * best["calibration"] or best["many"] > SCAN_LIMIT * best["few"]:
        best = measured()
    told = {name: f"{seconds * 1e6:.2f} us" for name, seconds in best.items()}
    assert best["few"] <= RATIO_LIMIT * best["calibration"], told
    assert best["many"] <= SCAN_LIMIT * best["few"], told


def test_the_deadline_does_not_scan() -> None:
    pools = [a_warm_pool(64), a_warm_pool(4096)]
    best = [float("inf")] * 2
    for _ in range(REPEATS):
        for index, pool in enumerate(pools):
            begin = perf_counter()
            for _ in range(500):
                deadline(pool)
            best[index] = min(best[index], perf_counter() - begin)
    assert best[1] <= 2 * best[0], best
