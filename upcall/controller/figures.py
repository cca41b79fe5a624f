"""What the Controller counts, and how it is shown (`upcall.metrics`).

Counting is a list's element or a dictionary's value that grows, because it happens on the warm path; all the rest is
done when somebody asks.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.http.requests import Requests, shown
from upcall.measures import Histogram, many, one

if TYPE_CHECKING:
    from prometheus_client import Metric


class Figures:
    """Each only ever grows."""

    __slots__ = ("invokes", "requests", "waits")

    def __init__(self) -> None:
        self.invokes: list[Histogram | None] = [None] * 600
        """Answers of the invoke route by status."""
        self.requests = Requests()
        """Answers of all other routes; the method `refused` stands for what the edge does not take."""
        self.waits = Histogram()
        """Of blocking calls that got their result."""

    def invoked(self, status: int, seconds: float) -> None:
        times = self.invokes[status]
        if times is None:
            times = self.invokes[status] = Histogram()
        times.observe(seconds)

    def answered(self, method: str, status: int, seconds: float) -> None:
        self.requests.answered(method, status, seconds)

    def metrics(self, in_flight: int, states: Sequence[str], tags: bool = True) -> Iterator["Metric"]:
        """`states` are those of the Invokers."""
        invokes = [("POST", status, times) for status, times in enumerate(self.invokes) if times]
        yield from shown([*invokes, *self.requests.times()], tags)
        yield from one(names.BLOCKING_WAITS, self.waits)
        yield from one(names.IN_FLIGHT, in_flight)
        yield from many(names.INVOKERS, [((state,), states.count(state)) for state in sorted({"up", *states})])
