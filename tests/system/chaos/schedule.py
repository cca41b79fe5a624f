"""Which fault comes when: the same for the same seed, length and kind of user.

All faults come once before one comes again. Those that end the platform's life come in the first part, so that one life
is long enough for its memory to be looked at (`verdict`); the last seconds are calm, and nothing may fail in them.
"""

from collections.abc import Sequence
from random import Random

import msgspec

DEADLY = ("platform-killed", "killed-with-guardian", "drained", "unwritable", "killed-on-full-disk")
"""They end the platform's life and begin another."""
HARMFUL = (
    "zygote-killed",
    "sandboxes-killed",
    "guardian-killed",
    "platform-stopped",
    "zygote-stopped",
    "disk-full",
    "writes-refused",
    "clock-stepped",
    "second-platform",
)
ROOTS = frozenset({"disk-full", "killed-on-full-disk", "unwritable"})
"""They need a file system of one's own."""
LIVES = 0.55
"""The part of the time in which lives end."""
CALM = 8.0
"""Seconds at the end without a fault."""


class Step(msgspec.Struct, frozen=True):
    """A fault `at` seconds after the load has begun, and how much of it: seconds of it, or a part of what there is."""

    at: float
    deed: str
    amount: float


def durability(seed: int) -> str:
    """The setting of that name: each third seed has the platform without its log ahead."""
    return "full" if seed % 3 == 0 else "normal"


def plan(
    seed: int,
    seconds: float,
    *,
    root: bool,
    deadly: Sequence[str] = DEADLY,
    harmful: Sequence[str] = HARMFUL,
    rest: tuple[float, float] = (1.0, 6.0),
) -> list[Step]:
    """`rest`: seconds between the beginnings of two faults, from the least to the most, where time is short or not."""
    random = Random(seed)
    end = seconds * LIVES
    first = [deed for deed in (*deadly, *harmful) if root or deed not in ROOTS]
    second = [deed for deed in harmful if root or deed not in ROOTS]
    return [*_part(random, first, 1.0, end, rest), *_part(random, second, end + 3.0, seconds - CALM, rest)]


def _part(random: Random, known: Sequence[str], at: float, end: float, rest: tuple[float, float]) -> list[Step]:
    """Until `end`, but for the time that they take themselves."""
    mean = max(rest[0], min(rest[1], (end - at) / len(known)))
    steps: list[Step] = []
    hand: list[str] = []
    while at < end:
        hand = hand or random.sample(known, len(known))
        steps.append(Step(round(at, 2), hand.pop(), round(random.random(), 2)))
        at += mean * random.uniform(0.6, 1.4)
    return steps
