"""The loop's lag."""

import asyncio
import time

from upcall.lag import PERIOD, Lag


async def test_it_is_how_late_a_turn_comes_and_ends_with_the_block() -> None:
    lag = Lag()
    with lag.measured():
        await asyncio.sleep(0)
        time.sleep(PERIOD + 0.1)  # the loop stands still
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert lag.last >= 0.1
    assert lag.times.count == 1
    assert lag.times.sum == lag.last
    (family,) = lag.metrics()
    assert family.name == "upcall_loop_lag_seconds"
    await asyncio.sleep(2 * PERIOD)
    assert lag.times.count == 1
