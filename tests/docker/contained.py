"""A container of an image, by hand: as any Invoker would use it, without ours."""

import base64
import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

from tests.system.engine import Engine

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
READY = (200, {"ok": True})


class Contained:
    """A running container; calls go over one connection as long as that lasts."""

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id
        networks = self.inspect()["NetworkSettings"]["Networks"]
        self.network: dict[str, Any] = next(iter(networks.values()))
        self.address = self.network["IPAddress"]
        self._connection = self.connection()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, 8080, timeout=30)

    def inspect(self) -> dict[str, Any]:
        return self._engine.inspect(self.id)

    def init(self, code: str | bytes | None = None, **value: Any) -> tuple[int, Any]:
        """With text, with bytes (a zip or a program), or without code."""
        binary = isinstance(code, bytes)
        text = base64.b64encode(code).decode() if isinstance(code, bytes) else code
        given = {} if text is None else {"code": text}
        return self.post("/init", {"value": {"name": "a", "main": "main", "binary": binary, **given, **value}})

    def run(self, value: Any = None, **context: str) -> tuple[int, Any]:
        return self.post("/run", {"value": {} if value is None else value, **context})

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """A container that starts refuses connections."""
        deadline = time.monotonic() + 30
        while self._connection.sock is None:
            try:
                self._connection.connect()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        return posted(self._connection, path, body)

    def lines(self) -> dict[str, list[str]]:
        """What its two streams have been written so far, as the engine's log has it: it comes a little later."""
        data = bytes(
            self._engine.call("GET", f"/containers/{self.id}/logs", stdout="1", stderr="1", timestamps="0", follow="0")
        )
        found: dict[str, list[str]] = {"stdout": [], "stderr": []}
        while data:
            stream, length = ("stdout", "stderr")[data[0] - 1], int.from_bytes(data[4:8], "big")
            found[stream].append(data[8 : 8 + length].decode().removesuffix("\n"))
            data = data[8 + length :]
        return found

    def ended(self, count: int) -> dict[str, list[str]]:
        """The lines, once both streams have so many sentinels."""
        deadline = time.monotonic() + 30
        found = self.lines()
        while any(lines.count(SENTINEL) < count for lines in found.values()):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
            found = self.lines()
        return found

    def awaited(self) -> int:
        """Its exit status, when it has ended."""
        return int(self._engine.call("POST", f"/containers/{self.id}/wait")["StatusCode"])

    def close(self) -> None:
        self._connection.close()
        self._engine.call("DELETE", f"/containers/{self.id}", force="1", v="1")


def posted(connection: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, Any]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    assert int(response.headers["Content-Length"]) == len(data)
    return response.status, json.loads(data)


@contextlib.contextmanager
def contained(engine: Engine, image: str, memory: int = 256, **config: Any) -> Iterator[Contained]:
    """Of `config` what belongs to HostConfig is given as `host`."""
    host = {"Memory": memory << 20, "MemorySwap": memory << 20, **config.pop("host", {})}
    made = engine.call("POST", "/containers/create", {"Image": image, "HostConfig": host, **config})
    engine.call("POST", f"/containers/{made['Id']}/start")
    container = Contained(engine, made["Id"])
    try:
        yield container
    finally:
        container.close()
