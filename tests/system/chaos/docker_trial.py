"""A trial with Docker's containers, for root: an engine of its own, and its faults besides the platform's.

Every other seed's engine leaves its containers running when it ends (`live-restore`).
"""

from collections.abc import Callable
from pathlib import Path

from tests.system.chaos.docker_actions import BY_NAME
from tests.system.chaos.docker_deeds import DEADLY, HARMFUL, DockerDeeds
from tests.system.chaos.docker_stage import staged_docker
from tests.system.chaos.docker_verdict import DockerVerdict, SurvivorsVerdict
from tests.system.chaos.schedule import durability, plan
from tests.system.chaos.trial import Play, perform

REST = (8.0, 12.0)
"""Seconds between the beginnings of two faults: an engine takes some to be back."""


def docker_trial(seed: int, seconds: float, say: Callable[[str], None], folder: Path | None = None) -> bool:
    """Whether nothing was wrong."""
    survives = seed % 2 == 1
    steps = plan(seed, seconds, root=True, deadly=DEADLY, harmful=HARMFUL, rest=REST)
    play = Play(steps, BY_NAME, DockerDeeds, SurvivorsVerdict if survives else DockerVerdict)
    with staged_docker(folder, 64 + int(seconds), durability(seed), survives=survives) as stage:
        say(f"containers {'outlive' if survives else 'end with'} their engine")
        return perform(seed, play, stage, say)
