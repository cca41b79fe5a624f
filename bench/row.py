"""One line of the bench's table, and what a part of the bench is.

A part is a module with `async def rows(quick: bool) -> list[Row]`. `bench.__main__` runs all of them one after another,
says how long each may take, and writes table, JSON and plot. What goes wrong raises: then the part failed. A target
that is missed is a result. Names of rows that belong together end alike, `…: what`.
"""

import statistics
from typing import Literal

import msgspec


class Row(msgspec.Struct):
    """What was measured: one value of each round, or of each try; `better` says which way a target is met."""

    part: str
    name: str
    unit: str
    values: list[float]
    target: float | None = None
    better: Literal["less", "more"] = "less"
    note: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"nothing was measured: {self.part}, {self.name}")

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def most(self) -> float:
        return max(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median is as good as the target; None without one."""
        if self.target is None:
            return None
        return self.median <= self.target if self.better == "less" else self.median >= self.target


class Incomplete(Exception):
    """Some of a part failed; these are the rows of the rest."""

    def __init__(self, rows: list[Row], failures: list[str]) -> None:
        super().__init__("; ".join(failures))
        self.rows = rows


def first_line(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}".splitlines()[0]
