"""One coarse timer for many deadlines (performance.md rule 2)."""

import asyncio

from upcall.invoker.deadlines import Deadlines


class Item:
    def __init__(self, log: list["Item"], also: "tuple[Deadlines, Item] | None" = None) -> None:
        self._log = log
        self._also = also

    def expire(self) -> None:
        self._log.append(self)
        if self._also:
            deadlines, other = self._also
            deadlines.drop(other)


async def elapsed(deadlines: Deadlines) -> None:
    while deadlines._timer is not None:
        await asyncio.sleep(0.001)


async def test_what_is_due_expires_once_and_what_was_dropped_does_not() -> None:
    loop, log = asyncio.get_running_loop(), list[Item]()
    deadlines = Deadlines(loop, 0.005)
    late, dropped, moved = Item(log), Item(log), Item(log)
    deadlines.set(late, loop.time())
    deadlines.set(dropped, loop.time())
    deadlines.set(moved, loop.time())
    deadlines.set(moved, loop.time() + 0.02)
    deadlines.drop(dropped)
    deadlines.drop(dropped)
    await elapsed(deadlines)
    assert log == [late, moved]
    assert len(deadlines) == 0


async def test_one_that_expires_may_drop_another_that_is_due() -> None:
    loop, log = asyncio.get_running_loop(), list[Item]()
    deadlines = Deadlines(loop, 0.005)
    second = Item(log)
    first = Item(log, (deadlines, second))
    deadlines.set(first, loop.time())
    deadlines.set(second, loop.time())
    await elapsed(deadlines)
    assert log == [first]


async def test_the_timer_is_armed_again_for_what_comes_later() -> None:
    loop, log = asyncio.get_running_loop(), list[Item]()
    deadlines = Deadlines(loop, 0.005)
    for _ in range(2):
        deadlines.set(Item(log), loop.time())
        await elapsed(deadlines)
    assert len(log) == 2


async def test_closed_nothing_expires() -> None:
    loop, log = asyncio.get_running_loop(), list[Item]()
    deadlines = Deadlines(loop, 0.005)
    deadlines.set(Item(log), loop.time())
    deadlines.close()
    assert deadlines._timer is None
    assert len(deadlines) == 0
