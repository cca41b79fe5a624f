"""What a Docker engine says of itself, asked by its socket (`/version`, `/info`).

An engine that is away, or may not be asked, is a fact like others: nothing is raised.
"""

import errno
import http.client
import json
import socket
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

PATIENCE = 0.7
"""Seconds for each of the two answers."""
MOST = 4 << 20
"""Bytes of an answer."""


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """`why`: why nothing is known of it, empty where it answers. `api` and `oldest`: the newest and the oldest version
    of its API. `root`: where its data are. `logs`: the log driver that containers have if nobody says otherwise."""

    why: str = ""
    denied: bool = False
    """Whether it is there and may not be asked by this process."""
    version: str = ""
    api: str = ""
    oldest: str = ""
    root: str = ""
    logs: str = ""
    storage: str = ""
    cgroup: str = ""
    runc: str = ""


class Answer(NamedTuple):
    status: int
    body: bytes

    @property
    def document(self) -> Any:
        """None of what is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def gather(path: Path) -> Engine:
    try:
        version, info = _told(path, "/version"), _told(path, "/info")
    except (OSError, ValueError) as error:
        denied = isinstance(error, PermissionError)
        return Engine(why=_why(error), denied=denied)
    parts = version.get("Components")
    runc = [
        str(each.get("Version", "")) for each in parts or () if isinstance(each, dict) and each.get("Name") == "runc"
    ]
    return Engine(
        version=str(version.get("Version") or info.get("ServerVersion") or ""),
        api=str(version.get("ApiVersion") or ""),
        oldest=str(version.get("MinAPIVersion") or ""),
        root=str(info.get("DockerRootDir") or ""),
        logs=str(info.get("LoggingDriver") or ""),
        storage=str(info.get("Driver") or ""),
        cgroup=str(info.get("CgroupVersion") or ""),
        runc=runc[0] if runc else "",
    )


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, method: str, what: str, body: Any = None, patience: float = PATIENCE) -> Answer:
    """One request. Raises OSError, and ValueError where the answer is no HTTP."""
    connection = _Connection(path, patience)
    try:
        payload = None if body is None else json.dumps(body).encode()
        connection.request(method, what, payload, {"Content-Type": "application/json"} if payload else {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(MOST))
    except http.client.HTTPException as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _told(path: Path, what: str) -> dict[str, Any]:
    """Raises OSError, ValueError."""
    answer = ask(path, "GET", what)
    found = answer.document
    if answer.status != http.client.OK or not isinstance(found, dict):
        raise ValueError(f"it answers {what} with {answer.status}")
    return found


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.errno:
        known = {errno.ECONNREFUSED: "connection refused", errno.ENOENT: "no such file or directory"}
        return known.get(error.errno, (error.strerror or str(error)).lower())
    return str(error) if isinstance(error, OSError) else f"what answers is no Docker engine: {error}"
