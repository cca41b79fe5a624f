"""One trial: a stage, a platform on it, the load, the faults by their schedule, and the verdict."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.system.chaos.actions import BY_NAME, Kind
from tests.system.chaos.deeds import Deeds
from tests.system.chaos.ledger import Ledger
from tests.system.chaos.lives import Lives
from tests.system.chaos.load import Load, make_actions
from tests.system.chaos.schedule import CALM, Step, durability, plan
from tests.system.chaos.stage import ROOT, Stage, staged
from tests.system.chaos.verdict import DISK, Book, Verdict, log_complaints, memory_complaints

EVERY = 0.5
"""Seconds between looks at the platform's memory."""
SETTLING = 90.0
"""Seconds for what was accepted to end."""


class Play(msgspec.Struct, frozen=True):
    """What is done in a trial, and how it is judged."""

    steps: Sequence[Step]
    kinds: Mapping[str, Kind] = msgspec.field(default_factory=lambda: BY_NAME)
    deeds: Callable[[Any, Lives, Ledger], Deeds] = Deeds
    verdict: type[Verdict] = Verdict


def trial(seed: int, seconds: float, say: Callable[[str], None], folder: Path | None = None) -> bool:
    """Whether nothing was wrong. `say` gets what there is to tell, line by line."""
    with staged(folder, 64 + int(seconds), durability(seed)) as stage:
        return perform(seed, Play(plan(seed, seconds, root=ROOT)), stage, say)


def perform(seed: int, play: Play, stage: Stage, say: Callable[[str], None]) -> bool:
    """Whether nothing was wrong."""
    ledger = Ledger()
    lives = Lives(stage, ledger)
    found = _run(seed, play, stage, lives, ledger, say)
    say(f"seed {seed}, durability {durability(seed)}, {ledger.now():.0f} s, {summary(ledger, stage)}")
    for fault in ledger.faults:
        say(fault.line())
    for complaint in found:
        say(f"WRONG: {complaint}")
    return not found


def _run(seed: int, play: Play, stage: Stage, lives: Lives, ledger: Ledger, say: Callable[[str], None]) -> list[str]:
    kinds = tuple(play.kinds.values())
    make_actions(lives.platform, kinds)
    load = Load(seed, ledger, [lambda: lives.platform], stage.counter, kinds)
    load.start()
    try:
        _follow(play.steps, play.deeds(stage, lives, ledger), lives, ledger)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        ledger.complaints.append(f"what was done at {ledger.now():.2f} could not be done: {error!r}")
    finally:
        ended = load.stop()
    found = [] if ended else ["clients wait for answers that do not come"]
    samples = list(lives.samples)
    memory = [sample.memory >> 20 for sample in samples[:: max(1, len(samples) // 8)]]
    say(f"resident memory of the last life: {memory} MB")
    settle(lives, ledger)
    ledger.complaints += stage.inconsistent(lives.platform)
    lives.stop(60)
    lives.cleared(frozenset())
    seen = stage.runs.seen if stage.runs else None
    verdict = play.verdict(ledger, Book(stage.data / "upcall.db"), seen, play.kinds)
    return [*found, *verdict.complaints(), *memory_complaints(samples), *log_complaints(lives.outputs)]


def _follow(steps: Sequence[Step], deeds: Deeds, lives: Lives, ledger: Ledger) -> None:
    for step in steps:
        _watch(lives, ledger, step.at)
        deeds.do(step)
    _watch(lives, ledger, ledger.now() + CALM)


def _watch(lives: Lives, ledger: Ledger, until: float) -> None:
    """Wait, and look at the platform meanwhile."""
    while (left := until - ledger.now()) > 0:
        lives.watch()
        time.sleep(min(EVERY, left))


def summary(ledger: Ledger, stage: Stage) -> str:
    """How much there was to judge."""
    calls = [call for call in ledger.calls if call.answered]
    statuses = sorted(Counter(call.status for call in calls if call.mode != "hasty").items())
    ids = len({call.id for call in calls if call.id})
    runs = f", {stage.runs.seen.total()} runs counted" if stage.runs else ""
    told = f"{len(calls)} calls, {ids} ids told{runs}; by status: {dict(statuses)}"
    return f"{told}; work taken again {mending(ledger):.1f} s after a disk was full"


def mending(ledger: Ledger) -> float:
    """The longest time after a disk had room again in which calls were still refused."""
    longest = 0.0
    for call in ledger.calls:
        ended = [fault.ended for fault in ledger.faults if fault.deed in DISK and fault.ended <= call.sent]
        if call.status == 503 and ended and not ledger.at_work(DISK | {"drained"}, call.sent, call.answered, 0.0):
            longest = max(longest, call.sent - ended[-1])
    return longest


def settle(lives: Lives, ledger: Ledger) -> None:
    """What was accepted ends: the last ids have their records, and no activation is under way."""
    deadline = time.monotonic() + SETTLING
    missing = {call.id for call in ledger.calls if call.id}
    while time.monotonic() < deadline:
        try:
            missing = {id for id in missing if lives.platform.call("GET", f"activations/{id}").status != 200}
        except OSError as error:
            ledger.complaints.append(f"the platform does not answer after the load: {error}")
            return
        if not missing:
            return
        time.sleep(0.2)
    ledger.complaints.append(
        f"{len(missing)} ids have no record {SETTLING:.0f} s after the load: {sorted(missing)[:5]}"
    )
