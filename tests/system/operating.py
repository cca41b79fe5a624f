"""The operator's commands, and a caller whose connection stays open."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.serving import Platform


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def upcall(*words: str, data: Path | None = None, environment: dict[str, str] | None = None) -> Outcome:
    """Run `upcall WORDS` on a data folder."""
    where = [] if data is None else ["--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "upcall", *words, *where],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Caller:
    """One warm connection to a platform."""

    def __init__(self, platform: Platform, auth: str) -> None:
        self.connection = platform.connect()
        self.headers = {"Authorization": "Basic " + b64encode(auth.encode()).decode()}

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = self.headers if body is None else {**self.headers, "Content-Type": "application/json"}
        payload = None if body is None else json.dumps(body)
        self.connection.request(method, f"/api/v1/namespaces/_/{path}", payload, headers)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read() or b"null")

    def list(self) -> int:
        """The status of a request that Starlette answers."""
        return self.call("GET", "actions")[0]

    def invoke(self) -> int:
        """The status of a request that the protocol answers itself."""
        return self.call("POST", "actions/hello?blocking=true", {})[0]

    def make(self) -> None:
        """The action that `invoke` calls."""
        action = {"exec": {"kind": "python:3", "code": "def main(args): return args"}}
        assert self.call("PUT", "actions/hello?overwrite=true", action)[0] == 200

    def close(self) -> None:
        self.connection.close()
