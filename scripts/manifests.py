"""Writes deploy/*.yml, and with `--goldens` what tests compare; `--check` fails where deploy/ is out of date."""

import sys
from pathlib import Path

from upcall.manifests.files import FILES

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def stale() -> list[Path]:
    return [DEPLOY / name for name, make in FILES.items() if _read(DEPLOY / name) != make()]


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    if "--check" in sys.argv:
        old = ", ".join(str(path.relative_to(ROOT)) for path in stale())
        sys.exit(f"{old}: out of date; run scripts/manifests.py" if old else 0)
    for name, make in FILES.items():
        (DEPLOY / name).write_text(make())
