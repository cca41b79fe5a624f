"""Which Invoker gets a job. One Invoker, number 0, takes all of them; it is there or it is not (spec: load-balancer.md
§1, LeanBalancer). The shape is the sharding balancer's: `publish` chooses and books, `release` gives back.
"""

import msgspec

from upcall.errors import Unavailable


class Job(msgspec.Struct, frozen=True):
    """What placement looks at. `namespace` is the invoking one, `action` the id without version."""

    namespace: str
    action: str
    memory: int
    """MB"""
    concurrency: int = 1
    blackbox: bool = False


class Balancer(msgspec.Struct):
    """The state; `usable` is false while the Invoker takes no work."""

    invoker: int = 0
    usable: bool = True
    jobs: int = 0
    """Published and not released."""


def publish(state: Balancer, job: Job) -> int:
    """The Invoker's number. Raises Unavailable where no Invoker is usable."""
    if not state.usable:
        raise Unavailable
    state.jobs += 1
    return state.invoker


def release(state: Balancer, job: Job, invoker: int) -> None:
    """The job's slot is free again."""
    state.jobs -= 1
