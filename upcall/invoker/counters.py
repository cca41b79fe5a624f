"""What the Invoker counts: plain numbers, read by the metrics (spec: metrics.md §3)."""

from typing import get_args

from upcall.core.events import Start


class Counters:
    """Each only ever grows."""

    __slots__ = (
        "aborted",
        "activations",
        "container_failures",
        "init_failures",
        "inits",
        "log_failures",
        "lost",
        "outcomes",
        "refused",
        "rescheduled",
        "starts",
    )

    def __init__(self) -> None:
        self.activations = 0
        """messages taken from the feed"""
        self.refused = 0
        """ended before the pool saw them: no such action, limits, a blocked namespace, an earlier life"""
        self.aborted = 0
        """ended in the pool without having run"""
        self.starts: dict[Start, int] = dict.fromkeys(get_args(Start), 0)
        """by how the container was found"""
        self.inits = 0
        self.init_failures = 0
        self.outcomes = [0, 0, 0, 0]
        """of what ran or tried to, by status"""
        self.rescheduled = 0
        """given back to the pool by a container that would not take it"""
        self.log_failures = 0
        self.container_failures = 0
        """containers that did not start, pause, resume or go as they were told"""
        self.lost = 0
        """containers that died by themselves"""
