"""Measures the platform on this machine beside its floors, in one run: a table here, `bench.json` and `bench.svg` in
`bench/results`. Exit code 1 where a measurement failed; a target that is missed is a result.

    scripts/bench [--quick] [--only PART] [--rounds N]
    .venv/bin/python -m bench --document        the last results into docs/performance.md
"""

import argparse
import asyncio
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

from bench import document, plot, report
from bench.row import Incomplete, Row, first_line

BUDGETS = {
    "pure": (20, 8),
    "calls": (15, 5),
    "stalls": (35, 7),
    "life": (60, 10),
    "density": (60, 10),
    "cold": (90, 15),
    "warm": (300, 35),
}
"""Parts in their order; seconds on a quiet machine, whole and quick."""
PATIENCE = 6
"""Times as much a part may take."""
RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"


async def measured(name: str, quick: bool, rounds: int) -> list[Row]:
    """Rows of a part. Raises whatever goes wrong there, and TimeoutError."""
    part = importlib.import_module(f"bench.{name}")
    async with asyncio.timeout(BUDGETS[name][quick] * PATIENCE):
        found: list[Row] = await (part.rows(quick, rounds) if name == "warm" else part.rows(quick))
    return found


def run(name: str, result: report.Result, rounds: int) -> None:
    """A part, into the result."""
    print(f"{name}, about {BUDGETS[name][result.quick]} s", file=sys.stderr, flush=True)
    began, load, error = time.monotonic(), os.getloadavg()[0], ""
    try:
        result.rows += asyncio.run(measured(name, result.quick, rounds))
    except Incomplete as rest:
        result.rows += rest.rows
        error = str(rest)
    except Exception as failure:  # noqa: BLE001 - the other parts are still of use
        traceback.print_exc()
        error = first_line(failure)
    result.parts.append(report.Part(name, time.monotonic() - began, (load, os.getloadavg()[0]), error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a minute and a half instead of eight: one round, fewer calls"
    )
    parser.add_argument("--only", action="append", choices=BUDGETS, metavar="PART", help=f"of {', '.join(BUDGETS)}")
    parser.add_argument("--rounds", type=int, default=0, help="of warm activations; 3, quick 1")
    parser.add_argument("--document", action="store_true", help="write the last results into docs/performance.md")
    options = parser.parse_args()
    if options.document:
        if not (found := RESULTS / "bench.json").exists():
            sys.exit(f"bench: there is no {found}: scripts/bench makes it")
        document.replace(DOCUMENT, report.read(found))
        return 0
    result = report.new(options.quick)
    for name in options.only or BUDGETS:
        run(name, result, options.rounds)
    report.write(result, RESULTS / "bench.json")
    (RESULTS / "bench.svg").write_text(plot.svg(result))
    print(*report.table(result), sep="\n")
    return 1 if any(part.error for part in result.parts) else 0


if __name__ == "__main__":
    sys.exit(main())
