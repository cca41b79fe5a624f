"""The Docker engine on which an Invoker has its containers, as its own API tells of it."""

import http.client
import io
import json
import socket
import tarfile
from typing import Any
from urllib.parse import urlencode, urlsplit

from upcall.testing.conformance.check import Failed, NotInReach

PATIENCE = 60.0


class Engine:
    """Behind `unix:///path` or `tcp://host:port`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def containers(self, prefix: str, state: str = "") -> dict[str, str]:
        """Names by id of all whose names begin so, in this state or in any."""
        found = self._call("GET", "/containers/json", all="1")
        names = {each["Id"]: each["Names"][0].removeprefix("/") for each in found if state in ("", each["State"])}
        return {id: name for id, name in names.items() if name.startswith(prefix)}

    def inspect(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", f"/containers/{id}/json")
        return found

    def bring(self, repository: str, tag: str, program: str) -> None:
        """Make an image that has nothing in it, not even what it runs."""
        empty = io.BytesIO()
        with tarfile.open(fileobj=empty, mode="w"):
            pass
        query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": f'ENTRYPOINT ["{program}"]'}
        self._call("POST", "/images/create", empty.getvalue(), **query)

    def remove_image(self, name: str) -> None:
        self._call("DELETE", f"/images/{name}", force="1")

    def _call(self, method: str, path: str, body: bytes = b"", **query: str) -> Any:
        """The decoded answer; of several texts (progress) nothing. Raises Failed, NotInReach."""
        connection = self._connect()
        try:
            connection.request(method, f"{path}?{urlencode(query)}", body, {"Content-Type": "application/x-tar"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotInReach(f"no Docker engine answers at {self.address}: {error!r}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Failed(f"the Docker engine answers {method} {path} with {response.status}: {text[:300]!r}")
        return json.loads(text) if method == "GET" else None

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.address)
        if parts.scheme == "tcp":
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        return _Local(parts.path)


class _Local(http.client.HTTPConnection):
    """To a socket of this host."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)
