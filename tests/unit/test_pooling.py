"""upcall.pooling: how long containers are kept, and when stem cells follow demand (spec: container.md §6.4, §7)."""

import pytest

from upcall.app.offer import by_process
from upcall.app.parts import pool_config
from upcall.config import Settings, load
from upcall.core.pool import PoolConfig
from upcall.errors import Misconfigured

UPSTREAM = {
    "CONFIG_whisk_containerProxy_timeouts_pauseGrace": "1 second",
    "CONFIG_whisk_containerProxy_timeouts_idleContainer": "2 minutes",
    "CONFIG_whisk_containerPool_prewarmExpirationCheckInitDelay": "3 minutes",
    "CONFIG_whisk_containerPool_prewarmExpirationCheckInterval": "4 minutes",
    "CONFIG_whisk_containerPool_prewarmExpirationLimit": "5",
}
VARIANCE = "CONFIG_whisk_containerPool_prewarmExpirationCheckIntervalVariance"


def pool(settings: Settings) -> PoolConfig:
    return pool_config(settings, 1024, by_process(None, ("python:3",)))


def test_upstreams_variables_set_the_pools_times() -> None:
    found = pool(load({}, {**UPSTREAM, VARIANCE: "0 s"})[0])
    assert (found.pause_grace, found.idle_timeout) == (1.0, 120.0)
    assert (found.prewarm_delay, found.prewarm_check, found.prewarm_limit) == (180.0, 240.0, 5)


def test_rounds_of_invokers_that_are_set_alike_are_apart() -> None:
    settings = load({}, {**UPSTREAM, VARIANCE: "60 s"})[0]
    found = [pool(settings) for _ in range(20)]
    assert len({one.prewarm_check for one in found}) > 1
    assert all(240.0 <= one.prewarm_check <= 300.0 for one in found)
    assert all(one.prewarm_check - one.prewarm_delay == pytest.approx(60.0) for one in found)


@pytest.mark.parametrize("interval", ["0 s", "1 ns", "999 ms"])
def test_rounds_without_a_time_between_them_are_refused(interval: str) -> None:
    with pytest.raises(Misconfigured, match=f"expiration-check-interval: '{interval}' is less than 1 s"):
        load({}, {"CONFIG_whisk_containerPool_prewarmExpirationCheckInterval": interval})
