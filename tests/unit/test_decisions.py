"""The pages of decisions: each number once, and whoever cites one cites one that is there."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in (ROOT / "docs" / "adr").glob("*.md")}
NUMBERS = [int(name[:4]) for name in PAGES]
CITED = re.compile(r"adr/(\d{4}[\w-]*)|ADR (\d+)")


def citations() -> Iterator[tuple[str, str]]:
    """Files and what they cite, a number or a page."""
    for folder in ("upcall", "tests", "bench", "docs", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md") and path != Path(__file__):
                for page, number in CITED.findall(path.read_text()):
                    yield str(path.relative_to(ROOT)), page or number


def test_numbers_are_dense_and_titles_have_them() -> None:
    assert sorted(NUMBERS) == list(range(1, len(NUMBERS) + 1))
    for name, path in PAGES.items():
        assert path.read_text().startswith(f"# {int(name[:4])}. "), path


def test_what_is_cited_is_there() -> None:
    found = list(citations())
    assert len(found) > 20
    wrong = [each for each in found if each[1] not in PAGES and not (each[1].isdigit() and int(each[1]) in NUMBERS)]
    assert not wrong


def test_the_design_names_pages_that_are_there() -> None:
    rows = re.findall(r"\[((?:\d{4}(?:, )?)+)\]", (ROOT / "docs" / "DESIGN.md").read_text())
    cited = {int(number) for row in rows for number in row.split(", ")}
    assert cited
    assert cited <= set(NUMBERS)
