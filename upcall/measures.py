"""What a metric is, and how it is put into Prometheus' form (spec: metrics.md §2); the table is `upcall.metrics`.

OpenWhisk can show its metrics without tags: what would be a label is then part of the name (`{0}` of `untagged` is the
first label's value) or is left out; ours keep their labels.

Counting happens where things happen, as a number that grows; a family is made when somebody asks. `prometheus_client`
is loaded with the first question: callers import this module without it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    from prometheus_client import Metric

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; OpenWhisk's go from 0.005 to 10."""


class Histogram:
    """Seconds, in buckets; the last one is for what is above all bounds. `observe` takes 0.1 us."""

    __slots__ = ("counts", "sum")
    bounds: ClassVar[tuple[float, ...]] = BOUNDS

    def __init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulated(self) -> list[tuple[str, float]]:
        """Bound and how many were not above it."""
        total = 0
        rows = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows

    def __add__(self, other: "Histogram") -> "Histogram":
        both = type(self)()
        both.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        both.sum = self.sum + other.sum
        return both


class Numbers(Histogram):
    """Of how many things something had."""

    __slots__ = ()
    bounds = (1, 3, 10, 30, 100, 300, 1000)

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Measure(msgspec.Struct, frozen=True):
    """`name` is Prometheus' without the endings of counters and histograms; `{method}` and its like are parts that a
    source fills in."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    untagged: str = ""
    """The name without tags, where there are labels."""

    @property
    def is_upstreams(self) -> bool:
        return not self.name.startswith("upcall_")


MEASURES: dict[str, Measure] = {}
"""By name."""


def counter(name: str, help: str, labels: tuple[str, ...] = (), untagged: str = "") -> str:
    return _add(Measure(name, "counter", help, labels, untagged))


def gauge(name: str, help: str, labels: tuple[str, ...] = (), untagged: str = "") -> str:
    return _add(Measure(name, "gauge", help, labels, untagged))


def histogram(name: str, help: str, labels: tuple[str, ...] = (), untagged: str = "") -> str:
    return _add(Measure(name, "histogram", help, labels, untagged))


def _add(measure: Measure) -> str:
    assert measure.name not in MEASURES
    MEASURES[measure.name] = measure
    return measure.name


Value = float | Histogram
Row = tuple[Sequence[str], Value]


def one(name: str, value: Value) -> Iterator["Metric"]:
    """The family of a metric without labels."""
    return many(name, [((), value)])


def many(name: str, rows: Iterable[Row], *, tags: bool = True, **parts: str) -> Iterator["Metric"]:
    """The families of a metric: several where tags are off and parts of the name. Rows hold the labels' values, and may
    repeat: they are added up."""
    measure, parts = MEASURES[name], {part: _safe(value) for part, value in parts.items()}
    tagged = tags or not measure.untagged
    families: dict[str, dict[tuple[str, ...], Value]] = {name.format(**parts): {}} if tagged else {}
    for labels, value in rows:
        title = (name if tagged else measure.untagged).format(*map(_safe, labels), **parts)
        found, key = families.setdefault(title, {}), tuple(labels) if tagged else ()
        found[key] = found[key] + value if key in found else value  # type: ignore[operator]
    for title, found in families.items():
        yield _family(measure, title, measure.labels if tagged else (), found)


def _family(measure: Measure, title: str, labels: Sequence[str], rows: dict[tuple[str, ...], Value]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if measure.kind == "histogram":
        shown = HistogramMetricFamily(title, measure.help, labels=labels)
        for key, value in rows.items():
            assert isinstance(value, Histogram)
            shown.add_metric(key, buckets=value.cumulated(), sum_value=value.sum)
        return shown
    family = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    numbers: CounterMetricFamily | GaugeMetricFamily = family(title, measure.help, labels=labels)
    for key, value in rows.items():
        assert not isinstance(value, Histogram)
        numbers.add_metric(key, value)
    return numbers


def _safe(value: str) -> str:
    """As part of a name."""
    return "".join(each if (each.isalnum() and each.isascii()) or each in "_:" else "_" for each in value)
