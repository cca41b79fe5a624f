"""Names, versions and transaction ids follow upstream's grammar (spec: rest-api.md §2, bus.md §6)."""

import pytest

from upcall.model import names, texts


@pytest.mark.parametrize("name", ["a", "x y z", "dora.&-@", "_", "A" * 256, "a-"])
def test_names_that_upstream_takes(name: str) -> None:
    assert names.name_error(name) is None


@pytest.mark.parametrize("name", ["", " ", "hi+there", "$hola", "dora?", "|dora|dora?", "trailing ", "-first", "é"])
def test_names_that_upstream_refuses(name: str) -> None:
    assert names.name_error(name) == texts.NAME_ILLEGAL


def test_a_name_that_is_too_long_says_by_how_much() -> None:
    assert names.name_error("a" * 257) == "Name segement longer than allowed: 257 > 256."


@pytest.mark.parametrize(("text", "version"), [("1", "1.0.0"), ("1.2", "1.2.0"), ("01.002.3", "1.2.3")])
def test_short_versions_are_filled_up(text: str, version: str) -> None:
    assert names.parse_version(text) == version


@pytest.mark.parametrize("text", ["0.0.0", "-1.0.0", "a", "1.2.3.4", ""])
def test_no_versions(text: str) -> None:
    with pytest.raises(ValueError, match="version"):
        names.parse_version(text)


def test_the_next_version_is_one_patch_higher() -> None:
    assert names.next_version("1.2.9") == "1.2.10"
