"""10,000 connections that do nothing, half of a request behind some of them, and the callers between."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.serving import running

CONNECTIONS = 10_000
FILES = 2 * CONNECTIONS
BYTES_EACH = 20_000
"""Of the platform's memory, for a connection that waits."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """The limit of open files, which the platform inherits; root may raise it above the host's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def resident(pid: int) -> int:
    """Bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_hurt_nobody(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform, ExitStack() as stack:
        assert platform.create("hello", "def main(args): return args").status == 200
        assert platform.invoke("hello", {"n": 0}).status == 200
        before = resident(platform.process.pid)
        for number in range(CONNECTIONS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", platform.port), timeout=30))
            if number % 2 == 0:
                client.sendall(b"POST /api/v1/namespaces/_/actions/hello HTTP/1.1\r\nContent-Le")
        for number in range(200):
            answer = platform.invoke("hello", {"n": number}, "blocking=true&result=true")
            assert (answer.status, answer.body) == (200, {"n": number})
        assert platform.call("GET", "actions").status == 200
        open_files = len(list(Path(f"/proc/{platform.process.pid}/fd").iterdir()))
        assert open_files > CONNECTIONS  # they are all there, and none was cut
        assert resident(platform.process.pid) - before < CONNECTIONS * BYTES_EACH
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
