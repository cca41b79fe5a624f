"""What a run of the bench came to: as JSON, and as a table for a terminal."""

import os
import platform
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.row import Row


class Part(msgspec.Struct):
    """How a part went; `error` is empty where it went well."""

    name: str
    seconds: float
    load: tuple[float, float]
    """Load averages of a minute, before and after."""
    error: str = ""


class Machine(msgspec.Struct):
    """Where it was measured."""

    python: str
    optimised: bool
    """Whether Python was built with profiles."""
    kernel: str
    cores: int
    memory: float
    """GiB"""
    user: int


class Result(msgspec.Struct):
    """All of it."""

    at: str
    quick: bool
    machine: Machine
    parts: list[Part]
    rows: list[Row]

    def of(self, part: str) -> list[Row]:
        return [row for row in self.rows if row.part == part]


def this_machine() -> Machine:
    return Machine(
        platform.python_version(),
        optimised(str(sysconfig.get_config_var("CONFIG_ARGS")), sysconfig.get_scheme_names()),
        platform.release().partition("-")[0],
        os.cpu_count() or 1,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        os.geteuid(),
    )


def optimised(arguments: str, schemes: Sequence[str]) -> bool:
    """Debian's and Ubuntu's are, and do not say so."""
    return "--enable-optimizations" in arguments or "deb_system" in schemes


def new(quick: bool) -> Result:
    return Result(time.strftime("%Y-%m-%d %H:%M", time.gmtime()), quick, this_machine(), [], [])


def write(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = msgspec.to_builtins(result)
    for row, made in zip(result.rows, found["rows"], strict=True):
        made |= {"least": row.least, "median": row.median, "most": row.most, "met": row.met}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))


def read(path: Path) -> Result:
    return msgspec.json.decode(path.read_bytes(), type=Result)


def figure(value: float) -> str:
    """With three digits that count."""
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 1
        else f"{value:.3f}"
    )


def target(row: Row) -> str:
    """`≤ 55`, or nothing."""
    return "" if row.target is None else f"{'≤' if row.better == 'less' else '≥'} {row.target:g}"


def machine(result: Result) -> str:
    """A line."""
    m = result.machine
    build = "with" if m.optimised else "without"
    who = "root" if m.user == 0 else f"user {m.user}"
    return (
        f"{result.at} UTC, {'quick, ' if result.quick else ''}{m.cores} cores, {m.memory:.0f} GiB, Linux {m.kernel}, "
        f"Python {m.python} built {build} profiles, {who}"
    )


def table(result: Result) -> Iterator[str]:
    """Lines: each part's rows, then those with a target once more."""
    yield machine(result)
    for part in result.parts:
        yield from ("", f"{part.name}: {part.seconds:.0f} s, load {part.load[0]:.1f} to {part.load[1]:.1f}")
        yield from _lines(result.of(part.name))
        if part.error:
            yield f"  FAILED: {part.error}"
    aimed = [row for row in result.rows if row.target is not None]
    if aimed:
        yield from ("", f"targets: {sum(bool(row.met) for row in aimed)} of {len(aimed)} met")
        yield from _lines(aimed)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    width, unit = max(len(row.name) for row in rows), max(len(row.unit) for row in rows)
    yield f"  {'':{width}} {'':{unit}}{'least':>11}{'median':>11}{'most':>11}"
    for row in rows:
        values = "".join(f"{figure(value):>11}" for value in (row.least, row.median, row.most))
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        rest = f"   {target(row):9}{verdict:8}{row.note}".rstrip()
        yield f"  {row.name:{width}} {row.unit:{unit}}{values}{rest}"
