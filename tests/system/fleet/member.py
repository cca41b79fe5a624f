"""One place in the fleet, and the lives in it: `upcall controller` or `upcall invoker`, one process after the other."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.system.chaos.lives import Sample
from tests.system.serving import Answer

Role = Literal["controller", "invoker"]
READY = re.compile(r"ready at https?://[\w.]+:(\d+)")
STARTED = 90.0
"""Seconds that a start may take, while other things go wrong."""


class Life(msgspec.Struct):
    """A process and its log."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Member:
    """Who has the place is `life`; each that has had it has a log of its own. `port` is of the life that was ready
    last."""

    def __init__(self, role: Role, number: int, folder: Path, environment: Mapping[str, str], auth: str) -> None:
        self.role = role
        self.number = number
        self.auth = auth
        self.port = 0
        self.life: Life | None = None
        self.outputs: list[Path] = []
        self.samples: list[Sample] = []
        """Of the life that lasts."""
        self.wanted = False
        """It is meant to live."""
        self._folder = folder
        self._environment = environment

    @property
    def name(self) -> str:
        return f"{self.role}{self.number}"

    @property
    def alive(self) -> bool:
        return self.life is not None and self.life.alive

    def start(self) -> None:
        """Returns when it answers. Raises AssertionError with its log where it does not."""
        self.launch()
        self.await_ready()

    def launch(self, place: str = "") -> None:
        """`place` tells its data folder from that of another life which may still be there."""
        output = self._folder / f"{self.name}-{len(self.outputs)}.log"
        command = [sys.executable, "-m", "upcall", self.role, "--id", str(self.number), "--host", "127.0.0.1"]
        command += ["--port", "0", "--data", str(self._folder / f"{self.name}{place}")]
        with output.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self._environment}
            )
        self.life = Life(process, output)
        self.outputs.append(output)
        self.samples = []
        self.wanted = True

    def await_ready(self) -> None:
        life = self.life
        assert life is not None
        deadline = time.monotonic() + STARTED
        while not (match := READY.search(text := life.said)):
            if not life.alive:
                raise AssertionError(f"{self.name} ended with {life.process.returncode}:\n{text[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not ready after {STARTED:.0f} s:\n{text[-3000:]}")
            time.sleep(0.01)
        self.port = int(match[1])

    def signal(self, number: signal.Signals) -> None:
        assert self.life is not None
        self.life.process.send_signal(number)

    def kill(self) -> None:
        self.wanted = False
        if self.life is not None:
            self.life.kill()

    def terminate(self, patience: float) -> str:
        """As its operator does; says what was wrong with its end."""
        assert self.life is not None
        self.wanted = False
        self.life.process.terminate()
        try:
            code = self.life.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"{self.name} still runs {patience:.0f} s after SIGTERM"
        return f"{self.name} ended with {code} after SIGTERM" if code else ""

    def request(self, method: str, path: str, auth: str = "", body: Any = None) -> Answer:
        """Raises OSError where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if auth:
            headers["Authorization"] = "Basic " + b64encode(auth.encode()).decode()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except http.client.HTTPException as error:
            raise OSError(repr(error)) from error
        finally:
            connection.close()
        decoded = text.decode()
        with contextlib.suppress(ValueError):
            decoded = json.loads(text)
        return Answer(response.status, decoded, {})

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """A controller's API, as the guest."""
        return self.request(method, f"/api/v1/namespaces/_/{path}", self.auth, body)

    def states(self) -> dict[int, str]:
        """A controller's: how the Invokers are, by number; empty while it does not answer."""
        with contextlib.suppress(OSError):
            answer = self.request("GET", "/invokers")
            if answer.status == 200:
                return {int(re.sub(r"^invoker(\d+).*", r"\1", name)): state for name, state in answer.body.items()}
        return {}

    def watch(self, now: float) -> None:
        """Take a sample, unless it is dead."""
        assert self.life is not None
        folder = Path(f"/proc/{self.life.process.pid}")
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = int((folder / "statm").read_text().split()[1])
            descriptors, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
            self.samples.append(Sample(now, pages * os.sysconf("SC_PAGE_SIZE"), descriptors, threads))
