"""What the Controller counts, and how it is shown (spec: metrics.md §2, §3).

Counting is a list's element or a dictionary's value that grows, because it happens on the warm path; all the rest is
done when somebody asks. Names of OpenWhisk's metrics are as its exporter writes them, with tags; what it has no name
for begins with `upcall_`. Metrics are made of `prometheus_client`, which is loaded with the first question: callers
import this module without it.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Seconds, in buckets; the last one is for what is above all bounds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def cumulated(self) -> list[tuple[str, float]]:
        """Bound and how many were not above it."""
        total = 0
        rows = []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


class Figures:
    """Each only ever grows, but for `lag`."""

    __slots__ = ("invokes", "lag", "requests", "waits")

    def __init__(self) -> None:
        self.invokes = [0] * 600
        """Answers of the invoke route by status."""
        self.requests: dict[tuple[str, int], int] = {}
        """Answers of all other routes by method and status; `refused` stands for what the edge does not take."""
        self.waits = Histogram()
        """Of blocking calls that got their result."""
        self.lag = 0.0
        """Seconds that the event loop's last regular turn came late."""

    def answered(self, method: str, status: int) -> None:
        key = method, status
        self.requests[key] = self.requests.get(key, 0) + 1

    def metrics(self, in_flight: int, states: Sequence[str]) -> Iterator["Metric"]:
        """`states` are those of the Invokers."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for method, statuses in sorted(self._by_method().items()):
            requests = CounterMetricFamily(f"counter_http_{method}_counter", "Answers.", labels=["statusCode"])
            for status, count in sorted(statuses.items()):
                requests.add_metric([str(status)], count)
            yield requests
        yield HistogramMetricFamily(
            "histogram_controller_blockingActivation_finish_seconds",
            "From a blocking call to its result.",
            buckets=self.waits.cumulated(),
            sum_value=self.waits.sum,
        )
        yield GaugeMetricFamily("upcall_activations_in_flight", "Sent, and not yet ended.", in_flight)
        invokers = GaugeMetricFamily("upcall_invokers", "Invokers by state.", labels=["state"])
        for state in sorted({"up", *states}):
            invokers.add_metric([state], states.count(state))
        yield invokers
        yield GaugeMetricFamily("upcall_loop_lag_seconds", "How late the event loop's last turn came.", self.lag)

    def _by_method(self) -> dict[str, dict[int, int]]:
        found: dict[str, dict[int, int]] = {
            "post": {status: count for status, count in enumerate(self.invokes) if count}
        }
        for (method, status), count in self.requests.items():
            statuses = found.setdefault(method.lower(), {})
            statuses[status] = statuses.get(status, 0) + count
        return found
