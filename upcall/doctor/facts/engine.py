"""What a Docker engine says of itself, asked by its socket (`/version`, `/info`).

An engine that is away, or may not be asked, is a fact like others: nothing is raised.
"""

import errno
import http.client
import json
import socket
from pathlib import Path
from typing import Any

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


def gather(path: Path) -> Engine:
    try:
        version, info = _ask(path, "/version"), _ask(path, "/info")
    except (OSError, ValueError, http.client.HTTPException) as error:
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
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))


def _ask(path: Path, what: str) -> dict[str, Any]:
    """Raises OSError, ValueError, HTTPException."""
    connection = _Connection(path)
    try:
        connection.request("GET", what)
        answer = connection.getresponse()
        found = json.loads(answer.read(MOST))
    finally:
        connection.close()
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
