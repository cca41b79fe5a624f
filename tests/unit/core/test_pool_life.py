"""core.pool: the life of a slot (spec: container.md §7, invoker.md §11 ContainerProxy)."""

from math import inf

import pytest

from tests.unit.core.pool_builders import (
    Builder,
    a_pool,
    arrive,
    busy,
    cold_run,
    creating,
    initing,
    job,
    paused,
    pausing,
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
    Drained,
    Event,
    Inited,
    JobArrived,
    JobDone,
    JobReturned,
    Pause,
    Paused,
    Pull,
    Remove,
    Removed,
    Resume,
    Resumed,
    Run,
    Strained,
    Tick,
)
from upcall.core.pool import deadline, load
from upcall.core.slots import Phase
from upcall.errors import InvalidTransition


def test_the_full_cycle_of_a_slot() -> None:
    one = job()
    pool = a_pool()
    assert arrive(pool, one) == [Create(1, "python:3", 256, one)]
    assert play(pool, Created(1), 1.0) == [cold_run(1, one)]
    assert play(pool, Inited(1), 2.0) == []
    assert play(pool, JobDone(1, one, True), 3.0) == [Pull(1)]
    assert deadline(pool) == 13.0
    assert play(pool, Tick(), 13.0) == [Pause(1)]
    assert deadline(pool) is None
    assert play(pool, Paused(1), 14.0) == []
    assert deadline(pool) == 614.0
    assert play(pool, Tick(), 614.0) == [Remove(1)]
    assert play(pool, Removed(1), 615.0) == []
    assert (pool.slots, pool.free, deadline(pool)) == ({}, 1024, None)


def test_two_runs_within_the_grace_have_no_pause_between() -> None:
    one = job()
    pool = a_pool(warm(at=0.0))
    assert arrive(pool, one, now=9.9) == [warm_run(1, one)]
    assert deadline(pool) is None
    assert play(pool, Tick(), 10.0) == []
    play(pool, JobDone(1, one, True), 11.0)
    assert deadline(pool) == 21.0


def test_a_tick_too_early_does_nothing() -> None:
    pool = a_pool(warm(at=0.0))
    assert play(pool, Tick(), 9.9) == []


def test_a_job_wakes_a_paused_slot_and_its_run_is_fresh() -> None:
    one = job()
    pool = a_pool(paused())
    assert arrive(pool, one, now=20.0) == [Resume(1)]
    assert play(pool, Resumed(1), 20.1) == [warm_run(1, one)]


def test_a_job_that_comes_during_the_pause_resumes_right_after_it() -> None:
    one = job()
    pool = a_pool(pausing())
    assert arrive(pool, one, now=10.0) == []
    assert play(pool, Paused(1), 10.1) == [Resume(1)]
    assert play(pool, Resumed(1), 10.2) == [warm_run(1, one)]


def test_a_slot_claimed_during_its_pause_takes_as_many_as_it_has_room_for() -> None:
    first, second, third = (job(concurrency=2) for _ in range(3))
    pool = a_pool(pausing(concurrency=2))
    assert arrive(pool, first, second, third, now=10.0) == [Create(2, "python:3", 256, third)]
    assert play(pool, Paused(1), 10.1) == [Resume(1)]
    assert play(pool, Resumed(1), 10.2) == [warm_run(1, first), warm_run(1, second)]


def test_where_pausing_is_off_the_idle_timeout_counts_from_the_last_run() -> None:
    pool = a_pool(warm(at=5.0), pause_grace=inf)
    assert deadline(pool) == 605.0
    assert play(pool, Tick(), 604.0) == []
    assert play(pool, Tick(), 605.0) == [Remove(1)]


def test_the_first_run_after_idle_that_is_refused_goes_elsewhere() -> None:
    one = job()
    pool = a_pool(busy(job()), warm())
    assert arrive(pool, one, now=1.0) == [warm_run(2, one)]
    assert play(pool, JobReturned(2, one), 1.0) == [Remove(2), Create(3, "python:3", 256, one)]
    assert load(pool) == 2


def test_a_slot_stays_while_others_run_and_is_removed_after_the_last() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(busy(first, second))
    assert play(pool, JobDone(1, first, False)) == [Pull(1)]
    assert pool.slots[1].phase is Phase.REMOVING
    assert pool.free == 768
    assert play(pool, JobDone(1, second, True)) == [Pull(1), Remove(1)]


def test_a_job_returned_by_a_slot_where_others_run_goes_elsewhere_at_once() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(busy(first, second))
    assert play(pool, JobReturned(1, first)) == [Create(2, "python:3", 256, first)]
    assert play(pool, JobReturned(1, second)) == [Remove(1)]  # it joins the slot that is being made
    assert play(pool, Created(2)) == [cold_run(2, first)]


def test_a_failed_init_ends_those_that_wait_with_the_same_response() -> None:
    first, second, third = (job(concurrency=3) for _ in range(3))
    pool = a_pool(initing(first, second, third))
    assert play(pool, JobDone(1, first, False, "syntax error")) == [
        Pull(1),
        Abort(second, "init", "syntax error"),
        Abort(third, "init", "syntax error"),
        Pull(2),
        Remove(1),
    ]


def test_a_failed_init_without_a_known_response_ends_them_too() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(initing(first, second))
    assert play(pool, JobDone(1, first, False)) == [Pull(1), Abort(second, "init"), Pull(1), Remove(1)]


def test_a_failed_creation_ends_all_that_wait_for_it() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(creating(first, second))
    assert play(pool, CreateFailed(1, "no image")) == [
        Abort(first, "create", "no image"),
        Abort(second, "create", "no image"),
        Pull(2),
    ]
    assert (pool.slots, pool.free) == ({}, 1024)


def test_a_container_refused_at_init_gives_all_its_jobs_back_in_order() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(initing(first, second), memory=256)
    assert play(pool, JobReturned(1, first)) == [Remove(1), Create(2, "python:3", 256, first)]
    assert pool.slots[2].waiting == [first, second]


def test_an_application_error_keeps_the_container_and_a_developer_error_does_not() -> None:
    one, two = job(), job()
    pool = a_pool(busy(one), busy(two))
    assert play(pool, JobDone(1, one, True)) == [Pull(1)]
    assert play(pool, JobDone(2, two, False)) == [Pull(1), Remove(2)]


def test_a_paused_container_that_died_gives_its_job_back() -> None:
    one = job()
    pool = a_pool(paused())
    arrive(pool, one, now=20.0)
    assert play(pool, Broken(1), 20.1) == [Remove(1), Create(2, "python:3", 256, one)]
    assert one.returns == 0


def test_a_failed_pause_removes_the_slot() -> None:
    pool = a_pool(pausing())
    assert play(pool, Broken(1), 10.1) == [Remove(1)]


def test_a_failed_pause_gives_the_job_that_came_meanwhile_back() -> None:
    one = job()
    pool = a_pool(pausing())
    arrive(pool, one, now=10.0)
    assert play(pool, Broken(1), 10.1) == [Remove(1), Create(2, "python:3", 256, one)]


@pytest.mark.parametrize("build", [warm(), paused()])
def test_an_idle_container_that_died_is_removed(build: Builder) -> None:
    pool = a_pool(build)
    assert play(pool, Broken(1), 20.0) == [Remove(1)]


def test_a_container_that_dies_under_its_jobs_is_removed_when_all_have_ended() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(busy(first, second))
    assert play(pool, Broken(1)) == []
    assert play(pool, JobDone(1, first, False)) == [Pull(1)]
    assert play(pool, JobDone(1, second, False)) == [Pull(1), Remove(1)]


def test_a_container_that_dies_at_init_gives_those_that_wait_back() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(initing(first, second))
    assert play(pool, Broken(1)) == [Create(2, "python:3", 256, second)]
    assert play(pool, Inited(1)) == []
    assert play(pool, JobDone(1, first, False)) == [Pull(1), Remove(1)]


@pytest.mark.parametrize("event", [Broken(1), Paused(1), Resumed(1)])
def test_what_is_heard_late_of_a_dead_slot_changes_nothing(event: Event) -> None:
    pool = a_pool(warm())
    play(pool, Broken(1))
    assert play(pool, event) == []
    play(pool, Removed(1))
    assert play(pool, event) == []


def test_a_death_during_creation_is_left_to_the_answer_of_create() -> None:
    one = job()
    pool = a_pool(creating(one))
    assert play(pool, Broken(1)) == []
    assert play(pool, CreateFailed(1, "dead")) == [Abort(one, "create", "dead"), Pull(1)]


MISFITS: list[tuple[Builder, Event]] = [
    (warm(), Created(1)),
    (warm(), CreateFailed(1)),
    (warm(), Inited(1)),
    (warm(), Paused(1)),
    (warm(), Resumed(1)),
    (warm(), Removed(1)),
    (warm(), JobDone(1, job(), True)),
    (warm(), JobReturned(1, job())),
    (warm(), Removed(2)),
    (warm(), Broken(2)),
    (creating(job()), Inited(1)),
    (initing(job()), Created(1)),
    (pausing(), Resumed(1)),
    (paused(), Paused(1)),
]


@pytest.mark.parametrize(("build", "event"), MISFITS, ids=lambda each: getattr(each, "__qualname__", repr(each)))
def test_an_event_that_does_not_fit_is_an_error(build: Builder, event: Event) -> None:
    pool = a_pool(build)
    with pytest.raises(InvalidTransition, match="does not fit"):
        play(pool, event)


def test_a_job_at_init_cannot_succeed_before_inited() -> None:
    one = job()
    with pytest.raises(InvalidTransition):
        play(a_pool(initing(one)), JobDone(1, one, True))


def test_a_slot_where_jobs_run_cannot_be_gone() -> None:
    pool = a_pool(busy(job()))
    play(pool, Broken(1))
    with pytest.raises(InvalidTransition):
        play(pool, Removed(1))


def test_an_error_tells_the_story_of_slot_and_job_but_no_payload() -> None:
    one = job()
    one.task = "secret"
    pool = a_pool(busy(job("other")), busy(one))
    play(pool, JobDone(2, one, True), 7.0)
    with pytest.raises(InvalidTransition) as raised:
        play(pool, JobDone(2, one, True), 8.0)
    text = str(raised.value)
    assert f"0.000 → Run slot=2 job={one.id}" in text
    assert f"7.000 JobDone → Pull slot=2 job={one.id}" in text
    assert "slot=1" not in text
    assert "secret" not in text


def test_draining_removes_what_is_idle_and_aborts_what_waits() -> None:
    runs, waits = job("a"), job("b")
    pool = a_pool(busy(runs), paused("c"), warm("d"), prewarm=stem("go:1"))
    big = job("big", memory=1024)
    arrive(pool, big, waits)
    assert play(pool, Drained(), 20.0) == [
        Abort(big, "drain"),
        Abort(waits, "drain"),
        Pull(2),
        Remove(1),
        Remove(3),
        Remove(4),
    ]
    assert play(pool, JobDone(2, runs, True), 21.0) == [Pull(1), Remove(2)]
    for slot in (1, 2, 3, 4):
        assert play(pool, Removed(slot), 22.0) == []
    assert (pool.slots, load(pool), deadline(pool)) == ({}, 0, None)


def test_where_no_container_can_be_made_half_of_those_at_rest_go_the_longest_first() -> None:
    pool = a_pool(
        paused("d"), busy(job("a")), warm("b", at=20.0), warm("c", at=21.0), prewarm=stem("go:1"), memory=2048
    )
    assert play(pool, Strained(), 22.0) == [Remove(2), Remove(4)]
    assert play(pool, Strained(), 22.0) == [Remove(5)]
    assert play(pool, Strained(), 22.0) == [], "what runs stays, and what waits to be used"


def test_a_draining_pool_takes_no_job_and_drains_once() -> None:
    one = job()
    pool = a_pool(warm(concurrency=2))
    first = job(concurrency=2)
    arrive(pool, first)
    assert play(pool, Drained()) == []
    assert play(pool, Drained()) == []
    assert play(pool, JobArrived(one)) == [Abort(one, "drain"), Pull(1)]
    assert play(pool, JobReturned(1, first)) == [Remove(1), Abort(first, "drain"), Pull(1)]


def test_draining_aborts_those_that_wait_for_a_slot_and_removes_it_when_it_answers() -> None:
    one, two, three = job("a"), job("b", concurrency=2), job("b", concurrency=2)
    pool = a_pool(creating(one), initing(two, three))
    assert play(pool, Drained()) == [Abort(one, "drain"), Abort(three, "drain"), Pull(2)]
    assert play(pool, Created(1)) == [Remove(1)]
    assert play(pool, Inited(2)) == []
    assert play(pool, JobDone(2, two, True)) == [Pull(1), Remove(2)]


def test_draining_removes_a_slot_between_pause_and_resume_when_it_answers() -> None:
    one, two = job("a"), job("b")
    pool = a_pool(warm("a"), warm("b"))
    play(pool, Tick(), 10.0)
    play(pool, Paused(2), 10.0)
    arrive(pool, one, two, now=10.0)
    assert play(pool, Drained(), 10.0) == [Abort(one, "drain"), Abort(two, "drain"), Pull(2)]
    assert play(pool, Paused(1), 11.0) == [Remove(1)]
    assert play(pool, Resumed(2), 11.0) == [Remove(2)]


def test_a_run_with_others_is_not_fresh() -> None:
    first, second = job(concurrency=2), job(concurrency=2)
    pool = a_pool(warm(concurrency=2))
    assert arrive(pool, first, second) == [warm_run(1, first), warm_run(1, second, fresh=False)]
    assert play(pool, JobDone(1, first, True)) == [Pull(1)]
    third = job(concurrency=2)
    assert arrive(pool, third) == [Run(1, third, init=False, fresh=False, start="warmed")]
