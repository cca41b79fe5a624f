"""Writes docs/reference/metrics.md from the table in `upcall.metrics`; `--check` fails where it is out of date."""

import sys
from pathlib import Path

from upcall import metrics
from upcall.measures import BOUNDS, MEASURES, Measure

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
TABLE = Path(metrics.__file__).relative_to(PAGE.parents[2])
ENDINGS = {"counter": "_total", "gauge": "", "histogram": "_bucket, _sum, _count"}


def row(measure: Measure) -> str:
    labels = ", ".join(f"`{label}`" for label in measure.labels)
    untagged = f"`{measure.untagged}`" if measure.untagged else ""
    ending = ENDINGS[measure.kind]
    name = f"`{measure.name}{ending}`" if measure.kind != "histogram" else f"`{measure.name}` + `{ending}`"
    return f"| {name} | {measure.kind} | {labels} | {measure.help} | {untagged} |"


def table(measures: list[Measure]) -> list[str]:
    return ["| name | kind | labels | meaning | name without tags |", "|---|---|---|---|---|", *map(row, measures)]


def text() -> str:
    known = list(MEASURES.values())
    lines = [
        "# Metrics",
        "",
        f"Made from `{TABLE}` by `scripts/metrics_reference.py`. `GET /metrics` shows them in",
        "Prometheus' form, with what Python says of the process and of its garbage (`process_*`, `python_gc_*`). It",
        "needs no credentials and names namespaces and actions: keep it from strangers at the edge, or switch it off",
        "(`metrics = off`). Actions cannot reach it from their own networks.",
        "",
        f"Times are in seconds; the buckets end at {', '.join(map(str, BOUNDS))} s.",
        "",
        "## OpenWhisk's",
        "",
        "Names as OpenWhisk's exporter writes them. With `metrics-tags = off` (`METRICS_KAMON_TAGS=false`) there are",
        "no labels: `{0}` of the last column is the first one's value. `{method}` is the request's, in lower case.",
        "Actions have at most 1000 sets of labels; when there are more, those not used lately are counted in one",
        "without names.",
        "",
        *table([measure for measure in known if measure.is_upstreams]),
        "",
        "## Ours",
        "",
        *table([measure for measure in known if not measure.is_upstreams]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text() else f"{PAGE} is out of date: run scripts/metrics_reference.py")
    PAGE.write_text(text())
