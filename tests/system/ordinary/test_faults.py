"""Faults of actions and of what runs them."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

FILES = [
    "tests/system/test_faults_life.py",
    "tests/system/test_faults_resources.py",
    "tests/system/test_zygote_loss.py",
    "tests/system/test_preload.py",
]


@as_root
@pytest.mark.timeout(600)
def test_faults_end_as_they_do_for_root(folder: Path) -> None:
    holds(folder, *FILES)
