"""An `upcall invoker` as a process, that a harness may stop, kill and start again."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

READY = re.compile(r" is ready at (http://127\.0\.0\.1:(\d+))")


class Process:
    """Started; `url` is the same in each of its lives. `output` is what all of them printed."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        folder.mkdir(parents=True)
        self.output = folder / "log"
        self._command = [sys.executable, "-m", "upcall", "invoker", "--data", str(folder / "data"), *options]
        self._environment = {**os.environ, "UPCALL_ACTION_NETWORK": "none", **environment}
        self._port = "0"
        self.url = ""
        self.start()

    def start(self) -> None:
        """Returns when it is ready."""
        begun = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--port", self._port],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        deadline = time.monotonic() + 60
        while (match := READY.search(text := self.output.read_text()[begun:])) is None:
            ended = self._process.poll()
            assert ended is None, f"upcall invoker ended with {ended}:\n{text}"
            assert time.monotonic() < deadline, f"upcall invoker is not ready after 60 s:\n{text}"
            time.sleep(0.02)
        self.url, self._port = match[1], match[2]

    def renamed(self, *options: str) -> None:
        """Stop, and start with more options."""
        self.stop()
        self._command += options
        self.start()

    def stop(self) -> None:
        """As a supervisor does, in order."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.output.read_text()[-3000:]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(60)

    def revive(self) -> None:
        """Start it where it has ended, so that one failure is one."""
        if self._process.poll() is not None:
            self.start()

    def close(self) -> None:
        """What a check has left running is not waited for: the second signal stops at once."""
        for patience in (5, 30):
            if self._process.poll() is None:
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                return
        self.kill()
