"""The contract of containers. How output is read is the same for both users."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

FILES = [
    "tests/contract/test_containers.py",
    "tests/system/test_sandbox_life.py",
]


@as_root
@pytest.mark.timeout(600)
def test_the_drivers_contract_holds(folder: Path) -> None:
    holds(folder, *FILES, "-k", "not 100_mb_of_output")
