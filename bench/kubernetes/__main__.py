"""Measures upcall on the tests' own Kubernetes: a table here, all values in `bench/results/kubernetes.json`.

    python -m bench.kubernetes [--quick] [PART …]

A part is a module here with `def rows(cluster: Cluster, quick: bool) -> list[Row]`; what goes wrong raises. As root.
"""

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

from bench import report
from bench.row import first_line
from tests.kubernetes.cluster import programs
from tests.kubernetes.cluster.cluster import Cluster

RESULTS = Path(__file__).parents[1] / "results" / "kubernetes.json"
OTHERS = ("__init__", "__main__", "servers")


def parts() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in OTHERS)


def run(cluster: Cluster, name: str, result: report.Result) -> None:
    """A part, into the result."""
    print(name, file=sys.stderr, flush=True)
    began, load, error = time.monotonic(), os.getloadavg()[0], ""
    try:
        result.rows += importlib.import_module(f"bench.kubernetes.{name}").rows(cluster, result.quick)
    except Exception as failure:  # noqa: BLE001 - the other parts are still of use
        traceback.print_exc()
        error = first_line(failure)
    result.parts.append(report.Part(name, time.monotonic() - began, (load, os.getloadavg()[0]), error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts())}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts()):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: {', '.join(parts())}")
    if (reason := programs.missing()) is not None:
        sys.exit(f"bench: {reason}")
    programs.build()
    cluster = Cluster.join()
    result = report.new(options.quick)
    for name in options.parts or parts():
        run(cluster, name, result)
    report.write(result, RESULTS)
    print(*report.table(result), sep="\n")
    return 1 if any(part.error for part in result.parts) else 0


if __name__ == "__main__":
    sys.exit(main())
