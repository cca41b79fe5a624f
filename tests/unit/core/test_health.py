"""States of an Invoker (spec: load-balancer.md §4, §8)."""

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upcall.core.health import (
    Command,
    Ended,
    Event,
    Health,
    Move,
    Outcome,
    Pinged,
    Probe,
    ProbeLost,
    State,
    Ticked,
    step,
)

PING, DISABLED, TICK, LOST = Pinged(True), Pinged(False), Ticked(), ProbeLost()
GOOD, ERROR, TIMEOUT = Ended(Outcome.SUCCESS), Ended(Outcome.SYSTEM_ERROR), Ended(Outcome.TIMEOUT)
UP, BAD, MUTE, DOWN = State.HEALTHY, State.UNHEALTHY, State.UNRESPONSIVE, State.OFFLINE


def fed(health: Health, *events: Event, now: float = 0.0) -> list[Command]:
    return [command for event in events for command in step(health, event, now)]


def in_state(state: State) -> Health:
    """Reached by events, with few outcomes."""
    health = Health()
    way: dict[State, list[Event]] = {DOWN: [], BAD: [PING], UP: [PING, GOOD], MUTE: [PING, TIMEOUT]}
    fed(health, *way[state])
    assert health.state is state
    return health


def healthy_with(*outcomes: Ended) -> Health:
    """Healthy, with a full ring that ends with these."""
    health = in_state(UP)
    fed(health, *[GOOD] * 10, *outcomes)
    return health


@pytest.mark.parametrize(
    ("state", "event", "after", "commands"),
    [
        (DOWN, PING, BAD, [Move(BAD), Probe()]),
        (DOWN, DISABLED, DOWN, []),
        (DOWN, GOOD, DOWN, []),
        (DOWN, ERROR, DOWN, []),
        (DOWN, TIMEOUT, DOWN, []),
        (DOWN, TICK, DOWN, []),
        (BAD, PING, BAD, []),
        (BAD, DISABLED, DOWN, [Move(DOWN)]),
        (BAD, GOOD, UP, [Move(UP), Probe()]),
        (BAD, ERROR, BAD, []),
        (BAD, TIMEOUT, MUTE, [Move(MUTE), Probe()]),
        (MUTE, PING, MUTE, []),
        (MUTE, DISABLED, DOWN, [Move(DOWN)]),
        (MUTE, GOOD, UP, [Move(UP)]),
        (MUTE, ERROR, BAD, [Move(BAD), Probe()]),
        (MUTE, TIMEOUT, MUTE, []),
        (UP, PING, UP, []),
        (UP, DISABLED, DOWN, [Move(DOWN)]),
        (UP, GOOD, UP, []),
        (UP, ERROR, BAD, [Move(BAD), Probe()]),
        (UP, TIMEOUT, MUTE, [Move(MUTE), Probe()]),
    ],
)
def test_each_row_with_few_outcomes(state: State, event: Event, after: State, commands: list[Command]) -> None:
    health = in_state(state)
    assert fed(health, event) == commands
    assert health.state is after


@pytest.mark.parametrize(("failure", "after"), [(ERROR, BAD), (TIMEOUT, MUTE)])
def test_three_failures_in_a_full_ring_are_tolerated_and_a_fourth_is_not(failure: Ended, after: State) -> None:
    health = healthy_with()
    assert fed(health, failure, failure, failure) == []
    assert fed(health, failure) == [Move(after), Probe()]


def test_failures_of_both_sorts_are_not_added_up() -> None:
    health = healthy_with()
    assert fed(health, *[ERROR, TIMEOUT] * 3) == []
    assert fed(health, TIMEOUT) == [Move(MUTE), Probe()]
    assert fed(health, ERROR) == [Move(BAD), Probe()], "system errors come first"


def test_ten_outcomes_count() -> None:
    health = healthy_with(ERROR, ERROR, ERROR, *[GOOD] * 6)
    assert fed(health, ERROR) == [Move(BAD), Probe()], "the first of the ten is an error still"
    health = healthy_with(ERROR, ERROR, ERROR, *[GOOD] * 7)
    assert fed(health, ERROR) == []


def test_four_system_errors_take_seven_successes_each_with_a_probe() -> None:
    health = healthy_with(ERROR, ERROR, ERROR, ERROR)
    assert health.state is BAD
    for _ in range(6):
        assert fed(health, GOOD) == [Probe()]
    assert fed(health, GOOD) == [Move(UP), Probe()]


def test_four_timeouts_take_seven_successes_without_a_probe() -> None:
    health = healthy_with(TIMEOUT, TIMEOUT, TIMEOUT, TIMEOUT)
    assert health.state is MUTE
    for _ in range(6):
        assert fed(health, GOOD) == []
    assert fed(health, GOOD) == [Move(UP)]


def test_going_where_it_is_sends_no_probe() -> None:
    health = healthy_with(ERROR, ERROR, ERROR, ERROR)
    assert fed(health, ERROR, ERROR) == []


def test_a_fresh_one_is_healthy_after_its_first_probe() -> None:
    health = Health()
    assert fed(health, PING, GOOD) == [Move(BAD), Probe(), Move(UP), Probe()]


def test_with_at_most_three_outcomes_a_single_failure_counts_with_four_it_does_not() -> None:
    health = in_state(BAD)
    fed(health, GOOD, GOOD)
    assert fed(health, ERROR) == [Move(BAD), Probe()]
    health = in_state(BAD)
    fed(health, GOOD, GOOD, GOOD)
    assert fed(health, ERROR) == []


def test_what_ends_while_it_is_offline_is_remembered() -> None:
    health = in_state(DOWN)
    assert fed(health, ERROR, ERROR, ERROR, ERROR) == []
    assert fed(health, PING, GOOD) == [Move(BAD), Probe(), Probe()], "four errors are in the ring"


def test_it_is_offline_after_ten_seconds_of_silence_and_back_by_a_ping() -> None:
    health = in_state(UP)
    assert fed(health, TICK, now=9.9) == []
    assert fed(health, TICK, now=10.0) == [Move(DOWN)]
    assert fed(health, TICK, now=1000.0) == []
    assert fed(health, PING, now=1000.0) == [Move(BAD), Probe()]


@pytest.mark.parametrize("event", [PING, GOOD])
def test_a_ping_or_an_outcome_ends_the_silence(event: Event) -> None:
    health = in_state(UP)
    fed(health, event, now=5.0)
    assert fed(health, TICK, now=14.9) == []
    assert fed(health, TICK, now=15.0) == [Move(DOWN)]


@pytest.mark.parametrize("state", [BAD, MUTE])
def test_a_probe_each_minute_until_it_is_healthy(state: State) -> None:
    health = in_state(state)
    sent = []
    for second in range(1, 200):
        sent += [second for command in fed(health, PING, TICK, now=second) if command == Probe()]
    assert sent == [60, 120, 180]
    health.outcomes.clear()
    fed(health, GOOD, now=200)
    assert [command for second in range(201, 400) for command in fed(health, PING, TICK, now=second)] == []


def test_the_minutes_probe_ends_the_silence_too() -> None:
    health = in_state(BAD)
    fed(health, PING, now=55.0)
    assert fed(health, TICK, now=60.0) == [Probe()]
    assert fed(health, TICK, now=69.9) == []
    assert fed(health, TICK, now=70.0) == [Move(DOWN)]


def test_another_failing_state_begins_the_minute_anew() -> None:
    health = in_state(BAD)
    fed(health, PING, TIMEOUT, now=50.0)
    assert health.state is MUTE
    fed(health, PING, now=105.0)
    assert fed(health, TICK, now=109.9) == []
    assert fed(health, TICK, now=110.0) == [Probe()]


def test_a_probe_that_was_not_sent_is_sent_a_second_later() -> None:
    health = in_state(BAD)
    assert fed(health, LOST, now=5.0) == []
    assert fed(health, TICK, now=5.9) == []
    assert fed(health, TICK, now=6.0) == [Probe()]
    healthy = in_state(UP)
    fed(healthy, LOST, now=1.0)
    assert fed(healthy, TICK, now=5.0) == []


class Model:
    """The specification's table once more, by history alone: no ring, no timers, each question asked of all events."""

    def __init__(self) -> None:
        self.state: Literal["up", "unhealthy", "unresponsive", "down"] = "down"
        self.history: list[tuple[float, str]] = []
        self.entered = 0.0
        self.probes: list[float] = []

    def failing(self) -> bool:
        return self.state in ("unhealthy", "unresponsive")

    def enter(self, state: Literal["up", "unhealthy", "unresponsive", "down"], now: float) -> None:
        if state != self.state:
            self.state = state
            if self.failing():
                self.entered = now
                self.probes.append(now)

    def event(self, what: str, now: float) -> None:
        before = self.state
        if what == "tick":
            self.tick(now)
            return
        self.history.append((now, what))
        if what == "disabled":
            self.enter("down", now)
        elif what == "ping":
            if before == "down":
                self.enter("unhealthy", now)
        else:
            self.outcome(what, now)

    def tick(self, now: float) -> None:
        if self.state == "down":
            return
        if now - self.history[-1][0] >= 10:
            self.enter("down", now)
        elif self.failing() and now >= max([self.entered, *(at for at, what in self.history if what == "minute")]) + 60:
            self.history.append((now, "minute"))
            self.probes.append(now)

    def outcome(self, what: str, now: float) -> None:
        last = [kind for _, kind in self.history if kind in ("success", "system error", "timeout")][-10:]
        if what == "success" and self.state == "unhealthy":
            self.probes.append(now)
        if self.state == "down" or (self.state == "up" and what == "success"):
            return
        if sum(kind == "system error" for kind in last) > 3:
            self.enter("unhealthy", now)
        elif sum(kind == "timeout" for kind in last) > 3:
            self.enter("unresponsive", now)
        elif what == "success":
            self.enter("up", now)
        elif len(last) <= 3:
            self.enter("unhealthy" if what == "system error" else "unresponsive", now)


EVENTS: dict[str, Event] = {
    "ping": PING,
    "disabled": DISABLED,
    "tick": TICK,
    "success": GOOD,
    "system error": ERROR,
    "timeout": TIMEOUT,
}
NAMES = ["ping", "ping", "ping", "success", "success", "system error", "timeout", "tick", "tick", "disabled"]


@settings(max_examples=500)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 70)), max_size=80))
def test_it_does_what_the_specification_says(events: list[tuple[str, int]]) -> None:
    """Most pauses are short; one in ten is long enough for silence or a minute."""
    health, model, now = Health(), Model(), 0.0
    probes: list[float] = []
    for name, pause in events:
        now += pause if pause % 10 == 0 else pause % 4
        commands = step(health, EVENTS[name], now)
        probes += [now for command in commands if isinstance(command, Probe)]
        model.event(name, now)
        assert health.state.value == model.state
        assert [command.to for command in commands if isinstance(command, Move)][-1:] in ([], [health.state])
        assert probes == model.probes
