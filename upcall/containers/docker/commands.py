"""What the engine was told, counted and timed as upstream counts the commands of docker (spec: metrics.md §3)."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from upcall import metrics as names
from upcall.markers import marked
from upcall.measures import Histogram, many

if TYPE_CHECKING:
    from prometheus_client import Metric

Command = Literal["run", "rm", "ps", "inspect", "pull", "pause", "unpause"]
"""`run` is a container's creation with its start."""


class Commands:
    """Of one engine; each number only ever grows."""

    def __init__(self) -> None:
        self.begun: defaultdict[Command, int] = defaultdict(int)
        self.ended: defaultdict[Command, Histogram] = defaultdict(Histogram)
        self.failed: defaultdict[Command, Histogram] = defaultdict(Histogram)

    @contextlib.contextmanager
    def timed(self, command: Command) -> Iterator[None]:
        """What is done inside; it fails by raising."""
        self.begun[command] += 1
        began = perf_counter()
        times = self.failed
        try:
            with marked(f"invoker_docker.{command}", f"docker {command}"):
                yield
            times = self.ended
        finally:
            times[command].observe(perf_counter() - began)

    def metrics(self, tags: bool = True) -> Iterator["Metric"]:
        """Of the commands that there were."""
        yield from many(names.COMMANDS, [((name,), count) for name, count in self.begun.items()], tags=tags)
        yield from many(names.COMMAND_TIMES, [((name,), times) for name, times in self.ended.items()], tags=tags)
        failed = list(self.failed.items())
        yield from many(names.COMMAND_ERRORS, [((name,), times.count) for name, times in failed], tags=tags)
        yield from many(names.COMMAND_ERROR_TIMES, [((name,), times) for name, times in failed], tags=tags)
