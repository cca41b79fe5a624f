"""core.pool: stem cells in the pool (spec: container.md §6.4, invoker.md §11)."""

from tests.unit.core.pool_builders import a_pool, arrive, busy, job, play, stem, warm
from upcall.core.events import (
    Broken,
    Create,
    Created,
    CreateFailed,
    JobDone,
    Pull,
    Remove,
    Removed,
    Run,
    Tick,
)
from upcall.core.pool import Pool, PoolConfig, Reactive, StemCell, deadline, new_pool


def a_stem(slot: int, kind: str = "python:3", memory: int = 256) -> Create:
    return Create(slot, kind, memory, None)


def reactive(number: int = 1, least: int = 1, most: int = 3, ttl: float = 60.0) -> tuple[StemCell, ...]:
    return (StemCell("python:3", 256, number, Reactive(least, most, ttl, threshold=1, increment=1)),)


def live(pool: Pool) -> int:
    return sum(cell.live for cell in pool.cells.values())


def test_they_start_with_the_first_tick_in_their_order_as_far_as_memory_goes() -> None:
    cells = (StemCell("python:3", 256, 2), StemCell("go:1", 512, 2), StemCell("php:8", 128, 1))
    pool = new_pool(PoolConfig(1024, prewarm=cells), 5.0)
    assert deadline(pool) == 5.0
    assert play(pool, Tick(), 5.0) == [a_stem(1), a_stem(2), a_stem(3, "go:1", 512)]
    assert deadline(pool) is None


def test_one_that_is_used_is_replaced_at_once() -> None:
    one = job()
    pool = a_pool(prewarm=stem())
    assert arrive(pool, one) == [Run(1, one, init=True, fresh=False, start="prewarmed"), a_stem(2)]


def test_one_with_a_time_to_live_is_replaced_too_and_the_oldest_is_used_first() -> None:
    one, two = job("a"), job("b")
    pool = a_pool(prewarm=reactive(2))
    assert arrive(pool, one) == [Run(1, one, init=True, fresh=False, start="prewarmed"), a_stem(3)]
    play(pool, Created(3), 5.0)
    assert arrive(pool, two, now=6.0)[0] == Run(2, two, init=True, fresh=False, start="prewarmed")


def test_another_kind_or_another_memory_is_not_used() -> None:
    pool = a_pool(prewarm=stem("python:3", 256))
    kind, memory = job("a", kind="go:1"), job("b", memory=512)
    assert arrive(pool, kind, memory) == [Create(2, "go:1", 256, kind), Create(3, "python:3", 512, memory)]


def test_none_is_started_where_memory_is_used_up_until_some_is_free() -> None:
    one, two = job("a", kind="go:1"), job()
    pool = a_pool(busy(one), prewarm=stem(), memory=512)
    assert arrive(pool, two) == [Run(1, two, init=True, fresh=False, start="prewarmed")]
    assert play(pool, JobDone(2, one, False)) == [Pull(1), Remove(2), a_stem(3)]


def test_none_is_started_while_a_job_waits_for_memory() -> None:
    one, big = job("a", kind="go:1"), job("b", memory=768)
    pool = a_pool(busy(one), busy(job("c", kind="go:1", memory=512)), prewarm=stem())
    arrive(pool, job(), big)
    assert play(pool, JobDone(2, one, False)) == [Pull(1), Remove(2)]


def test_one_still_starting_is_not_used_but_serves_the_queue_when_it_is_ready() -> None:
    first, second = job("a"), job("b")
    pool = a_pool(prewarm=stem(), memory=512)
    assert arrive(pool, first, second) == [Run(1, first, init=True, fresh=False, start="prewarmed"), a_stem(2)]
    assert play(pool, Created(2)) == [Run(2, second, init=True, fresh=False, start="prewarmed")]


def test_one_that_is_evicted_comes_back_when_memory_is_free_again() -> None:
    one = job("big", memory=512, kind="go:1")
    pool = a_pool(prewarm=stem(), memory=512)
    assert arrive(pool, one) == [Remove(1), Create(2, "go:1", 512, one)]
    assert play(pool, Removed(1)) == []
    assert play(pool, CreateFailed(2))[-1] == a_stem(3)


def test_one_that_did_not_come_up_is_tried_again_after_a_while() -> None:
    pool = new_pool(PoolConfig(1024, prewarm=stem(), prewarm_retry=10.0), 0.0)
    play(pool, Tick())
    assert play(pool, CreateFailed(1), 3.0) == []
    assert deadline(pool) == 13.0
    assert play(pool, Tick(), 13.0) == [a_stem(2)]


def test_one_that_broke_is_replaced_after_a_while() -> None:
    pool = a_pool(prewarm=stem())
    assert play(pool, Broken(1), 3.0) == [Remove(1)]
    assert deadline(pool) == 13.0
    assert play(pool, Tick(), 13.0) == [a_stem(2)]


def test_plain_ones_do_not_expire() -> None:
    pool = a_pool(prewarm=stem())
    assert deadline(pool) is None
    assert play(pool, Tick(), 1e9) == []


def test_expired_ones_are_replaced_by_fresh_ones_also_below_the_least() -> None:
    pool = a_pool(prewarm=reactive(2))
    assert deadline(pool) == 600.0
    assert play(pool, Tick(), 600.0) == [Remove(1), Remove(2), a_stem(3)]
    assert deadline(pool) == 1200.0


def test_a_round_removes_the_oldest_up_to_its_limit() -> None:
    pool = a_pool(prewarm=reactive(3), prewarm_limit=2, prewarm_check=50.0)
    assert play(pool, Tick(), 600.0) == [Remove(1), Remove(2)]
    assert play(pool, Tick(), 650.0) == [Remove(3), a_stem(4)]


def test_those_not_expired_stay_though_fewer_are_wanted() -> None:
    pool = a_pool(prewarm=reactive(3, ttl=1000.0))
    assert play(pool, Tick(), 600.0) == []
    assert live(pool) == 3


def test_the_count_grows_with_cold_starts_and_shrinks_without() -> None:
    pool = a_pool(prewarm=reactive(1, ttl=5000.0), memory=4096)
    arrive(pool, job("a"), job("b"), job("c"))  # the stem cell, then two cold
    play(pool, Created(2), 1.0)
    assert play(pool, Tick(), 600.0) == [a_stem(5)]
    for slot in (3, 4, 5):
        play(pool, Created(slot), 601.0)
    assert play(pool, Tick(), 1200.0) == []
    assert [cell.wanted for cell in pool.cells.values()] == [1]


def test_a_start_in_evicted_memory_counts_as_cold() -> None:
    pool = a_pool(warm("x"), prewarm=reactive(1), memory=512)
    arrive(pool, job("a"))
    assert [cell.cold for cell in pool.cells.values()] == [0]
    arrive(pool, job("b"))
    assert [cell.cold for cell in pool.cells.values()] == [1]
