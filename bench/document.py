"""The results of a run in Markdown, put between two marks of `docs/performance.md`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.report import Result, figure, machine, target
from bench.row import Row

BEGIN, END = "<!-- results: python -m bench --document -->", "<!-- end of results -->"
_COLUMNS = ("rate", "p50", "p99", "CPU of the platform", "CPU of what answers", "CPU of the client")
"""Of what is said of each side of a comparison."""


def replace(path: Path, result: Result) -> None:
    """Raises ValueError where the marks are missing."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for results, which is between {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(markdown(result)) + f"\n{END}{after}")


def markdown(result: Result) -> Iterator[str]:
    """Lines: targets, then all rows by part."""
    yield from ("", f"{machine(result)}.", "", "| target | | median | least to most | |", "|---|---|---|---|---|")
    for row in result.rows:
        if row.target is not None:
            verdict = "met" if row.met else "**missed**"
            yield f"| {row.name} | {target(row)} {row.unit} | {figure(row.median)} | {_span(row)} | {verdict} |"
    for part in result.parts:
        yield from ("", f"### {part.name.capitalize()}", "")
        yield f"{part.seconds:.0f} s, load {part.load[0]:.1f} to {part.load[1]:.1f}."
        if part.error:
            yield from ("", f"**Failed**: {part.error}. What was measured before:")
        yield from _part(result.of(part.name))
    yield ""


def _part(rows: Sequence[Row]) -> Iterator[str]:
    sides: dict[str, dict[str, Row]] = {}
    for row in rows:
        side, _, what = row.name.rpartition(": ")
        if what in _COLUMNS and side:
            sides.setdefault(side, {})[what] = row
    whole = {side: found for side, found in sides.items() if len(found) >= len(_COLUMNS) - 1}
    if whole:
        yield from ("", "| medians | per second | p50 ms | p99 ms | platform µs | what answers µs | client µs |")
        yield "|---|---|---|---|---|---|---|"
        for side, found in whole.items():
            cells = (figure(found[what].median) if what in found else "" for what in _COLUMNS)
            yield f"| {side} | {' | '.join(cells)} |"
    others = [row for row in rows if not (row.name.rpartition(": ")[0] in whole and row.name.endswith(_COLUMNS))]
    if others:
        yield from ("", "| | median | least to most | unit | |", "|---|---|---|---|---|")
        for row in others:
            yield f"| {row.name} | {figure(row.median)} | {_span(row)} | {row.unit} | {row.note} |"


def _span(row: Row) -> str:
    return f"{figure(row.least)} to {figure(row.most)}"
