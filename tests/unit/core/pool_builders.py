"""Pools in a given state, made by the events that lead there; every step is checked.

Slots get their numbers in the order in which they are built, stem cells of the configuration first.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from upcall.core.events import (
    Command,
    Create,
    Created,
    Event,
    Inited,
    Job,
    JobArrived,
    JobDone,
    Pause,
    Paused,
    Run,
    SlotId,
    Tick,
)
from upcall.core.pool import Pool, PoolConfig, StemCell, check, new_pool, step

Builder = Callable[[Pool], None]

_numbers = count(1)


def job(action: str = "hello", memory: int = 256, concurrency: int = 1, kind: str = "python:3") -> Job:
    """The namespace is part of `action`, as it is of the real key."""
    return Job(f"job{next(_numbers)}", action, kind, memory, concurrency)


def play(pool: Pool, event: Event, now: float = 0.0) -> list[Command]:
    commands = step(pool, event, now)
    check(pool)
    return commands


def arrive(pool: Pool, *jobs: Job, now: float = 0.0) -> list[Command]:
    return [command for one in jobs for command in play(pool, JobArrived(one), now)]


def a_pool(*builders: Builder, memory: int = 1024, **settings: Any) -> Pool:
    """With 1024 MB, unless said otherwise, its stem cells ready."""
    pool = new_pool(PoolConfig(memory, **settings), 0.0)
    for command in play(pool, Tick()):
        assert isinstance(command, Create)
        play(pool, Created(command.slot))
    for builder in builders:
        builder(pool)
    return pool


def warm(action: str = "hello", memory: int = 256, concurrency: int = 1, at: float = 0.0) -> Builder:
    """An idle slot, idle since `at`."""

    def build(pool: Pool) -> None:
        first = job(action, memory, concurrency, kind="built")
        busy(first, at=at)(pool)
        play(pool, JobDone(_slot_of(pool, first), first, True), at)

    return build


def busy(*jobs: Job, at: float = 0.0) -> Builder:
    """A slot that runs these, all of one action."""

    def build(pool: Pool) -> None:
        creating(*jobs, at=at)(pool)
        number = pool.made
        [*_, run] = play(pool, Created(number), at)
        assert isinstance(run, Run)
        play(pool, Inited(number), at)

    return build


def creating(*jobs: Job, at: float = 0.0) -> Builder:
    """A slot on its way, for the first of these; the others wait for it."""

    def build(pool: Pool) -> None:
        commands = arrive(pool, *jobs, now=at)
        assert [type(command) for command in commands] == [Create], f"no new slot for these: {commands}"

    return build


def initing(*jobs: Job, at: float = 0.0) -> Builder:
    """A slot where the first of these is at /init."""

    def build(pool: Pool) -> None:
        creating(*jobs, at=at)(pool)
        play(pool, Created(pool.made), at)

    return build


def pausing(action: str = "hello", memory: int = 256, concurrency: int = 1) -> Builder:
    """A slot that was idle since 0 and got its Pause at 10."""

    def build(pool: Pool) -> None:
        warm(action, memory, concurrency)(pool)
        assert play(pool, Tick(), 10.0) == [Pause(pool.made)]

    return build


def paused(action: str = "hello", memory: int = 256, concurrency: int = 1) -> Builder:
    """A slot that is paused since 10."""

    def build(pool: Pool) -> None:
        pausing(action, memory, concurrency)(pool)
        play(pool, Paused(pool.made), 10.0)

    return build


def stem(kind: str = "python:3", memory: int = 256, number: int = 1) -> tuple[StemCell, ...]:
    """For `prewarm=`."""
    return (StemCell(kind, memory, number),)


def cold_run(slot: SlotId, one: Job) -> Run:
    return Run(slot, one, init=True, fresh=False, start="cold")


def warm_run(slot: SlotId, one: Job, fresh: bool = True) -> Run:
    return Run(slot, one, init=False, fresh=fresh, start="warmed")


def _slot_of(pool: Pool, one: Job) -> SlotId:
    return next(slot.id for slot in pool.slots.values() if one in slot.running)
