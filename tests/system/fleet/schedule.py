"""Which fault comes when: the same for the same seed, length and faults. All come once before one comes again."""

from collections.abc import Sequence
from random import Random

from tests.system.chaos.schedule import Step

DEEDS = (
    "invoker-killed",
    "invoker-replaced-late",
    "invoker-drained",
    "invoker-stopped",
    "invoker-doubled",
    "invoker-disabled",
    "controller-killed",
    "controller-drained",
    "controller-doubled",
    "broker-killed",
    "broker-frozen",
    "broker-and-invoker-killed",
    "database-killed",
    "database-stopped",
    "database-frozen",
    "database-and-invoker-killed",
    "all-invokers-killed",
)
CALM = 5.0
"""Seconds at the end without a fault, under load."""


def plan(seed: int, seconds: float, deeds: Sequence[str] = DEEDS) -> list[Step]:
    """`at` is the earliest time: a fault that lasts delays those after it, and what comes too late is left out."""
    random = Random(seed)
    steps: list[Step] = []
    hand: list[str] = []
    at = 2.0
    while at < seconds - CALM:
        hand = hand or random.sample(deeds, len(deeds))
        steps.append(Step(round(at, 2), hand.pop(), round(random.random(), 2)))
        at += random.uniform(0.3, 5.0)
    return steps
