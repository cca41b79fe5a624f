"""A seedable trial as a process of its own, as people start it by hand: `python -m tests.system.chaos`, `… .fleet`."""

import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def outcome(module: str, minutes: float, seed: str, beside: float, output: Path, *options: str) -> tuple[int, str]:
    """Exit code, and what it said, which is kept in `output`. It may take twice its minutes and `beside` seconds."""
    command = [sys.executable, "-m", module, "--minutes", str(minutes), "--seed", seed, *options]
    with output.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, stdin=subprocess.DEVNULL, cwd=REPOSITORY)
        try:
            code = process.wait(minutes * 120 + beside)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    return code, output.read_text()
