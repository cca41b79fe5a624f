"""core.pool: where a job goes, and who is served first (spec: container.md §6, invoker.md §11)."""

from tests.unit.core.pool_builders import (
    a_pool,
    arrive,
    busy,
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
    Broken,
    Create,
    Created,
    CreateFailed,
    Inited,
    JobDone,
    JobReturned,
    Paused,
    Pull,
    Remove,
    Removed,
    Resume,
    Resumed,
    Run,
    Tick,
)
from upcall.core.pool import load


def test_an_empty_pool_makes_a_slot() -> None:
    one = job()
    assert arrive(a_pool(), one) == [Create(1, "python:3", 256, one)]


def test_a_warm_slot_of_the_same_action_is_reused() -> None:
    one = job()
    assert arrive(a_pool(warm("hello")), one) == [warm_run(1, one)]


def test_another_namespace_name_or_version_is_another_action() -> None:
    pool = a_pool(warm("guest hello@1"))
    others = [job("other hello@1"), job("guest bye@1"), job("guest hello@2")]
    assert arrive(pool, *others) == [Create(slot, "python:3", 256, one) for slot, one in enumerate(others, 2)]


def test_a_slot_at_its_concurrency_takes_no_more() -> None:
    one = job()
    assert arrive(a_pool(busy(job())), one) == [Create(2, "python:3", 256, one)]


def test_jobs_run_side_by_side_up_to_the_concurrency() -> None:
    jobs = [job(concurrency=3) for _ in range(4)]
    pool = a_pool(warm(concurrency=3))
    assert arrive(pool, *jobs) == [
        warm_run(1, jobs[0]),
        warm_run(1, jobs[1], fresh=False),
        warm_run(1, jobs[2], fresh=False),
        Create(2, "python:3", 256, jobs[3]),
    ]
    assert play(pool, JobDone(1, jobs[1], True)) == [Pull(1)]
    again = job(concurrency=3)
    assert arrive(pool, again) == [warm_run(1, again, fresh=False)]


def test_the_slot_used_last_is_taken_first() -> None:
    pool = a_pool(busy(job()), busy(job()))
    first, second = (next(iter(pool.slots[slot].running)) for slot in (1, 2))
    play(pool, JobDone(2, second, True), 1.0)
    play(pool, JobDone(1, first, True), 2.0)
    one = job()
    assert arrive(pool, one) == [warm_run(1, one)]


def test_a_warm_slot_is_preferred_to_a_stem_cell() -> None:
    one = job()
    assert arrive(a_pool(warm("hello"), prewarm=stem()), one) == [warm_run(2, one)]


def test_a_warm_slot_is_preferred_to_a_paused_one() -> None:
    first, second, one = job(), job(), job()
    pool = a_pool(busy(first), busy(second))
    play(pool, JobDone(1, first, True), 0.0)
    play(pool, JobDone(2, second, True), 5.0)
    play(pool, Tick(), 10.0)
    play(pool, Paused(1), 10.0)
    assert arrive(pool, one, now=11.0) == [warm_run(2, one)]


def test_a_warm_slot_with_room_is_preferred_to_one_that_is_being_made() -> None:
    first, second, third, one = (job(concurrency=2) for _ in range(4))
    pool = a_pool(busy(first, second), creating(third))
    play(pool, JobDone(1, first, True))
    assert arrive(pool, one) == [warm_run(1, one, fresh=False)]


def test_a_paused_slot_is_preferred_to_one_that_is_being_made_and_waking_to_asleep() -> None:
    first, second, third, one, other = (job(concurrency=2) for _ in range(5))
    pool = a_pool(busy(first, second), creating(third))
    play(pool, JobDone(1, first, True))
    play(pool, JobDone(1, second, True))
    play(pool, Tick(), 10.0)
    play(pool, Paused(1), 10.0)
    assert arrive(pool, one, other, now=11.0) == [Resume(1)]
    assert play(pool, Resumed(1), 11.0) == [warm_run(1, one), warm_run(1, other)]


def test_a_job_joins_a_stem_cell_at_init() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(prewarm=stem())
    assert arrive(pool, first, second) == [
        Run(1, first, init=True, fresh=False, start="prewarmed"),
        Create(2, "python:3", 256, None),
    ]
    assert play(pool, Inited(1)) == [Run(1, second, init=False, fresh=False, start="warming")]


def test_a_job_joins_a_slot_that_is_being_made_for_its_action() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(creating(first))
    assert arrive(pool, second) == []
    assert play(pool, Created(1)) == [Run(1, first, init=True, fresh=False, start="cold")]
    assert play(pool, Inited(1)) == [Run(1, second, init=False, fresh=False, start="warmingCold")]


def test_a_slot_that_is_being_made_takes_no_more_than_its_concurrency() -> None:
    one = job(concurrency=2)
    pool = a_pool(creating(job(concurrency=2), job(concurrency=2)))
    assert arrive(pool, one) == [Create(2, "python:3", 256, one)]


def test_with_a_concurrency_of_one_nobody_waits_for_a_slot_at_init() -> None:
    one = job()
    assert arrive(a_pool(initing(job())), one) == [Create(2, "python:3", 256, one)]


def test_a_job_bigger_than_the_pool_is_refused_at_once() -> None:
    one = job(memory=2048)
    assert arrive(a_pool(), one) == [Abort(one, "too-big"), Pull(1)]


def test_the_slot_idle_longest_is_evicted_for_another_action() -> None:
    one = job("new")
    pool = a_pool(warm("b", at=0.0), warm("a", at=1.0), warm("c", at=2.0), warm("d", at=3.0))
    again = job("b")
    arrive(pool, again, now=4.0)
    play(pool, JobDone(1, again, True), 5.0)
    assert arrive(pool, one, now=6.0) == [Remove(2), Create(5, "python:3", 256, one)]
    play(pool, Removed(2), 6.0)
    assert play(pool, Created(5), 6.0) == [Run(5, one, init=True, fresh=False, start="recreated")]


def test_several_are_evicted_for_a_big_action_and_no_more_than_needed() -> None:
    one = job("big", memory=512)
    pool = a_pool(warm("a"), warm("b"), warm("c"), warm("d"))
    assert arrive(pool, one) == [Remove(1), Remove(2), Create(5, "python:3", 512, one)]


def test_nothing_is_evicted_while_there_is_space() -> None:
    one = job("new")
    assert arrive(a_pool(warm("a"), warm("b"), warm("c")), one) == [Create(4, "python:3", 256, one)]


def test_free_memory_counts_towards_the_need() -> None:
    one = job("new", memory=512)
    assert arrive(a_pool(warm("a"), warm("b"), warm("c")), one) == [Remove(1), Create(4, "python:3", 512, one)]


def test_paused_slots_are_evicted_before_idle_ones() -> None:
    one = job("new")
    pool = a_pool(paused("a"), warm("b", at=10.0), memory=512)
    assert arrive(pool, one, now=11.0) == [Remove(1), Create(3, "python:3", 256, one)]


def test_nothing_is_evicted_where_all_idle_slots_would_not_do() -> None:
    """Upstream evicts 128 here, creates 256 and has 640 MB of 512 in use."""
    one = job("new", memory=256)
    pool = a_pool(busy(job("a", memory=384)), warm("b", memory=128), memory=512)
    assert arrive(pool, one) == []
    assert load(pool) == 2


def test_slots_that_run_something_are_not_evicted() -> None:
    first, second = job("a", concurrency=5), job("a", concurrency=5)
    pool = a_pool(busy(first, second), memory=256)
    play(pool, JobDone(1, first, True))
    assert arrive(pool, job("b")) == []


def test_stem_cells_are_evicted_last() -> None:
    one, other = job("a", kind="go:1"), job("b", kind="go:1")
    pool = a_pool(warm("x"), prewarm=stem(), memory=512)
    assert arrive(pool, one) == [Remove(2), Create(3, "go:1", 256, one)]
    assert arrive(pool, other) == [Remove(1), Create(4, "go:1", 256, other)]


def test_evicted_memory_counts_as_free_when_its_removal_starts() -> None:
    pool = a_pool(warm("a"), memory=256)
    arrive(pool, job("b"))
    assert (pool.free, pool.removing) == (0, 256)
    play(pool, Removed(1))
    assert (pool.free, pool.removing) == (0, 0)


def test_a_slot_on_its_way_out_is_not_reused() -> None:
    pool = a_pool(warm("a"), memory=256)
    play(pool, Broken(1))
    one = job("a")
    assert arrive(pool, one) == [Create(2, "python:3", 256, one)]


def test_jobs_wait_where_there_is_no_space_and_are_served_in_their_order() -> None:
    first, second, third = job("a"), job("b"), job("c")
    pool = a_pool(busy(first), memory=256)
    assert arrive(pool, second, third) == []
    assert play(pool, JobDone(1, first, True)) == [Pull(1), Remove(1), Create(2, "python:3", 256, second)]
    play(pool, Created(2))
    play(pool, Inited(2))
    assert play(pool, JobDone(2, second, False)) == [Pull(1), Remove(2), Create(3, "python:3", 256, third)]


def test_the_next_in_the_queue_gets_the_warm_slot_before_the_feed_sends_more() -> None:
    first, second = job(), job()
    pool = a_pool(busy(first), memory=256)
    arrive(pool, second)
    assert play(pool, JobDone(1, first, True)) == [Pull(1), warm_run(1, second)]


def test_a_removal_serves_the_queue() -> None:
    first, second = job("a"), job("b")
    pool = a_pool(busy(first), memory=256)
    arrive(pool, second)
    assert play(pool, Broken(1)) == []
    assert play(pool, JobDone(1, first, False)) == [Pull(1), Remove(1), Create(2, "python:3", 256, second)]


def test_a_failed_creation_serves_the_queue() -> None:
    first, second = job("a"), job("b")
    pool = a_pool(creating(first), memory=256)
    arrive(pool, second)
    assert play(pool, CreateFailed(1, "no image")) == [
        Abort(first, "create", "no image"),
        Pull(1),
        Create(2, "python:3", 256, second),
    ]


def test_a_slot_that_has_just_been_paused_can_be_evicted() -> None:
    one = job("b")
    pool = a_pool(warm("a"), memory=256)
    play(pool, Tick(), 10.0)
    assert arrive(pool, one, now=10.0) == []
    assert play(pool, Paused(1), 10.1) == [Remove(1), Create(2, "python:3", 256, one)]


def test_a_job_with_a_warm_slot_overtakes_a_head_that_waits_for_memory() -> None:
    head, small = job("big", memory=1024), job("a")
    pool = a_pool(warm("a"), busy(job("b")))
    assert arrive(pool, head) == []
    assert arrive(pool, small) == [warm_run(1, small)]
    late = job("a")
    assert arrive(pool, late, now=0.5) == []
    assert play(pool, JobDone(1, small, True), 0.6) == [Pull(1), warm_run(1, late)]


def test_nobody_overtakes_for_memory() -> None:
    pool = a_pool(busy(job("a")))
    assert arrive(pool, job("big", memory=1024), job("b")) == []


def test_a_head_that_has_waited_reserves_what_is_freed_next() -> None:
    runs, head, late = job("b"), job("big", memory=1024), job("a")
    pool = a_pool(warm("a"), busy(runs), reserve_after=1.0)
    arrive(pool, head)
    assert arrive(pool, late, now=1.0) == []
    assert play(pool, JobDone(2, runs, True), 1.5) == [Pull(1), Remove(1), Remove(2), Create(3, "python:3", 1024, head)]


def test_what_waited_behind_a_reservation_gets_its_warm_slot_when_it_ends() -> None:
    first, second, head, young, late = job("x", 512), job("a"), job("x", 512), job("c", 512), job("a")
    pool = a_pool(busy(first), busy(second), busy(job("b")), reserve_after=1.0)
    arrive(pool, head, now=0.0)
    arrive(pool, young, now=1.4)
    assert play(pool, JobDone(2, second, True), 1.5) == [Pull(1)]
    assert arrive(pool, late, now=1.6) == []
    assert play(pool, JobDone(1, first, True), 1.7) == [Pull(1), warm_run(1, head), warm_run(2, late)]
    assert list(pool.queue) == [young]


def test_a_returned_job_is_the_new_head_and_gives_no_unit_back() -> None:
    first, second = job("a"), job("b")
    pool = a_pool(busy(first), memory=256)
    arrive(pool, second)
    assert play(pool, JobReturned(1, first)) == [Remove(1), Create(2, "python:3", 256, first)]
    assert first.returns == 1


def test_a_job_returned_too_often_is_aborted() -> None:
    one = job()
    pool = a_pool(busy(one), max_returns=1)
    play(pool, JobReturned(1, one))
    play(pool, Created(2))
    assert play(pool, JobReturned(2, one, "503")) == [Remove(2), Abort(one, "returned", "503"), Pull(1)]


def test_a_paused_slot_wakes_for_its_action() -> None:
    one = job()
    pool = a_pool(paused())
    assert arrive(pool, one) == [Resume(1)]
    assert play(pool, Resumed(1)) == [warm_run(1, one)]
