"""The walls of the sandbox."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

FILES = [
    "tests/system/test_sandbox.py",
    "tests/system/test_escape.py",
    "tests/system/test_escape_host.py",
    "tests/system/test_escape_kernel.py",
    "tests/system/test_action_network.py",
]


@as_root
@pytest.mark.timeout(600)
def test_the_walls_hold(folder: Path) -> None:
    holds(folder, *FILES)
