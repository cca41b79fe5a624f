"""One Invoker takes every job while it is usable."""

import pytest

from upcall.core.balance import Balancer, Job, publish, release
from upcall.errors import Unavailable

JOB = Job("guest", "guest/hello", 256)


def test_every_job_goes_to_the_one_invoker_and_is_counted_until_released() -> None:
    state = Balancer()
    assert [publish(state, JOB), publish(state, JOB)] == [0, 0]
    release(state, JOB, 0)
    assert state.jobs == 1


def test_nothing_is_published_while_the_invoker_takes_no_work() -> None:
    state = Balancer(usable=False)
    with pytest.raises(Unavailable):
        publish(state, JOB)
    assert state.jobs == 0
