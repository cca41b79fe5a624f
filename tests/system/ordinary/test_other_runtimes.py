"""The runtimes of Node and of programs, whose memory is bounded otherwise than root's."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

FILES = [
    "tests/system/test_node_runtime.py",
    "tests/system/test_node_zip.py",
    "tests/system/test_native_runtime.py",
]


@as_root
@pytest.mark.timeout(300)
def test_node_and_programs_run(folder: Path) -> None:
    holds(folder, *FILES)
