"""How requests by HTTP were answered, by method and status."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.measures import Histogram, Row, many

if TYPE_CHECKING:
    from prometheus_client import Metric

Times = tuple[str, int, Histogram]
"""Method, status, and how long its answers took."""


class Requests:
    """Of one server; each only ever grows."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[tuple[str, int], Histogram] = {}

    def answered(self, method: str, status: int, seconds: float) -> None:
        self._times.setdefault((method, status), Histogram()).observe(seconds)

    def times(self) -> list[Times]:
        return [(method, status, times) for (method, status), times in self._times.items()]

    def metrics(self, tags: bool) -> Iterator["Metric"]:
        return shown(self.times(), tags)


def shown(all_times: Iterable[Times], tags: bool) -> Iterator["Metric"]:
    """As metrics."""
    by_method: dict[str, list[Row]] = {}
    for method, status, times in sorted(all_times, key=lambda each: each[:2]):
        by_method.setdefault(method.lower(), []).append(((str(status),), times))
    for method, rows in sorted(by_method.items()):
        counts = [(labels, times.count) for labels, times in rows if isinstance(times, Histogram)]
        yield from many(names.HTTP_ANSWERS, counts, tags=tags, method=method)
        yield from many(names.HTTP_TIMES, rows, tags=tags, method=method)
