"""One trial: a fleet, the load on it, the faults by their schedule, and the verdict."""

import json
import subprocess
import time
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaException

from tests.system.chaos.ledger import Ledger
from tests.system.chaos.load import Load, make_actions
from tests.system.chaos.schedule import Step
from tests.system.chaos.verdict import BUGS, memory_complaints
from tests.system.fleet.deeds import Deeds
from tests.system.fleet.evidence import Evidence, gathered, unfinished
from tests.system.fleet.kinds import KINDS
from tests.system.fleet.member import Member
from tests.system.fleet.schedule import CALM, plan
from tests.system.fleet.verdict import Verdict, log_complaints
from tests.system.fleet.world import World, made

EVERY = 0.5
"""Seconds between looks at the members."""
SETTLING = 120.0
"""Seconds for what was accepted to end, less than what it takes until slots are freed by force."""
SAMPLES = 30
"""As many say something about a life's memory."""


def trial(
    seed: int, seconds: float, deeds: Sequence[str], say: Callable[[str], None], folder: Path | None = None
) -> bool:
    """Whether nothing was wrong. `say` gets what there is to tell, line by line."""
    with made(folder) as world:
        world.start()
        make_actions(world.controllers[0], KINDS)
        _settle(world, ledger := Ledger())
        ledger.restart()
        zero = time.time() - ledger.now()
        _load(seed, plan(seed, seconds, deeds), world, ledger, seconds)
        _settle(world, ledger)
        _call_all(world, ledger)
        _stop(world, ledger)
        evidence = gathered(world)
        found = [*Verdict(ledger, evidence, world.runs.seen if world.runs else None).complaints()]
        for member in world.members:
            found += _of_member(member, ledger, zero)
        say(f"seed {seed}, {ledger.now():.0f} s, {summary(ledger, evidence, world)}")
        for fault in ledger.faults:
            say(fault.line())
        for complaint in found:
            say(f"WRONG: {complaint}")
        (world.folder / "calls.json").write_bytes(msgspec.json.encode(ledger.calls))
    return not found


def _load(seed: int, steps: Sequence[Step], world: World, ledger: Ledger, seconds: float) -> None:
    doors = [lambda member=member: member for member in world.controllers]
    load = Load(seed, ledger, doors, world.counter, KINDS)
    load.start()
    deeds = Deeds(world, ledger)
    try:
        for step in steps:
            _watch(world, ledger, step.at)
            if ledger.now() > seconds - CALM:
                break
            deeds.do(step)
        _watch(world, ledger, max(seconds, ledger.now() + CALM))
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        ledger.complaints.append(f"what was done at {ledger.now():.2f} could not be done: {error}")
    finally:
        if not load.stop():
            ledger.complaints.append("clients wait for answers that do not come")


def _watch(world: World, ledger: Ledger, until: float) -> None:
    """Wait, look at the members meanwhile, and start again who has ended by itself."""
    while True:
        for member in world.members:
            member.watch(ledger.now())
            if member.wanted and not member.alive:
                _revive(member, ledger)
        if ledger.now() >= until:
            return
        time.sleep(min(EVERY, max(0.0, until - ledger.now())))


def _revive(member: Member, ledger: Ledger) -> None:
    assert member.life is not None
    last = member.life.said[-1500:]
    ledger.complaints.append(
        f"at {ledger.now():.2f}: {member.name} has ended by itself with {member.life.process.returncode}:\n{last}"
    )
    member.start()


def _settle(world: World, ledger: Ledger) -> None:
    """What was accepted ends, all members find each other, nothing is in flight."""
    deadline = time.monotonic() + SETTLING
    while left := list(_unsettled(world)):
        if time.monotonic() > deadline:
            ledger.complaints.append(f"{SETTLING:.0f} s after the load: " + "; ".join(left))
            return
        time.sleep(0.5)


def _unsettled(world: World) -> Iterator[str]:
    states = {invoker.number: "up" for invoker in world.invokers}
    for controller in world.controllers:
        if (seen := controller.states()) != states:
            yield f"{controller.name} sees Invokers as {seen}"
        count = controller.request("GET", "/activation/count").body
        if count != 0:
            yield f"{controller.name} has {count} in flight: {controller.request('GET', '/activation').body[:5]}"
    for invoker in world.invokers:
        try:
            left = unfinished(world, invoker.name)
        except KafkaException as error:
            left = str(error)
        if left:
            yield left


def _call_all(world: World, ledger: Ledger) -> None:
    """All is well again: each action through each controller."""
    for controller in world.controllers:
        for kind in KINDS:
            arguments = {"token": f"last-{controller.number}-{kind.name}", "seconds": 0}
            try:
                answer = controller.call("POST", f"actions/{kind.name}?blocking=true", arguments)
                right = answer.status in (200, 502) and answer.body["response"]["status"] == kind.status
                told = f"{answer.status} {str(answer.body)[:500]}"
            except OSError as error:
                right, told = False, repr(error)
            if not right:
                ledger.complaints.append(f"in the end {controller.name} answers a call of {kind.name} by {told}")


def _stop(world: World, ledger: Ledger) -> None:
    for member in world.members:
        if member.alive and (wrong := member.terminate(60)):
            ledger.complaints.append(f"in the end {wrong}")


def _of_member(member: Member, ledger: Ledger, zero: float) -> Iterator[str]:
    if len(member.samples) >= SAMPLES:
        yield from (f"{member.name}: {complaint}" for complaint in memory_complaints(member.samples))
    for output in member.outputs:
        text = output.read_text(errors="replace")
        if found := BUGS.search(text):
            told = text[max(0, found.start() - 1000) : found.end() + 2500]
            yield f"the log {output.name} tells of a bug:\n{told}"
        yield from (f"{output.name}: {complaint}" for complaint in log_complaints(_lines(text), ledger, zero))


def _lines(text: str) -> list[dict[str, Any]]:
    """Those that are JSON, with `at` in epoch seconds."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"time"')]
    for line in lines:
        seconds, _, rest = line["time"].partition(".")
        line["at"] = timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) + int(rest[:3]) / 1000
    return lines


def summary(ledger: Ledger, evidence: Evidence, world: World) -> str:
    """How much there was to judge."""
    calls = [call for call in ledger.calls if call.answered]
    answers = sorted(Counter(call.status for call in calls if call.mode != "hasty").items())
    statuses = Counter(record.status for record in evidence.records.values())
    shares = Counter(f"invoker{sent.invoker}" for sent in evidence.sent)
    probes = sum(1 for sent in evidence.sent if not sent.token)
    runs = f", {world.runs.seen.total()} runs counted" if world.runs else ""
    lives = {member.name: len(member.outputs) for member in world.members}
    return (
        f"{len(calls)} calls{runs}; answers {dict(answers)}; sent {dict(shares)}, of them {probes} probes; "
        f"records {dict(statuses)}; lives {lives}"
    )
