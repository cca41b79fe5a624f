"""A minute and a quarter of faults in a fleet; `UPCALL_FLEET_MINUTES` makes it shorter or longer, `UPCALL_FLEET_SEED`
the same."""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MINUTES = float(os.environ.get("UPCALL_FLEET_MINUTES", "1.25"))
SEED = os.environ.get("UPCALL_FLEET_SEED") or str(secrets.randbelow(1 << 32))
REPOSITORY = Path(__file__).parents[3]


@pytest.mark.timeout(MINUTES * 120 + 600)
def test_whatever_is_done_to_it_each_activation_has_one_outcome(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.system.fleet", "--minutes", str(MINUTES), "--seed", SEED]
    output = tmp_path / "told"
    with output.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, stdin=subprocess.DEVNULL, cwd=REPOSITORY)
        try:
            code = process.wait(MINUTES * 120 + 540)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert code == 0, output.read_text()
