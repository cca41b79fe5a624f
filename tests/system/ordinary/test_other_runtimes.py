"""The runtimes of Node and of programs, whose memory is bounded otherwise than root's. How Node's reads zip files is
the same for both."""

from pathlib import Path

import pytest

from tests.system.ordinary.user import as_root, holds

ZIP = "tests/system/test_node_zip.py"
FILES = [
    "tests/system/test_node_runtime.py",
    "tests/system/test_native_runtime.py",
    f"{ZIP}::test_the_code_lies_in_the_folder_in_which_it_runs_with_its_executable_bits",
    f"{ZIP}::test_a_zip_bomb_that_lies_about_its_size_is_stopped_there",
    f"{ZIP}::test_50_000_files_are_enough",
    f"{ZIP}::test_a_package_of_20_mb_fits_into_256_mb",
]


@as_root
@pytest.mark.timeout(600)
def test_node_and_programs_run(folder: Path) -> None:
    holds(folder, *FILES)
