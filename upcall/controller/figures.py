"""What the Controller counts, and how it is shown (`upcall.metrics`).

Counting is a list's element or a dictionary's value that grows, because it happens on the warm path; all the rest is
done when somebody asks.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.measures import Histogram, Row, many, one

if TYPE_CHECKING:
    from prometheus_client import Metric


class Figures:
    """Each only ever grows."""

    __slots__ = ("invokes", "requests", "waits")

    def __init__(self) -> None:
        self.invokes: list[Histogram | None] = [None] * 600
        """Answers of the invoke route by status."""
        self.requests: dict[tuple[str, int], Histogram] = {}
        """Answers of all other routes by method and status; `refused` stands for what the edge does not take."""
        self.waits = Histogram()
        """Of blocking calls that got their result."""

    def invoked(self, status: int, seconds: float) -> None:
        times = self.invokes[status]
        if times is None:
            times = self.invokes[status] = Histogram()
        times.observe(seconds)

    def answered(self, method: str, status: int, seconds: float) -> None:
        self.requests.setdefault((method, status), Histogram()).observe(seconds)

    def metrics(self, in_flight: int, states: Sequence[str], tags: bool = True) -> Iterator["Metric"]:
        """`states` are those of the Invokers."""
        for method, rows in sorted(self._by_method().items()):
            counts = [(labels, times.count) for labels, times in rows if isinstance(times, Histogram)]
            yield from many(names.HTTP_ANSWERS, counts, tags=tags, method=method)
            yield from many(names.HTTP_TIMES, rows, tags=tags, method=method)
        yield from one(names.BLOCKING_WAITS, self.waits)
        yield from one(names.IN_FLIGHT, in_flight)
        yield from many(names.INVOKERS, [((state,), states.count(state)) for state in sorted({"up", *states})])

    def _by_method(self) -> dict[str, list[Row]]:
        invokes = [("POST", status, times) for status, times in enumerate(self.invokes) if times]
        others = [(method, status, times) for (method, status), times in self.requests.items()]
        found: dict[str, list[Row]] = {}
        for method, status, times in sorted(invokes + others, key=lambda each: each[:2]):
            found.setdefault(method.lower(), []).append(((str(status),), times))
        return found
