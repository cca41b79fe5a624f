"""What the Invoker counts: plain numbers, read by the metrics (spec: metrics.md §3)."""

from collections import deque
from typing import Literal, get_args

import msgspec

from upcall.core.events import Start
from upcall.core.prewarm import CellKey
from upcall.invoker.tallies import Tallies
from upcall.measures import Histogram
from upcall.model.activation import STATUS, SUCCESS, Activation

FAILURES = 50
"""Failed activations that are remembered."""

Operation = Literal["create", "claim", "pause", "resume", "remove"]


class Failure(msgspec.Struct, frozen=True):
    """An activation that failed, without anything that its code has said: that is its owner's."""

    at: int
    """Epoch ms."""
    activation: str
    initiator: str
    action: str
    status: str


class Counters:
    """Each only ever grows."""

    __slots__ = (
        "aborted",
        "activations",
        "blocked",
        "buffered",
        "cache_misses",
        "coldstarts",
        "collect_error_times",
        "collect_times",
        "collected_at_once",
        "container_failures",
        "container_times",
        "expired",
        "failed",
        "failures",
        "init_error_times",
        "init_times",
        "inits",
        "lost",
        "refused",
        "rescheduled",
        "retries",
        "run_error_times",
        "tallies",
        "uninited",
        "unwaited",
        "waits",
    )

    def __init__(self) -> None:
        self.activations = 0
        """messages taken from the feed"""
        self.refused = 0
        """ended before the pool saw them: no such action, limits, a blocked namespace, an earlier life"""
        self.blocked = self.cache_misses = 0
        """those of them whose namespace is blocked; taken, and their action was not at hand"""
        self.aborted = 0
        """ended in the pool without having run"""
        self.tallies = Tallies()
        """what is counted by action"""
        self.uninited = 0
        """starts that needed /init"""
        self.inits = 0
        """calls of /init"""
        self.init_times, self.init_error_times = Histogram(), Histogram()
        self.collect_times, self.collect_error_times = Histogram(), Histogram()
        self.run_error_times = Histogram()
        """of calls of /run without an answer"""
        self.collected_at_once = 0
        """collections of logs that nothing had to be waited for"""
        self.waits, self.unwaited = Histogram(), 0
        """from acceptance to the container, and how many took a millisecond at most"""
        self.buffered = 0
        """had to wait for memory"""
        self.rescheduled = 0
        """given back to the pool by a container that would not take it"""
        self.container_times: dict[Operation, Histogram] = {each: Histogram() for each in get_args(Operation)}
        self.container_failures = 0
        """containers that did not start, pause, resume or go as they were told"""
        self.retries = 0
        """connections to containers that are gone, tried again"""
        self.lost = {"warm": 0, "prewarm": 0}
        """containers that died by themselves"""
        self.coldstarts: dict[CellKey, int] = {}
        self.expired: dict[CellKey, int] = {}
        """cold starts that a stem cell could have spared; stem cells that grew too old"""
        self.failed = 0
        self.failures: deque[Failure] = deque(maxlen=FAILURES)
        """the newest last"""

    @property
    def cache_hits(self) -> int:
        return self.activations - self.blocked - self.cache_misses

    @property
    def runs(self) -> int:
        """Calls of /run: of warm containers at once, of others when /init has gone well."""
        return sum(self.starts.values()) - self.uninited + self.init_times.count

    @property
    def run_times(self) -> Histogram:
        """Of calls of /run that were answered."""
        return sum((tally.times for tally in self.tallies.all()), Histogram())

    @property
    def starts(self) -> dict[Start, int]:
        """By how the container was found."""
        tallies = self.tallies.all()
        return {start: sum(tally.starts[start] for tally in tallies) for start in get_args(Start)}

    @property
    def outcomes(self) -> list[int]:
        """Of what ran or tried to, by status."""
        tallies = self.tallies.all()
        return [sum(tally.outcomes[status] for tally in tallies) for status in range(len(STATUS))]

    def note(self, record: Activation, action: str) -> None:
        """Remember an activation if it has failed; `action` is its full name."""
        status = record.response.status_code
        if status != SUCCESS:
            self.failed += 1
            self.failures.append(Failure(record.end, record.activation_id, record.namespace, action, STATUS[status]))
