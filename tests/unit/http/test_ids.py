"""Activation ids grow with time, and are no guess."""

import time

from upcall.http.ids import Ids


def test_an_activation_id_begins_with_the_time_in_ms() -> None:
    before = time.time_ns() // 1_000_000
    made = [Ids().activation() for _ in range(3)]
    after = time.time_ns() // 1_000_000
    assert all(before <= int(id_[:12], 16) <= after for id_ in made)


def test_ids_of_one_moment_differ_in_their_random_part() -> None:
    ids = Ids()
    made = [ids.activation() for _ in range(1000)]
    assert len({id_[12:] for id_ in made}) == 1000
    assert all(len(id_) == 32 for id_ in made)


def test_an_activation_id_has_the_time_that_is_given_also_when_that_goes_back() -> None:
    ids = Ids()
    times = [5, 5, 6, 5, 0]
    assert [int(ids.activation(ms)[:12], 16) for ms in times] == times
