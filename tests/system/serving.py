"""A running `upcall serve` for tests, and small clients for it."""

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

READY = re.compile(r"ready at https?://127\.0\.0\.1:(\d+)")


QUIET = {"LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000", "UPCALL_ACTION_NETWORK": "none"}
"""Variables of a platform for tests: no throttles, and no rules set on this host."""


class Answer(msgspec.Struct):
    """A response with its body decoded."""

    status: int
    body: Any
    headers: dict[str, str]


class Platform:
    """`upcall serve` on a free port with a data folder of its own; `output` is what it printed and logged."""

    program: Sequence[str] = (sys.executable, "-m", "upcall")

    def __init__(self, data: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.data = data
        data.parent.mkdir(parents=True, exist_ok=True)
        self.output = data.parent / f"{data.name}-{time.time_ns()}.log"
        command = [*self.program, "serve", "--port", "0", "--data", str(data), *options]
        began = time.monotonic()
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **QUIET, **(environment or {})},
            )
        try:
            self.port = self._await_port()
        except BaseException:
            self.kill()
            raise
        self.seconds_to_ready = time.monotonic() - began
        properties = dict(line.split("=", 1) for line in (data / ".wskprops").read_text().splitlines())
        self.auth, self.url = properties["AUTH"], properties["APIHOST"]

    def _await_port(self) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            text = self.output.read_text()
            if match := READY.search(text):
                return int(match[1])
            if self.process.poll() is not None:
                raise AssertionError(f"upcall serve ended with {self.process.returncode}:\n{text}")
            time.sleep(0.01)
        raise AssertionError(f"upcall serve is not ready after 30 s:\n{self.output.read_text()}")

    def connect(self) -> http.client.HTTPConnection:
        """A new connection; https trusts the certificate that the platform made for itself."""
        if self.url.startswith("http:"):
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        trust = ssl.create_default_context(cafile=self.data / "tls.crt")
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=trust)

    def call(self, method: str, path: str, body: Any = None, auth: str | None = None) -> Answer:
        """One request to `/api/v1/namespaces/_/<path>`; a body is sent as JSON."""
        connection = self.connect()
        headers = {"Authorization": "Basic " + b64encode((auth or self.auth).encode()).decode()}
        payload = None if body is None else json.dumps(body)
        if payload is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, f"/api/v1/namespaces/_/{path}", payload, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        decoded = json.loads(text) if text[:1] in (b"{", b"[") else text.decode()
        return Answer(response.status, decoded, {key.lower(): value for key, value in response.getheaders()})

    def create(self, name: str, code: str, **members: Any) -> Answer:
        """PUT a Python action, over an older one if there is."""
        action = {"exec": {"kind": "python:3", "code": code}, **members}
        return self.call("PUT", f"actions/{name}?overwrite=true", action)

    def invoke(self, name: str, arguments: Any = None, query: str = "blocking=true") -> Answer:
        return self.call("POST", f"actions/{name}?{query}", arguments or {})

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """The exit code. What does not end within a minute is killed, so that one failure is one."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running(data: Path, *options: str, environment: dict[str, str] | None = None) -> Iterator[Platform]:
    """A platform that is stopped in the end, whatever happens."""
    platform = Platform(data, *options, environment=environment)
    try:
        yield platform
    finally:
        platform.stop()
