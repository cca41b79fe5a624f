"""Throttles count like upstream's: RateThrottleTests and ActivationThrottleTests (spec: load-balancer.md §7). What is
known of other controllers is in `test_shared_throttle`."""

import pytest

from upcall.core.throttle import Rates, Throttles
from upcall.errors import Throttled
from upcall.model.entities import Identity, NamespaceId, UserLimits
from upcall.model.names import Json
from upcall.model.sizes import SystemLimits

NOON = 1_764_000_000.0 - 1_764_000_000 % 60


def an_identity(**limits: Json) -> Identity:
    return Identity("guest", NamespaceId("guest", "u"), {}, limits=UserLimits(**limits))


def admit(identity: Identity, running: int, limits: SystemLimits, rates: Rates | None = None) -> None:
    throttles = Throttles(limits, {"u": running})
    throttles.rates = rates or throttles.rates
    assert throttles.admit(identity, NOON) is None, "who is alone asks nobody"


def test_the_attempt_after_the_limit_is_refused_with_the_count_and_the_limit() -> None:
    rates = Rates()
    for _ in range(60):
        rates.charge("u", 60, NOON)
    with pytest.raises(Throttled) as refused:
        rates.charge("u", 60, NOON + 1)
    assert str(refused.value) == "Too many requests in the last minute (count: 61, allowed: 60)."


def test_refused_attempts_count_too() -> None:
    rates = Rates()
    rates.charge("u", 1, NOON)
    for count in (2, 3):
        with pytest.raises(Throttled, match=rf"count: {count}, allowed: 1"):
            rates.charge("u", 1, NOON)


def test_a_new_minute_of_the_calendar_starts_at_nothing() -> None:
    rates = Rates()
    rates.charge("u", 1, NOON + 59.9)
    rates.charge("u", 1, NOON + 60)
    with pytest.raises(Throttled):
        rates.charge("u", 1, NOON + 119.9)


def test_the_caller_is_told_when_the_minute_ends() -> None:
    rates = Rates()
    with pytest.raises(Throttled) as refused:
        rates.charge("u", 0, NOON + 47.5)
    assert refused.value.retry_after == 13


def test_namespaces_do_not_share_a_count() -> None:
    rates = Rates()
    rates.charge("u", 1, NOON)
    rates.charge("v", 1, NOON)


def test_a_new_minute_forgets_the_namespaces_of_the_last_one() -> None:
    rates = Rates()
    for number in range(100):
        rates.charge(str(number), 1, NOON)
    rates.charge("u", 1, NOON + 60)
    assert rates.taken == {"u": 1}
    assert rates.refused == {}


def test_concurrency_passes_below_the_limit_only() -> None:
    limits = SystemLimits(concurrent_invocations=30)
    admit(an_identity(), 29, limits)
    with pytest.raises(Throttled, match=r"^Too many concurrent requests in flight \(count: 30, allowed: 30\)\.$"):
        admit(an_identity(), 30, limits)


def test_the_rate_is_looked_at_before_concurrency() -> None:
    with pytest.raises(Throttled, match="in the last minute") as refused:
        admit(an_identity(), 5, SystemLimits(invocations_per_minute=0, concurrent_invocations=0))
    assert refused.value.metric == "TimedRateLimit"


def test_a_call_that_concurrency_refuses_is_charged() -> None:
    rates = Rates()
    with pytest.raises(Throttled, match="in flight") as refused:
        admit(an_identity(), 30, SystemLimits(), rates)
    assert rates.attempts("u") == 1
    assert refused.value.metric == "ConcurrentRateLimit"


@pytest.mark.parametrize("member", ["invocations_per_minute", "concurrent_invocations"])
def test_a_namespaces_own_zero_blocks(member: str) -> None:
    with pytest.raises(Throttled, match="allowed: 0"):
        admit(an_identity(**{member: 0}), 0, SystemLimits())


def test_a_namespace_may_be_given_more_than_the_system_allows() -> None:
    rates = Rates()
    for _ in range(61):
        admit(an_identity(invocations_per_minute=100, concurrent_invocations=50), 40, SystemLimits(), rates)
