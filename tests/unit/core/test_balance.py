"""Choosing an Invoker (spec: load-balancer.md §2, §8)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upcall.core.balance import (
    Balancer,
    Job,
    Place,
    check,
    force,
    publish,
    release,
    resize,
    set_healthy,
    set_memory,
    step_sizes,
)
from upcall.errors import Unavailable

JOB = Job("guest", "guest/hello", 256)


def a_balancer(*memories: int, managed: float = 1.0, blackbox: float = 1.0, cluster: int = 1) -> Balancer:
    """All healthy; memory in MB by id."""
    state = Balancer(managed, blackbox, cluster=cluster)
    for number, memory in enumerate(memories):
        set_memory(state, number, memory)
        set_healthy(state, number, True)
    return state


def permits(state: Balancer) -> list[int]:
    return [place.permits for place in state.places]


def placed(state: Balancer, job: Job, count: int) -> list[int | None]:
    """Where so many of it go."""
    found = [publish(state, job) for _ in range(count)]
    return [None if place is None else place.id for place in found]


def with_hash(wanted: int, memory: int = 256) -> Job:
    """A job of just that hash, found by looking."""
    for number in range(1_000_000):
        job = Job("guest", f"guest/a{number}", memory)
        if job.hash % 630 == wanted:  # the same rest by 10 and by 3: the same way among ten
            return job
    raise AssertionError


def test_without_invokers_nothing_is_placed() -> None:
    assert publish(Balancer(), JOB) is None
    with pytest.raises(Unavailable):
        force(Balancer(), JOB, lambda _: 0)


def test_with_unhealthy_invokers_alone_nothing_is_placed() -> None:
    state = a_balancer(1024, 1024)
    for number in range(2):
        set_healthy(state, number, False)
    assert publish(state, JOB) is None
    with pytest.raises(Unavailable):
        force(state, JOB, lambda _: 0)
    assert permits(state) == [1024, 1024]


def test_from_home_in_steps_as_each_is_full() -> None:
    """The worked example: ten Invokers, hash 13, home 3, step 3."""
    state = a_balancer(*[256] * 10)
    assert placed(state, with_hash(13), 11) == [3, 6, 9, 2, 5, 8, 1, 4, 7, 0, None]


def test_the_home_is_used_until_it_is_full() -> None:
    state = a_balancer(*[1024] * 10)
    assert placed(state, with_hash(13), 6) == [3, 3, 3, 3, 6, 6]


def test_a_job_goes_where_its_memory_fits_and_a_smaller_one_stays_at_home() -> None:
    state = a_balancer(*[384] * 10)
    assert placed(state, with_hash(13, 256), 2) == [3, 6]
    assert placed(state, with_hash(13, 128), 2) == [3, 6]


def test_the_home_takes_again_what_was_given_back() -> None:
    state = a_balancer(*[256] * 10)
    job = with_hash(13)
    assert placed(state, job, 2) == [3, 6]
    release(state, job, 3)
    assert placed(state, job, 2) == [3, 9]


def test_unhealthy_ones_are_left_out_several_in_a_row_too() -> None:
    state = a_balancer(*[256] * 10)
    for number in (3, 6, 9, 5):
        set_healthy(state, number, False)
    assert placed(state, with_hash(13), 7) == [2, 8, 1, 4, 7, 0, None]


def test_overload_chooses_among_the_healthy_and_permits_go_below_zero() -> None:
    state = a_balancer(256, 256, 256)
    set_healthy(state, 1, False)
    assert None in placed(state, JOB, 3)
    asked: list[int] = []

    def last(count: int) -> int:
        asked.append(count)
        return count - 1

    assert [force(state, JOB, last).id for _ in range(2)] == [2, 2]
    assert asked == [2, 2]
    assert permits(state) == [0, 256, -512]
    assert force(state, JOB, lambda _: 0).id == 0


def test_overload_chooses_among_those_that_have_so_much_memory_at_all() -> None:
    state = a_balancer(256, 512, 256, 512)
    big = Job("guest", "guest/big", 512)
    assert sorted(number for number in placed(state, big, 3) if number is not None) == [1, 3]
    asked: list[int] = []

    def last(count: int) -> int:
        asked.append(count)
        return count - 1

    assert force(state, big, last).id == 3
    assert asked == [2]


def test_what_is_larger_than_all_that_is_up_goes_nowhere_and_is_told_with_sizes() -> None:
    """Also where permits would do: the least was raised above what the Invoker has, places of a share are open."""
    state = a_balancer(100, 256, 512)
    set_healthy(state, 2, False)
    huge = Job("guest", "guest/huge", 512)
    assert publish(state, huge) is None
    with pytest.raises(Unavailable, match="needs 512 MB of memory; the largest Invoker that is up has 256 MB in all"):
        force(state, huge, lambda _: 0)
    small, shared = Job("guest", "guest/small", 128), Job("guest", "guest/shared", 256, 3)
    assert placed(state, small, 3) == [1, 1, None], "the first has 128 MB to book, and cannot hold it"
    state = a_balancer(512)
    assert placed(state, shared, 1) == [0]
    set_memory(state, 0, 128)
    assert placed(state, shared, 1) == [None]
    with pytest.raises(Unavailable, match="has 128 MB in all"):
        force(state, shared, lambda _: 0)


def test_after_overload_as_many_releases_are_needed() -> None:
    state = a_balancer(256)
    publish(state, JOB)
    force(state, JOB, lambda _: 0)
    force(state, JOB, lambda _: 0)
    for _ in range(2):
        release(state, JOB, 0)
        assert publish(state, JOB) is None
    release(state, JOB, 0)
    assert placed(state, JOB, 1) == [0]


SHARED = Job("guest", "guest/shared", 256, 3)


def test_so_many_share_the_memory_and_the_next_takes_more() -> None:
    state = a_balancer(1024)
    assert placed(state, SHARED, 3) == [0, 0, 0]
    assert permits(state) == [768]
    assert placed(state, SHARED, 1) == [0]
    assert permits(state) == [512]


def test_the_memory_is_given_back_when_all_of_its_places_are_free() -> None:
    state = a_balancer(1024)
    placed(state, SHARED, 3)
    for left in (768, 768, 1024):
        release(state, SHARED, 0)
        assert permits(state) == [left]
    assert state.places[0].shared == {}


def test_of_two_bookings_one_is_given_back_when_as_many_places_are_free() -> None:
    state = a_balancer(1024)
    placed(state, SHARED, 4)
    assert permits(state) == [512]
    release(state, SHARED, 0)
    assert permits(state) == [768]
    for _ in range(2):
        release(state, SHARED, 0)
        assert permits(state) == [768]
    release(state, SHARED, 0)
    assert permits(state) == [1024]


def test_places_that_are_open_take_jobs_where_no_memory_is_left() -> None:
    state = a_balancer(256)
    assert placed(state, SHARED, 4) == [0, 0, 0, None]
    assert placed(state, JOB, 1) == [None]


def test_another_version_or_namespace_shares_nothing() -> None:
    state = a_balancer(1024)
    placed(state, SHARED, 1)
    placed(state, Job("guest", "guest/shared", 256, 3, version="0.0.2"), 1)
    assert permits(state) == [512]
    placed(state, Job("other", "guest/shared", 256, 3), 1)
    assert permits(state) == [256]


def test_forced_ones_share_too() -> None:
    state = a_balancer(256)
    placed(state, JOB, 1)
    for left in (-256, -256, -256, -512):
        assert force(state, SHARED, lambda _: 0).id == 0
        assert permits(state) == [left]
    for left in (-256, -256, -256, 0):
        release(state, SHARED, 0)
        assert permits(state) == [left]
    assert state.places[0].shared == {}


def test_images_that_are_pulled_go_to_the_last_ones() -> None:
    state = a_balancer(*[256] * 10, managed=0.9, blackbox=0.1)
    pulled = Job("guest", "guest/own", 256, blackbox=True)
    assert placed(state, pulled, 2) == [9, None]
    assert sorted(number for number in placed(state, JOB, 10) if number is not None) == list(range(9))
    assert force(state, pulled, lambda count: count - 1).id == 9
    assert force(state, JOB, lambda count: count - 1).id == 8


def test_more_invokers_keep_what_is_booked() -> None:
    state = a_balancer(256, 256)
    publish(state, JOB)
    before = permits(state)
    assert sorted(before) == [0, 256]
    set_memory(state, 2, 1024)
    assert permits(state) == [*before, 1024]


def test_ids_that_were_skipped_are_there_without_memory_and_get_nothing() -> None:
    state = a_balancer(256)
    set_memory(state, 3, 256)
    set_healthy(state, 3, True)
    assert [(place.id, place.memory, place.healthy) for place in state.places] == [
        (0, 256, True),
        (1, 0, False),
        (2, 0, False),
        (3, 256, True),
    ]
    assert sorted(number for number in placed(state, JOB, 4) if number is not None) == [0, 3]


def test_who_has_gone_stays_in_the_list_with_what_is_booked() -> None:
    state = a_balancer(256, 256)
    gone = publish(state, JOB)
    assert gone is not None
    set_healthy(state, gone.id, False)
    assert len(state.places) == 2
    release(state, JOB, gone.id)
    set_healthy(state, gone.id, True)
    assert permits(state) == [256, 256]


def test_memory_is_divided_among_the_controllers() -> None:
    state = a_balancer(1024, 2048, cluster=2)
    assert permits(state) == [512, 1024]
    assert resize(state, 4) == []
    assert permits(state) == [256, 512]
    for size in (0, -1, 1):
        assert resize(state, size) == []
        assert (state.cluster, permits(state)) == (1, [1024, 2048])


def test_a_share_below_the_least_is_raised_to_it_and_told() -> None:
    state = a_balancer(256, 1024)
    assert resize(state, 4) == [0]
    assert permits(state) == [128, 256]
    assert set_memory(state, 0, 512) is True
    assert set_memory(state, 0, 256) is False
    assert set_memory(state, 2, 100) is False
    assert permits(state) == [128, 256, 128]


def test_what_is_in_flight_stays_booked_when_the_cluster_changes() -> None:
    state = a_balancer(1024)
    placed(state, JOB, 3)
    resize(state, 2)
    assert permits(state) == [-256]
    assert publish(state, JOB) is None
    for _ in range(3):
        release(state, JOB, 0)
    assert permits(state) == [512]


def test_an_invoker_with_other_memory_keeps_what_is_booked() -> None:
    state = a_balancer(1024)
    publish(state, JOB)
    set_memory(state, 0, 512)
    assert permits(state) == [256]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("blackbox", [False, True])
def test_a_list_of_many_that_were_never_heard_of_gives_what_the_walk_gives(concurrency: int, blackbox: bool) -> None:
    """Home and steps by the length of the padded list, as the specification has it, counted out by hand."""
    state = Balancer(0.9, 0.6)
    there = [3, 170, 171, 555, 998]
    for number in there:
        set_memory(state, number, 512)
        set_healthy(state, number, True)
    first, size = (400, 599) if blackbox else (0, 900)
    wide = [number for number in there if first <= number < first + size]
    steps = step_sizes(size)
    for count in range(50):
        job = Job("guest", f"guest/a{count}", 256, concurrency, blackbox)
        way = [first + (job.hash + hop * steps[job.hash % len(steps)]) % size for hop in range(size)]
        met = [number for number in way if number in wide]
        found = placed(state, job, 2 * concurrency * len(wide) + 1)
        assert found == [*(number for number in met for _ in range(2 * concurrency)), None]
        for invoker in found[:-1]:
            assert invoker is not None
            release(state, job, invoker)
    check(state)


JOBS = [
    Job("guest", "guest/a", 128),
    Job("guest", "guest/b", 256),
    Job("guest", "guest/c", 512, 3),
    Job("guest", "guest/d", 128, 5),
    Job("other", "guest/c", 512, 3),
    Job("guest", "guest/own", 256, blackbox=True),
]
STEPS = st.lists(st.tuples(st.sampled_from(["take", "give", "health", "memory", "resize"]), st.integers(0, 2**31)))


@settings(max_examples=300)
@given(STEPS)
def test_what_was_booked_is_all_given_back(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in between, after all releases each Invoker has its whole share again."""
    state = Balancer()
    flying: list[tuple[Job, Place]] = []
    for what, number in steps:
        match what:
            case "take":
                job = JOBS[number % len(JOBS)]
                place = publish(state, job)
                if place is None:
                    try:
                        place = force(state, job, number.__mod__)
                    except Unavailable:
                        continue
                assert place.healthy
                flying.append((job, place))
            case "give" if flying:
                job, place = flying.pop(number % len(flying))
                release(state, job, place.id)
            case "health" if state.places:
                chosen = number % len(state.places)
                set_healthy(state, chosen, state.places[chosen].memory > 0 and number % 3 > 0)
            case "memory":
                set_memory(state, number % 7, 128 * (1 + number % 16))
            case "resize":
                resize(state, number % 5)
        check(state)
        assert [place.id for place in state.places] == list(range(len(state.places)))
    for job, place in flying:
        release(state, job, place.id)
    check(state)
    assert all(place.permits == place.share and not place.shared for place in state.places)
    assert all(place.share == max(128, place.memory // state.cluster) for place in state.places if place.memory)
