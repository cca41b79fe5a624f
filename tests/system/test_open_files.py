"""A platform that may have few files open has as many containers as it has files for, and says what it lacks."""

import sys
from pathlib import Path

from tests.system.serving import Platform

FILES = 400
CODE = "def main(args):\n    return {'ok': True}\n"


class Short(Platform):
    program = ("prlimit", f"--nofile={FILES}", sys.executable, "-m", "upcall")


def test_more_actions_than_there_are_files_for_containers_are_all_answered(tmp_path: Path) -> None:
    platform = Short(tmp_path / "data", "--memory", "16 GB", "--prewarm", "none")
    try:
        for number in range(FILES // 5):
            platform.create(f"new{number}", CODE, limits={"memory": 128})
            assert platform.invoke(f"new{number}").status == 200
    finally:
        assert platform.stop() == 0
    told = platform.output.read_text()
    assert f"are used of 16384 MB: containers take 6 open files each, and this process may have {FILES};" in told
    assert "Traceback" not in told
    assert "no container for" not in told
