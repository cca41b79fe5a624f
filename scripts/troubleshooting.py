"""Writes docs/troubleshooting.md from what the doctor knows; `--check` fails where it is out of date."""

import sys
from collections.abc import Iterator
from pathlib import Path

from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Failure

PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
HEAD = """# Troubleshooting

What goes wrong with hosts, clusters and deployments, as `upcall doctor` knows it: this page is made from its checks.
You need not search it. Paste what you see, and be told:

```sh
kubectl describe pod invoker-0 | upcall doctor explain
upcall doctor explain < invoker.log
```

It answers with a line per failure: its id, the cause, what helps. It exits with 0 where nothing is known to it (and
blames nothing then), 1 for warnings, 2 for errors; `--json` is for programs.
"""
FAMILIES = {
    "HOST": "Hosts and nodes",
    "K8S": "Clusters and deployments",
    "DEP": "Kafka and CouchDB",
    "CFG": "Settings",
    "LOCAL": "One machine, with upcall serve",
}
WEIGHT = {"error": "Blocks.", "warning": "Degrades."}


def page() -> str:
    return HEAD + "".join(_families())


def _families() -> Iterator[str]:
    for family, title in FAMILIES.items():
        yield f"\n## {title}\n"
        yield from (_section(each) for id, each in FAILURES.items() if id.startswith(f"{family}-"))


def _section(failure: Failure) -> str:
    told = failure.found("", "")
    see = "".join(f"\n\nSee {link}" for link in failure.see)
    return (
        f"\n### {failure.id}: `{failure.symptom}`\n\n{WEIGHT[failure.severity]} {told.cause}\n\n"
        f"What helps: {told.fix}{see}\n"
    )


def main() -> None:
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        sys.exit(f"{PAGE.name} is out of date: .venv/bin/python scripts/troubleshooting.py")


if __name__ == "__main__":
    main()
