"""core.pool: every job ends exactly once, under any interleaving of what can happen.

`World` is the worst shell that keeps to the contract: it answers each command once, but when and how is up to
Hypothesis, and containers die at any time. `feed` and `_obey` say what holds after each step; `settle` then lets all
commands be answered and time pass, after which nothing may be left.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from upcall.core.events import (
    Abort,
    Broken,
    Command,
    Create,
    Created,
    CreateFailed,
    Drained,
    Event,
    Inited,
    Job,
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
    SlotId,
    Strained,
    Tick,
)
from upcall.core.pool import PoolConfig, Reactive, StemCell, check, deadline, load, new_pool, step
from upcall.core.slots import Mode, Phase

ACTIONS = [
    ("small", "python:3", 128, 1),
    ("other", "python:3", 128, 1),
    ("shared", "python:3", 128, 3),
    ("shared", "python:3", 128, 3),
    ("wide", "node:20", 256, 2),
    ("big", "node:20", 512, 1),
]
HUGE = ("huge", "node:20", 1024, 1)
CELLS = (StemCell("python:3", 128, 1), StemCell("node:20", 256, 1, Reactive(0, 2, 40.0, 1, 1)))
CONFIG = PoolConfig(
    512, 2.0, 20.0, reserve_after=3.0, prewarm_delay=30.0, prewarm_check=30.0, prewarm_limit=1, prewarm_retry=5.0
)
Lifecycle = Create | Pause | Resume | Remove


class World:
    def __init__(self, cells: tuple[StemCell, ...]) -> None:
        self.now = 0.0
        self.pool = new_pool(msgspec.structs.replace(CONFIG, prewarm=cells), 0.0)
        self.asked: dict[SlotId, Lifecycle] = {}
        self.late: list[Event] = []
        self.at_init: dict[SlotId, Job] = {}
        self.running: list[tuple[SlotId, Job]] = []
        self.jobs: list[Job] = []
        self.ends: Counter[str] = Counter()
        self.pulled = 0
        self.removals: Counter[SlotId] = Counter()

    def feed(self, event: Event) -> None:
        for command in step(self.pool, event, self.now):
            self._obey(command)
        check(self.pool)
        assert all(count == 1 for count in self.ends.values()), "a job ended twice"
        assert self.pulled == sum(self.ends.values()), "a job's unit is given back with its end"
        assert load(self.pool) == len(self.jobs) - self.pulled, "a job that has not ended is in the pool"
        assert all(job.returns <= CONFIG.max_returns for job in self.jobs), "a job comes back for ever"
        assert all(count == 1 for count in self.removals.values()), "a slot is removed once"
        for slot in self.pool.slots.values():
            assert {job for number, job in self._on_slots() if number == slot.id} == slot.running

    def _on_slots(self) -> list[tuple[SlotId, Job]]:
        return [*self.running, *self.at_init.items()]

    def _obey(self, command: Command) -> None:
        match command:
            case Run(slot, job, init):
                assert job.id not in self.ends, "a job that ended runs"
                assert all(job is not other for _, other in self._on_slots()), "a job runs twice"
                assert slot not in self.asked, "a job runs in a slot that is changing"
                if init:
                    self.at_init[slot] = job
                else:
                    self.running.append((slot, job))
            case Abort(job):
                assert all(job is not other for _, other in self._on_slots()), "a job that runs is aborted"
                self.ends[job.id] += 1
            case Pull(count):
                self.pulled += count
            case _:
                assert command.slot not in self.asked, "two lifecycle commands at once"
                if isinstance(command, Remove):
                    self.removals[command.slot] += 1
                    assert all(slot != command.slot for slot, _ in self._on_slots()), "removed under its jobs"
                self.asked[command.slot] = command

    def arrive(self, pick: int) -> None:
        job = Job(f"job{len(self.jobs)}", *(HUGE if pick == 63 else ACTIONS[pick % len(ACTIONS)]))
        job.probe = pick >= 56
        self.jobs.append(job)
        self.feed(JobArrived(job))

    def wait(self, pick: int) -> None:
        self.now += pick % 7
        self.feed(Tick())

    def answer(self, pick: int, good: bool = True) -> None:
        if not self.asked:
            return
        command = self.asked.pop(list(self.asked)[pick % len(self.asked)])
        match command:
            case Create(slot):
                self.feed(Created(slot) if good else CreateFailed(slot, "cause"))
            case Pause(slot):
                self.feed(Paused(slot) if good else Broken(slot))
            case Resume(slot):
                self.feed(Resumed(slot) if good else Broken(slot))
            case Remove(slot):
                self.feed(Removed(slot))

    def init_answers(self, pick: int, good: bool = True) -> None:
        if self.at_init:
            slot = list(self.at_init)[pick % len(self.at_init)]
            job = self.at_init.pop(slot)
            if good:
                self.running.append((slot, job))
                self.feed(Inited(slot))
            elif pick % 2:
                self.feed(JobReturned(slot, job))
            else:
                self._end(slot, job, False)

    def run_answers(self, pick: int, good: bool = True) -> None:
        if self.running:
            slot, job = self.running.pop(pick % len(self.running))
            if good:
                self._end(slot, job, True)
            elif pick % 2:
                self.feed(JobReturned(slot, job))
            else:
                self._end(slot, job, False)

    def _end(self, slot: SlotId, job: Job, reusable: bool) -> None:
        self.ends[job.id] += 1
        self.feed(JobDone(slot, job, reusable, "cause"))

    def dies(self, pick: int) -> None:
        """Heard from a watch. It counts as the answer to what was asked of the container; another may still come."""
        if self.pool.slots:
            slot = list(self.pool.slots)[pick % len(self.pool.slots)]
            match self.asked.get(slot):
                case Pause():
                    del self.asked[slot]
                    self.late.append(Paused(slot))
                case Resume():
                    del self.asked[slot]
                    self.late.append(Resumed(slot))
            self.feed(Broken(slot))

    def answers_late(self, pick: int) -> None:
        if self.late:
            self.feed(self.late.pop(pick % len(self.late)))

    def drain(self, pick: int) -> None:
        if pick % 32 == 0:
            self.feed(Drained())

    def strain(self, pick: int) -> None:
        if pick % 4 == 0:
            self.feed(Strained())

    def settle(self) -> None:
        """All goes well from now on; then the pool has done what was asked of it, and time empties it."""
        for _ in range(10_000):
            if self.late:
                self.answers_late(0)
            elif self.asked:
                self.answer(0)
            elif self.at_init:
                self.init_answers(0)
            elif self.running:
                self.run_answers(0)
            else:
                break
        assert not self.pool.queue, "a job waits for ever"
        assert self.ends.keys() == {job.id for job in self.jobs}, "a job has no end"
        for _ in range(60):
            due = deadline(self.pool)
            if due is None:
                break
            self.now = max(self.now, due)
            self.feed(Tick())
            after = deadline(self.pool)
            assert after is None or after > self.now, "a Tick did not do what was due"
            while self.asked:
                self.answer(0)
        left = [slot.phase for slot in self.pool.slots.values()]
        assert set(left) <= {Phase.PREWARM}, f"time does not empty the pool: {left}"
        assert not left or self.pool.mode is not Mode.DRAINING


MOVES: dict[str, tuple[int, Callable[[World, int], None]]] = {
    "arrive": (4, World.arrive),
    "wait": (3, World.wait),
    "answer": (5, World.answer),
    "fail": (1, partial(World.answer, good=False)),
    "answer late": (1, World.answers_late),
    "init": (3, World.init_answers),
    "fail init": (1, partial(World.init_answers, good=False)),
    "run": (3, World.run_answers),
    "fail run": (1, partial(World.run_answers, good=False)),
    "die": (1, World.dies),
    "drain": (1, World.drain),
    "strain": (1, World.strain),
}
WEIGHTED = [name for name, (weight, _) in MOVES.items() for _ in range(weight)]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(), CELLS]),
    st.lists(st.tuples(st.sampled_from(WEIGHTED), st.integers(0, 63)), min_size=40, max_size=150),
)
def test_every_job_ends_exactly_once(cells: tuple[StemCell, ...], moves: list[tuple[str, int]]) -> None:
    world = World(cells)
    for name, pick in moves:
        MOVES[name][1](world, pick)
    world.settle()
