"""Python's runtime, whose memory is bounded otherwise than root's."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

FILES = [
    "tests/system/test_python_action.py",
    "tests/system/test_python_zip.py",
]


@as_root
@pytest.mark.timeout(300)
def test_python_runs(folder: Path) -> None:
    holds(folder, *FILES)
