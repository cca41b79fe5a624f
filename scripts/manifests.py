"""Writes deploy/*.yml, templates of the chart beside them, and the manifests that tests compare; `--check` fails where
one is out of date."""

import sys
from collections.abc import Iterator
from pathlib import Path

from upcall.manifests.files import FILES
from upcall.manifests.helm import templates
from upcall.manifests.made import manifest
from upcall.manifests.profiles import PROFILES
from upcall.manifests.wanted import Wanted

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
GOLDENS = ROOT / "tests" / "unit" / "manifests" / "golden"


def texts() -> Iterator[tuple[Path, str]]:
    """Files, and what belongs into them."""
    for name, make in FILES.items():
        yield DEPLOY / name, make()
    for name, text in templates().items():
        yield DEPLOY / "helm" / "upcall" / "templates" / name, text
    for name, row in PROFILES.items():
        yield GOLDENS / f"{name}.yml", manifest("invoker", Wanted(profile=name, driver=row.driver), f"{row.hosts}.")
        if row.driver == "docker":
            yield GOLDENS / f"2017-{name}.yml", manifest("2017", Wanted(profile=name, driver="docker"), f"{row.hosts}.")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    old = [(path, text) for path, text in texts() if _read(path) != text]
    if "--check" in sys.argv:
        names = ", ".join(str(path.relative_to(ROOT)) for path, _ in old)
        sys.exit(f"{names}: out of date; run scripts/manifests.py" if old else 0)
    for path, text in old:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
