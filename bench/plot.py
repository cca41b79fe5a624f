"""The rows of a run as bars, by hand in SVG: a panel of each kind of figure, two columns.

A bar ends at the median, the thin line goes from the least to the most, the dark mark is the target. Figures that are
hundreds of times one another have a logarithmic scale, which is said.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from bench.report import Result, figure, machine, target
from bench.row import Row

_WIDTH, _LABEL, _BAR, _LINE, _HEAD, _MARGIN = 860, 440, 300, 17, 44, 16
_COLOURS = {None: "#7c93b2", True: "#4c9a63", False: "#cf6a4c"}
Panel = tuple[str, list[Row]]


def panels(rows: Sequence[Row]) -> list[Panel]:
    """Rows of a part with a unit, and where names end with `: what`, of the same `what`."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        _, colon, what = row.name.rpartition(": ")
        found.setdefault(f"{row.part}, {what + ', ' if colon else ''}{row.unit}", []).append(row)
    return list(found.items())


def svg(result: Result) -> str:
    """The whole file."""
    columns: list[list[str]] = [[], []]
    heights = [_HEAD, _HEAD]
    for panel in panels(result.rows):
        column = heights.index(min(heights))
        x = _MARGIN + column * _WIDTH
        columns[column] += _drawn(panel, x, heights[column])
        heights[column] += _HEAD + _LINE * len(panel[1])
    size = f'width="{2 * _WIDTH + 2 * _MARGIN}" height="{max(heights) + _MARGIN}"'
    style = "text{font:12px sans-serif;fill:#222}.h{font-weight:bold}.s{fill:#666;font-size:11px}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style><rect {size} fill="#fff"/>'
    title = _text(_MARGIN, 24, machine(result), "h")
    return "\n".join([head, title, *columns[0], *columns[1], "</svg>", ""])


def _drawn(panel: Panel, x: int, y: int) -> Iterator[str]:
    name, rows = panel
    scale, kind = _scale([value for row in rows for value in (row.least, row.median, row.most, row.target or 0.0)])
    yield _text(x, y + 26, name + kind, "h")
    for number, row in enumerate(rows):
        yield from _bar(row, x, y + 32 + number * _LINE, scale)


def _scale(values: Sequence[float]) -> tuple[Callable[[float], float], str]:
    """From a value to the length of its bar."""
    most = max(values) or 1.0
    least = min((value for value in values if value > 0), default=most)
    if most / least < 300:
        return lambda value: max(0.0, value) / most * _BAR, ""
    start = math.floor(math.log10(least))
    across = math.log10(most) - start
    return lambda value: max(0.0, math.log10(value) - start) / across * _BAR if value > 0 else 0.0, " (logarithmic)"


def _bar(row: Row, x: int, y: int, scale: Callable[[float], float]) -> Iterator[str]:
    left, middle = x + _LABEL, y + _LINE / 2
    yield _text(left - 6, y + 13, row.name.rpartition(": ")[0] or row.name, "", "end")
    place = f'x="{left}" y="{y + 3}" width="{scale(row.median):.1f}" height="{_LINE - 6}"'
    yield f'<rect {place} fill="{_COLOURS[row.met]}"/>'
    ends = f'x1="{left + scale(row.least):.1f}" x2="{left + scale(row.most):.1f}" y1="{middle}" y2="{middle}"'
    yield f'<line {ends} stroke="#333" stroke-width="1"/>'
    if row.target is not None:
        at = f"{left + scale(row.target):.1f}"
        yield f'<line x1="{at}" x2="{at}" y1="{y}" y2="{y + _LINE}" stroke="#111" stroke-width="2"/>'
    yield _text(left + _BAR + 8, y + 13, f"{figure(row.median)} {target(row) and f'({target(row)})'}", "s")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
