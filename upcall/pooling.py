"""Settings of the container pool: how long containers are kept, and when stem cells follow demand (spec: container.md
§6.4, §7)."""

from typing import Any

import msgspec

from upcall.model.forms import count
from upcall.model.sizes import parse_duration
from upcall.setting import RUNS, Setting


class Pooling(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds; the last is a number of containers."""

    pause_grace: float = 10.0
    idle_container: float = 600.0
    prewarm_delay: float = 600.0
    prewarm_interval: float = 600.0
    prewarm_variance: float = 10.0
    prewarm_limit: int = 100


def _some_time(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 1:  # rounds without end would leave the loop no time
        raise ValueError(f"'{text}' is less than 1 s")
    return seconds


POOL_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "pool.pause-grace",
        parse_duration,
        "10 s",
        "idle time before a container is paused",
        ("whisk.container-proxy.timeouts.pause-grace",),
        roles=RUNS,
    ),
    Setting(
        "pool.idle-container",
        parse_duration,
        "10 minutes",
        "paused time before a container is removed",
        ("whisk.container-proxy.timeouts.idle-container",),
        roles=RUNS,
    ),
    Setting(
        "pool.prewarm-delay",
        parse_duration,
        "10 minutes",
        "time from the start to the first round in which containers kept ready follow the cold starts that there were",
        ("whisk.container-pool.prewarm-expiration-check-init-delay",),
        roles=RUNS,
    ),
    Setting(
        "pool.prewarm-interval",
        _some_time,
        "10 minutes",
        "time from one round to the next",
        ("whisk.container-pool.prewarm-expiration-check-interval",),
        roles=RUNS,
    ),
    Setting(
        "pool.prewarm-variance",
        parse_duration,
        "10 s",
        "at most so much is added to both, at random, so that Invokers do not move in step",
        ("whisk.container-pool.prewarm-expiration-check-interval-variance",),
        roles=RUNS,
    ),
    Setting(
        "pool.prewarm-limit",
        count,
        "100",
        "containers kept ready that are removed in one round for their age, at most",
        ("whisk.container-pool.prewarm-expiration-limit",),
        roles=RUNS,
    ),
)


def take_pooling(values: dict[str, Any]) -> Pooling:
    """Made of the values of `POOL_SETTINGS`, which are taken out."""
    own = {name: values.pop(name) for name in list(values) if name.startswith("pool_")}
    return Pooling(**{name.removeprefix("pool_"): value for name, value in own.items()})
