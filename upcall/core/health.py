"""Whether an Invoker gets work: the states that a controller keeps of it (spec: load-balancer.md §4).

It shows that it is there by a ping a second, and that it can work by outcomes of activations: of users' and of test
actions, *probes*, that the controller sends it while it is unhealthy or unresponsive. The last ten outcomes count.

    state                       event                                next
    offline                     ping                                 unhealthy, probe
    offline                     outcome                              stays; it is remembered
    any                         ping that says disabled              offline
    all but offline             nothing for 10 s                     offline
    unhealthy, unresponsive     a minute has passed                  stays, probe
    unhealthy                   outcome: success                     probe, then as below
    all but offline             outcome                              the first that is true:
                                  healthy and a success              stays
                                  more than 3 system errors in ten   unhealthy
                                  more than 3 timeouts in ten        unresponsive
                                  a success                          healthy
                                  at most 3 outcomes yet             unhealthy for an error, unresponsive for a timeout
                                  else                               stays

Entering unhealthy or unresponsive sends a probe and starts the minute anew. A probe that could not be sent is sent
again with the next tick but `RETRY` seconds later at the earliest.
"""

from collections import deque
from enum import Enum

import msgspec

KEPT = 10
"""Outcomes that count."""
TOLERANCE = 3
SILENCE = 10.0
PROBES = 60.0
RETRY = 1.0
"""seconds"""
NEVER = float("inf")


class State(Enum):
    """Their names in `GET /invokers`."""

    HEALTHY = "up"
    UNHEALTHY = "unhealthy"
    UNRESPONSIVE = "unresponsive"
    OFFLINE = "down"


class Outcome(Enum):
    """How an activation ended. `TIMEOUT` is none at all: its completion was forced."""

    SUCCESS = "success"
    SYSTEM_ERROR = "system error"
    TIMEOUT = "timeout"


class Pinged(msgspec.Struct, frozen=True):
    enabled: bool


class Ended(msgspec.Struct, frozen=True):
    """An activation, whoever had sent it."""

    outcome: Outcome


class ProbeLost(msgspec.Struct, frozen=True):
    """The last probe could not be sent."""


class Ticked(msgspec.Struct, frozen=True):
    """Time has passed."""


Event = Pinged | Ended | ProbeLost | Ticked


class Move(msgspec.Struct, frozen=True):
    """The state is another one now."""

    to: State


class Probe(msgspec.Struct, frozen=True):
    """Send a test action."""


Command = Move | Probe
Commands = tuple[Command, ...]


class Health(msgspec.Struct, eq=False):
    """Of one Invoker; new ones are offline until their first ping is fed."""

    state: State = State.OFFLINE
    heard: float = 0.0
    """When the last event was."""
    due: float = NEVER
    """When the next probe is."""
    outcomes: deque[Outcome] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT))


_NOTHING: Commands = ()
_FAILING = (State.UNHEALTHY, State.UNRESPONSIVE)


def step(health: Health, event: Event, now: float) -> Commands:
    """`now` is in seconds."""
    match event:
        case Ended(outcome):
            return _ended(health, outcome, now)
        case Pinged(enabled):
            return _pinged(health, enabled, now)
        case ProbeLost():
            if health.state in _FAILING:
                health.due = min(health.due, now + RETRY)
        case Ticked():
            return _ticked(health, now)
    return _NOTHING


def _pinged(health: Health, enabled: bool, now: float) -> Commands:
    health.heard = now
    if not enabled:
        return _go(health, State.OFFLINE, now)
    return _go(health, State.UNHEALTHY, now) if health.state is State.OFFLINE else _NOTHING


def _ticked(health: Health, now: float) -> Commands:
    if health.state is State.OFFLINE:
        return _NOTHING
    if now - health.heard >= SILENCE:
        return _go(health, State.OFFLINE, now)
    if now >= health.due:
        health.heard, health.due = now, now + PROBES
        return (Probe(),)
    return _NOTHING


def _ended(health: Health, outcome: Outcome, now: float) -> Commands:
    health.heard = now
    health.outcomes.append(outcome)
    state, success = health.state, outcome is Outcome.SUCCESS
    if state is State.OFFLINE or (success and state is State.HEALTHY):
        return _NOTHING
    moved = _go(health, _judged(health, outcome), now)
    return (*moved, Probe()) if success and state is State.UNHEALTHY else moved


def _judged(health: Health, outcome: Outcome) -> State:
    """Where the outcome, which is among the kept ones, leads to."""
    if health.outcomes.count(Outcome.SYSTEM_ERROR) > TOLERANCE:
        return State.UNHEALTHY
    if health.outcomes.count(Outcome.TIMEOUT) > TOLERANCE:
        return State.UNRESPONSIVE
    if outcome is Outcome.SUCCESS:
        return State.HEALTHY
    if len(health.outcomes) <= TOLERANCE:
        return State.UNHEALTHY if outcome is Outcome.SYSTEM_ERROR else State.UNRESPONSIVE
    return health.state


def _go(health: Health, state: State, now: float) -> Commands:
    if state is health.state:
        return _NOTHING
    health.state = state
    if state not in _FAILING:
        health.due = NEVER
        return (Move(state),)
    health.due = now + PROBES
    return (Move(state), Probe())
