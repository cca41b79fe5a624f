"""One coarse timer for many deadlines (docs/DESIGN.md, rule 2)."""

import asyncio
from collections.abc import Callable
from time import monotonic

from upcall.deadlines import Deadlines, clock


class Item:
    """Notes when its time has come, and does something more then."""

    def __init__(self, log: list["Item"], also: Callable[[], None] = lambda: None) -> None:
        self._log = log
        self._also = also
        self.when = 0.0

    def expire(self) -> None:
        self._log.append(self)
        self.when = asyncio.get_running_loop().time()
        self._also()


async def elapsed(deadlines: Deadlines) -> None:
    while deadlines._timer is not None:
        await asyncio.sleep(0.001)


async def test_what_is_due_expires_once_in_order_and_what_was_dropped_does_not() -> None:
    log, deadlines = list[Item](), Deadlines(0.005)
    start = deadlines.time()
    past, soon, late, dropped, moved = (Item(log) for _ in range(5))
    for item, when in ((dropped, 0.0), (late, 0.05), (soon, 0.02), (past, -1.0), (moved, 0.0)):
        deadlines.set(item, start + when)
    deadlines.set(moved, start + 0.08)
    deadlines.drop(dropped)
    deadlines.drop(dropped)
    await elapsed(deadlines)
    assert log == [past, soon, late, moved]
    assert [item.when - start >= when for item, when in ((soon, 0.02), (late, 0.05), (moved, 0.08))] == [True] * 3
    assert len(deadlines) == 0


async def test_one_that_expires_may_drop_another_that_is_due_or_set_it_anew() -> None:
    log, deadlines = list[Item](), Deadlines(0.005)
    now = deadlines.time()
    second, third = Item(log), Item(log)

    def also() -> None:
        deadlines.drop(second)
        deadlines.set(third, now + 0.03)

    for item in (Item(log, also), second, third):
        deadlines.set(item, now)
    await elapsed(deadlines)
    assert log[1:] == [third]
    assert third.when >= now + 0.03


async def test_one_that_expires_may_be_set_again() -> None:
    log, deadlines = list[Item](), Deadlines(0.005)
    again = Item(log, lambda: deadlines.set(again, deadlines.time()) if len(log) < 3 else None)
    deadlines.set(again, deadlines.time())
    await elapsed(deadlines)
    assert log == [again] * 3


async def test_the_timer_is_armed_again_for_what_comes_later_and_for_what_is_sooner() -> None:
    log, deadlines = list[Item](), Deadlines(0.005)
    for _ in range(2):
        deadlines.set(Item(log), deadlines.time() + 0.01)
        await elapsed(deadlines)
    deadlines.set(Item(log), deadlines.time() + 3600)
    deadlines.set(Item(log), deadlines.time())
    while len(log) < 3:
        await asyncio.sleep(0.001)
    assert len(deadlines) == 1
    deadlines.close()


async def test_what_lies_equally_far_ahead_and_ends_in_time_arms_one_timer() -> None:
    deadlines = Deadlines()
    timers = set()
    for _ in range(1000):
        item = Item([])
        deadlines.set(item, deadlines.time() + 60)
        deadlines.drop(item)
        timers.add(deadlines._timer)
    assert len(timers) == 1
    deadlines.close()


async def test_closed_nothing_expires() -> None:
    log, deadlines = list[Item](), Deadlines(0.005)
    deadlines.set(Item(log), deadlines.time())
    deadlines.close()
    assert deadlines._timer is None
    assert len(deadlines) == 0


def test_the_clock_is_the_loops_own_where_that_has_one() -> None:
    class Still(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 7.0

    plain, still = asyncio.SelectorEventLoop(), Still()
    try:
        assert clock(plain) is monotonic
        assert clock(still)() == 7.0
    finally:
        plain.close()
        still.close()
