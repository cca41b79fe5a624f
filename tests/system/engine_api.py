"""The Docker engine's API as tests use it, beside the driver that they try: one request per connection, no client."""

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

VERSION = "v1.40"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Refused(AssertionError):
    """The engine's answer is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class EngineApi:
    """Of the engine behind a unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The decoded answer; of several JSON texts in it (progress) a list. Bytes go as a tar, all else as JSON."""
        connection = _Connection(self.path)
        tar = isinstance(body, bytes) or hasattr(body, "read")
        headers = {"Content-Type": "application/x-tar" if tar else "application/json"}
        payload = body if tar or body is None else json.dumps(body)
        words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()}
        try:
            with contextlib.suppress(BrokenPipeError):  # it answers before it has read all
                connection.request(method, f"/{VERSION}{path}?{urlencode(words)}", payload, headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise Refused(response.status, data.decode(errors="replace"))
        return _decoded(data) if "json" in response.getheader("Content-Type", "") else data

    def answers(self) -> bool:
        try:
            return bytes(self.call("GET", "/_ping")) == b"OK"
        except (OSError, Refused, http.client.HTTPException):
            return False

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All, running or not, that have these labels."""
        found: list[dict[str, Any]] = self.call("GET", "/containers/json", all="1", filters={"label": labels})
        return found

    def inspect(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/containers/{id}/json")
        return found

    def images(self) -> list[str]:
        found = self.call("GET", "/images/json")
        return sorted(tag for image in found for tag in image["RepoTags"] or ())

    def bring(self, tar: Path, name: str) -> None:
        """Make an image of a root file system."""
        repository, _, tag = name.partition(":")
        query = {"fromSrc": "-", "repo": repository, "tag": tag or "latest"}
        with tar.open("rb") as data:
            _succeeded(self.call("POST", "/images/create", data, **query))

    def build(self, context: bytes, name: str, dockerfile: str = "Dockerfile", **arguments: str) -> None:
        """Make an image from a tar with a Dockerfile in it; `arguments` are the build's."""
        query = {"t": name, "dockerfile": dockerfile, "buildargs": arguments, "rm": "1", "networkmode": "none"}
        _succeeded(self.call("POST", "/build", context, **query))


def _decoded(data: bytes) -> Any:
    texts = data.decode().splitlines()
    return json.loads(data) if len(texts) == 1 else [json.loads(each) for each in texts if each.strip()]


def _succeeded(progress: Any) -> None:
    for step in progress if isinstance(progress, list) else [progress]:
        if isinstance(step, dict) and "error" in step:
            raise Refused(200, step["error"])
