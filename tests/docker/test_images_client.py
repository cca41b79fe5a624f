"""Our images under a client that behaves as upstream's Invoker: a connection for each request, and no pity.

spec: container.md §2, §7.5.
"""

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.docker.contained import SENTINEL, Contained, contained
from tests.system.engine import Engine
from upcall import __version__

PYTHON, NODE, SKELETON = (f"upcall/{name}:{__version__}" for name in ("python", "nodejs", "skeleton"))
COUNTING = {
    PYTHON: "runs = 0\ndef main(args):\n    global runs\n    runs += 1\n    print(runs)\n"
    "    return {'runs': runs, 'length': len(args['text'])}",
    NODE: "let runs = 0;\nfunction main({ text }) {\n  runs += 1;\n  console.log(runs);\n"
    "  return { runs, length: text.length };\n}",
    SKELETON: "#!/bin/sh\necho 0 >> /tmp/runs\nruns=$(wc -l < /tmp/runs)\necho $runs\n"
    'printf \'{"runs": %d, "length": %d}\' $runs $((${#1} - 12))',
}
HEAD = (
    "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {length}\r\n"
    "Host: {host}:8080\r\nConnection: Keep-Alive\r\nUser-Agent: Apache-HttpClient/4.5.5 (Java/11.0.1)\r\n"
    "Accept-Encoding: gzip,deflate\r\n\r\n"
)
CONTEXT = {
    "namespace": "guest",
    "action_name": "/guest/a",
    "action_version": "0.0.1",
    "activation_id": "0" * 32,
    "transaction_id": "a",
    "deadline": "1764000060250",
}


class Impatient:
    """One request per connection; a container that starts is tried again each 50 ms."""

    def __init__(self, container: Contained) -> None:
        self.host = container.address

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, 8080), timeout=30)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        with self.sent(path, body) as connection, connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            fields = {}
            while line := answer.readline().strip():
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            assert "transfer-encoding" not in fields
            assert "content-encoding" not in fields
            return status, json.loads(answer.read(int(fields["content-length"])))

    def sent(self, path: str, body: Any, part: slice = slice(None)) -> socket.socket:
        """A connection on which that has been sent."""
        data = json.dumps(body, ensure_ascii=False).encode()
        connection = self.connect()
        connection.sendall((HEAD.format(path=path, host=self.host, length=len(data)).encode() + data)[part])
        return connection

    def begun(self, code: str) -> None:
        env = {f"__OW_{name.upper()}": value for name, value in CONTEXT.items()}
        value = {"name": "a", "main": "main", "code": code, "binary": False, "env": env}
        while True:
            try:
                assert self.post("/init", {"value": value})[0] == 200
                return
            except ConnectionRefusedError:
                time.sleep(0.05)

    def run(self, text: str = "") -> tuple[int, Any]:
        return self.post("/run", {"value": {"text": text}, **CONTEXT})


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("image", COUNTING)
def test_a_connection_for_each_run(inside: Engine, image: str) -> None:
    with contained(inside, image) as container:
        client = Impatient(container)
        client.begun(COUNTING[image])
        for run in range(1, 101):
            assert client.run("x" * run) == (200, {"runs": run, "length": run})
        lines = container.ended(100)
    assert lines["stdout"] == [line for run in range(1, 101) for line in (str(run), SENTINEL)]
    assert lines["stderr"] == [SENTINEL] * 100


@pytest.mark.parametrize("image", [PYTHON, NODE])
def test_a_megabyte_of_arguments(inside: Engine, image: str) -> None:
    with contained(inside, image) as container:
        client = Impatient(container)
        client.begun(COUNTING[image])
        assert client.run("☃" * 349_000) == (200, {"runs": 1, "length": 349_000})


@pytest.mark.parametrize("image", COUNTING)
def test_connections_that_say_nothing_or_break_off_do_no_harm(inside: Engine, image: str) -> None:
    """As health checks make them, and Invokers that die."""
    with contained(inside, image) as container:
        client = Impatient(container)
        client.begun(COUNTING[image])
        for _ in range(3):
            client.connect().close()
            reset(client.connect())
            reset(client.sent("/run", {"value": {"text": "x" * 1000}}, slice(0, 20)))
            client.sent("/run", {"value": {"text": "x" * 1000}}, slice(0, 500)).close()
        silent = client.connect()
        halves = client.sent("/run", {"value": {"text": "x" * 1000}}, slice(0, 500))
        assert client.run() == (200, {"runs": 1, "length": 0})
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: client.run(), range(8)))
        assert sorted(answer["runs"] for _, answer in found) == list(range(2, 10))
        silent.close()
        halves.close()
        assert client.run() == (200, {"runs": 10, "length": 0})
        lines = container.ended(10)
    assert lines["stdout"] == [line for run in range(1, 11) for line in (str(run), SENTINEL)]
    assert lines["stderr"] == [SENTINEL] * 10
