"""core.pool: a controller's probe is first, has a slot where memory is full, and costs the tenants nothing."""

from tests.unit.core.pool_builders import (
    a_pool,
    arrive,
    busy,
    cold_run,
    creating,
    initing,
    job,
    paused,
    play,
    stem,
    warm,
    warm_run,
)
from upcall.core.events import (
    Abort,
    Create,
    Created,
    CreateFailed,
    Drained,
    Inited,
    Job,
    JobDone,
    JobReturned,
    Pull,
    Remove,
    Removed,
    Resume,
    Run,
)
from upcall.core.slots import Mode, Pool


def a_probe(memory: int = 128) -> Job:
    probe = job("probe", memory)
    probe.probe = True
    return probe


def a_full_pool() -> Pool:
    return a_pool(busy(job("a", 512)), busy(job("b", 512)))


def test_a_probe_starts_above_the_limit_where_memory_is_full() -> None:
    pool, probe = a_full_pool(), a_probe()
    assert arrive(pool, probe) == [Create(3, "python:3", 128, probe)]
    assert pool.free == 0
    assert play(pool, Created(3)) == [cold_run(3, probe)]


def test_the_reserve_goes_when_its_probe_has_ended_and_nobody_gets_its_memory() -> None:
    pool, probe, waiting = a_full_pool(), a_probe(), job("c", 128)
    arrive(pool, probe, waiting)
    play(pool, Created(3))
    play(pool, Inited(3))
    assert play(pool, JobDone(3, probe, True)) == [Pull(1), Remove(3)]
    assert play(pool, Removed(3)) == []
    assert (pool.free, pool.removing, pool.reserve) == (0, 0, 0)
    assert list(pool.queue) == [waiting]


def test_the_reserve_is_not_kept_where_nobody_waits_either() -> None:
    pool, probe = a_full_pool(), a_probe()
    arrive(pool, probe)
    play(pool, Created(3))
    play(pool, Inited(3))
    assert play(pool, JobDone(3, probe, True)) == [Pull(1), Remove(3)]


def test_a_probe_is_before_those_that_wait() -> None:
    pool, first, probe, second = a_full_pool(), job("c", 256), a_probe(), a_probe()
    arrive(pool, first, probe, second)
    assert list(pool.queue) == [second, first], "the reserve has one slot"
    running = next(iter(pool.slots[1].running))
    assert play(pool, JobDone(1, running, True)) == [
        Pull(1),
        Remove(1),
        Create(4, "python:3", 128, second),
        *a_create(5, first),
    ]


def a_create(slot: int, one: Job) -> list[Create]:
    return [Create(slot, one.kind, one.memory, one)]


def test_a_second_probe_waits_for_the_reserve() -> None:
    pool, probe, second = a_full_pool(), a_probe(), a_probe()
    arrive(pool, probe, second)
    play(pool, Created(3))
    play(pool, Inited(3))
    assert play(pool, JobDone(3, probe, False)) == [Pull(1), Remove(3)]
    assert play(pool, Removed(3)) == a_create(4, second)
    assert pool.reserve == 4


def test_the_second_probe_of_one_action_takes_the_reserve_over_when_the_first_has_ended() -> None:
    pool, probe, second = a_full_pool(), a_probe(), a_probe()
    arrive(pool, probe, second)
    play(pool, Created(3))
    play(pool, Inited(3))
    assert play(pool, JobDone(3, probe, True)) == [Pull(1), Remove(3)]
    assert list(pool.queue) == [second]
    assert play(pool, Removed(3)) == a_create(4, second)


def test_a_probe_takes_its_warm_slot_a_paused_one_a_stem_cell_and_free_memory_before_the_reserve() -> None:
    pool, probe = a_pool(warm("probe", 128), busy(job("a", 512))), a_probe()
    assert arrive(pool, probe) == [warm_run(1, probe)]
    pool = a_pool(paused("probe", 128))
    assert arrive(pool, a_probe(), now=10.0) == [Resume(1)]
    pool, probe = a_pool(memory=128, prewarm=stem("python:3", 128)), a_probe()
    assert [type(command) for command in arrive(pool, probe)] == [Run]
    pool = a_pool(busy(job("a", 512)))
    arrive(pool, a_probe())
    assert (pool.free, pool.reserve) == (384, 0)


def test_nobody_is_evicted_for_a_probe_as_long_as_the_reserve_is_free() -> None:
    pool, probe, second = a_pool(warm("a", 512), warm("b", 512)), a_probe(), a_probe()
    assert arrive(pool, probe) == a_create(3, probe)
    assert arrive(pool, second) == [Remove(1), *a_create(4, second)]


def test_a_probe_ends_no_reservation_of_the_head_behind_it() -> None:
    pool, big, small, probe = a_full_pool(), job("c", 1024), job("a", 512), a_probe()
    arrive(pool, a_probe(), big)
    arrive(pool, small, now=5.0)
    assert pool.mode is Mode.RESERVED
    arrive(pool, probe, now=5.0)
    assert pool.mode is Mode.RESERVED
    assert list(pool.queue) == [probe, big, small]


def test_the_reserve_that_does_not_come_up_ends_its_probe_and_is_free_again() -> None:
    pool, probe = a_full_pool(), a_probe()
    arrive(pool, probe)
    assert play(pool, CreateFailed(3, "cause")) == [Abort(probe, "create", "cause"), Pull(1)]
    assert (pool.free, pool.reserve) == (0, 0)


def test_a_probe_that_comes_back_is_tried_again_when_the_reserve_is_gone() -> None:
    pool, probe = a_full_pool(), a_probe()
    arrive(pool, probe)
    play(pool, Created(3))
    assert play(pool, JobReturned(3, probe)) == [Remove(3)]
    assert play(pool, Removed(3)) == a_create(4, probe)


def test_a_pool_that_drains_takes_no_probe_and_lets_go_of_the_reserve() -> None:
    pool, probe = a_pool(initing(job("a", 1024))), a_probe()
    arrive(pool, probe)
    assert play(pool, Drained()) == [Abort(probe, "drain"), Pull(1)]
    assert play(pool, Created(2)) == [Remove(2)]
    assert arrive(pool, late := a_probe()) == [Abort(late, "drain"), Pull(1)]


def test_a_probe_larger_than_the_pool_is_refused() -> None:
    pool = a_pool(creating(job("a", 128)), memory=128)
    probe = a_probe(256)
    assert arrive(pool, probe) == [Abort(probe, "too-big"), Pull(1)]
