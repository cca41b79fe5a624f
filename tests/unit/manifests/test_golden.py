"""Manifests as they are checked in, one for each row of hosts; scripts/manifests.py writes them."""

from pathlib import Path

import pytest

from upcall.manifests.files import FILES
from upcall.manifests.made import manifest
from upcall.manifests.profiles import PROFILES
from upcall.manifests.wanted import Wanted

GOLDENS = Path(__file__).parent / "golden"
DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize("name", PROFILES)
def test_a_row_has_its_manifest(name: str) -> None:
    row = PROFILES[name]
    made = manifest("invoker", Wanted(profile=name, driver=row.driver), f"{row.hosts}.")
    assert made == (GOLDENS / f"{name}.yml").read_text()


@pytest.mark.parametrize("name", [name for name, row in PROFILES.items() if row.driver == "docker"])
def test_a_row_with_docker_has_that_of_2017(name: str) -> None:
    made = manifest("2017", Wanted(profile=name, driver="docker"), f"{PROFILES[name].hosts}.")
    assert made == (GOLDENS / f"2017-{name}.yml").read_text()


def test_no_row_that_is_gone_is_left() -> None:
    assert {path.stem.removeprefix("2017-") for path in GOLDENS.iterdir()} == {*PROFILES}


@pytest.mark.parametrize("name", FILES)
def test_what_is_deployed_is_what_is_made(name: str) -> None:
    assert FILES[name]() == (DEPLOY / name).read_text()
