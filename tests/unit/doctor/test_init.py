"""What keeps an Invoker from starting is said before it starts, and nothing else is."""

import asyncio
import http.server
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from upcall.doctor.init import errors

KAFKA = {"UPCALL_KAFKA_HOSTS": "kafka:9092", "UPCALL_STORE": "postgresql://a@db/upcall"}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.server.says[self.path]  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "nobody"

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def engine(api: str = "1.41", oldest: str = "1.12") -> Iterator[str]:
    """Of Docker: its two answers, at the path of a socket."""
    with TemporaryDirectory(prefix="upcall-") as folder:
        path = f"{folder}/docker.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        server = http.server.HTTPServer(("", 0), Answers, bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        version = f'{{"Version": "20.10", "ApiVersion": "{api}", "MinAPIVersion": "{oldest}"}}'
        server.says = {"/version": version.encode(), "/info": b'{"DockerRootDir": "/data"}'}  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def found(path: str, **more: str) -> list[str]:
    environment = {**KAFKA, "UPCALL_DRIVER": "docker", "UPCALL_DOCKER_HOST": f"unix://{path}", **more}
    return [each.id for each in asyncio.run(errors("invoker", environment))]


def test_an_engine_that_answers_is_well() -> None:
    with engine() as path:
        assert found(path) == []


def test_an_engine_of_another_age() -> None:
    with engine(api="1.20") as path:
        assert found(path) == ["HOST-06"]


def test_no_socket(tmp_path: Path) -> None:
    assert found(str(tmp_path / "docker.sock")) == ["HOST-03"]
    (tmp_path / "docker.sock").mkdir()
    assert found(str(tmp_path / "docker.sock")) == ["HOST-04"]


def test_a_socket_on_which_nobody_listens() -> None:
    with TemporaryDirectory(prefix="upcall-") as folder, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{folder}/docker.sock")
        assert found(f"{folder}/docker.sock") == ["HOST-03"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_socket_of_others() -> None:
    with engine() as path:
        Path(path).parent.chmod(0o755)
        Path(path).chmod(0o600)
        command = [sys.executable, "-m", "upcall", "doctor", "--init", "--role", "invoker"]
        environment = {**os.environ, **KAFKA, "UPCALL_DRIVER": "docker", "UPCALL_DOCKER_HOST": f"unix://{path}"}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, user=65534)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("HOST-05: The Invoker may not use ")


def test_other_drivers_need_no_engine(tmp_path: Path) -> None:
    assert found(str(tmp_path / "docker.sock"), UPCALL_DRIVER="process", UPCALL_ISOLATION="none") == []


def test_settings_that_are_missing() -> None:
    assert [each.id for each in asyncio.run(errors("invoker", {"UPCALL_DRIVER": "docker"}))] == ["CFG-01"]
