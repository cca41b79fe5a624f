"""dockerd as a process of the tests, in network and mount namespaces of its own, which a guard holds and removes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.system import engine_guard, networks
from tests.system.engine_api import EngineApi

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PROGRAMS = {"dockerd": "docker.io", "containerd": "containerd", "runc": "runc", "mmdebstrap": "mmdebstrap"}
"""And Debian's packages."""
GARBAGE = "400"
"""Percent of what is in use, before it is collected: an engine of the tests may have memory for less work."""


def missing() -> str | None:
    """Why no engine can run here."""
    if os.geteuid() != 0:
        return "a Docker engine of one's own needs root"
    lacking = [package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None]
    if lacking:
        return f"a Docker engine is missing: apt-get install --no-install-recommends {' '.join(lacking)}"
    if not os.access(engine_guard.home(), os.W_OK):
        return f"a Docker engine needs control groups that may be written: {engine_guard.home()}"
    return None


class Engine(EngineApi):
    """One, from `start` to `close`; `start` after `stop` or `kill` goes on with the same data, network and socket."""

    def __init__(self, data: Path, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="upe"))
        super().__init__(self.folder / "docker.sock")
        self.url = f"unix://{self.path}"
        self.data = data
        self.group = data.name
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        apart = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable]
        self._guard = subprocess.Popen(
            [*apart, "-m", "tests.system.engine_guard", str(self.folder), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        if self._guard.stdout.readline() != b"ready\n":
            raise RuntimeError("the guard of an engine for tests does not start")
        self.network = os.open(f"/proc/{self._guard.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def guard(self) -> int:
        """The pid of its guard."""
        return self._guard.pid

    @property
    def pid(self) -> int:
        """Of dockerd."""
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> None:
        """Returns when it answers; `options` are this start's alone."""
        self.launch(*options)
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd did not start:\n{self.log()[-3000:]}")
            time.sleep(0.01)

    def launch(self, *options: str) -> None:
        """Begin to start."""
        there = [
            "sh",
            "-c",
            'echo $$ > "$0" && exec "$@"',
            str(engine_guard.home() / self.group / "engine/cgroup.procs"),
        ]
        there += ["nsenter", f"--net=/proc/{self._guard.pid}/ns/net", f"--mount=/proc/{self._guard.pid}/ns/mnt"]
        command = [*there, "dockerd", "--host", self.url, "--data-root", str(self.data / "root")]
        command += ["--exec-root", str(self.folder / "run"), "--pidfile", str(self.folder / "pid")]
        command += ["--cgroup-parent", f"/{self.group}", *self._options, *options]
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**environment, "PATH": PATH, "GOGC": GARBAGE},
            )

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """As its service manager would; it stops its containers first. Nothing if it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(by)
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """Its containerd dies with it; where nobody collects orphans for a while, the next one would wait for that."""
        self.stop(signal.SIGKILL)
        (self.folder / "run/containerd/containerd.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread, and what it starts, is where the containers' addresses lead."""
        with networks.inside(self.network):
            yield

    def close(self) -> None:
        """Remove it with all that it has made."""
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        self._guard.stdin.close()
        self._guard.wait(60)
        self._guard.stdout.close()
        if self._process is not None:
            self._process.wait(60)
        os.close(self.network)
