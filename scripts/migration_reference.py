"""Writes the table of docs/migration.md from what becomes of OpenWhisk's names (`upcall.fates`); `--check` fails where
it is out of date."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from upcall.catalogue import SETTINGS
from upcall.couch import KEY, KEYS
from upcall.fates import CHECKED, COUNTERPARTLESS, fate
from upcall.properties import SUCCESSORS
from upcall.providers import KNOWN, SPI

PAGE = Path(__file__).parents[1] / "docs" / "migration.md"
MARK = "<!-- made by scripts/migration_reference.py -->\n"
SAID = {"used": "", "none": "*none*: ", "unknown": "*not known* "}


def text(page: str) -> str:
    return page.partition(MARK)[0] + MARK + "\n" + "\n".join(table()) + "\n"


def table() -> Iterator[str]:
    yield "| key or variable | as a variable | here |"
    yield "|---|---|---|"
    for name in sorted({*names()} - {KEY}, key=lambda name: (name.isupper(), name)):
        kind, what = fate(name.replace(".*", ".x"))
        here = " and ".join(f"`{part}`" for part in what.split(" and ")) if what in used() else what
        yield f"| `{name}` | {f'`{variable(name)}`' if '.' in name else ''} | {SAID[kind]}{here} |"


def names() -> Iterable[str]:
    providers = (f"{SPI}.{part}" for part in KNOWN)
    given = (key for setting in SETTINGS for key in setting.upstream)
    return (*given, *KEYS, *providers, *CHECKED, *COUNTERPARTLESS, *SUCCESSORS)


def used() -> set[str]:
    """What names of settings a fate may be."""
    return {fate(key)[1] for setting in SETTINGS for key in setting.upstream} | {"store"}


def variable(key: str) -> str:
    camel = re.sub(r"-([a-z])", lambda match: match[1].upper(), key.replace(".*", ".…"))
    return f"CONFIG_{camel.replace('.', '_')}"


if __name__ == "__main__":
    page = PAGE.read_text()
    if "--check" in sys.argv:
        sys.exit(0 if page == text(page) else f"{PAGE} is out of date: run scripts/migration_reference.py")
    PAGE.write_text(text(page))
