"""The lines that `serve` prints when it is ready, run as they are printed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.system.serving import running


def bash(line: str, home: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("UPCALL_", "XDG_", "WSK_"))
    }
    done = subprocess.run(
        ["bash", "-euc", line],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("options", [(), ("--tls", "self-signed")])
def test_its_lines_work_for_a_folder_with_a_space(tmp_path: Path, options: tuple[str, ...]) -> None:
    with running(tmp_path / "my data", *options) as platform:
        said = platform.output.read_text()
        tried = re.search("try it: *(.*)", said)
        exported = re.search("for upcall and wsk: (export .*?)[;)]", said)
        assert tried is not None
        assert exported is not None
        assert bash(tried[1], tmp_path) == "[]"
        cli = Path(__file__).parents[2] / ".venv" / "bin" / "upcall"
        assert bash(f"{exported[1]}\n{cli} {'-i' * bool(options)} action list", tmp_path) == "actions\n"


def test_of_the_usual_folder_upcall_knows(tmp_path: Path) -> None:
    with running(tmp_path / "upcall", environment={"XDG_DATA_HOME": str(tmp_path)}) as platform:
        assert "(for wsk: export" in platform.output.read_text()
