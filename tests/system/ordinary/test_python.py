"""Python's runtime, whose memory is bounded otherwise than root's. How it reads zip files is the same for both."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

ZIP = "tests/system/test_python_zip.py"
FILES = [
    "tests/system/test_python_action.py",
    f"{ZIP}::test_a_zip_is_unpacked_where_the_action_then_is",
    f"{ZIP}::test_a_real_virtual_environment_works",
    f"{ZIP}::test_executable_bits_are_kept",
    f"{ZIP}::test_a_bomb_that_lies_is_read_no_further_than_it_declares",
    f"{ZIP}::test_more_files_than_are_sensible_are_refused",
    f"{ZIP}::test_as_much_code_as_is_allowed_fits_into_the_least_memory",
]


@as_root
@pytest.mark.timeout(600)
def test_python_runs(folder: Path) -> None:
    holds(folder, *FILES)
