"""What `docs/reference/fleet.md` says to type, run as it stands: a broker, PostgreSQL, one process of each role."""

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.kafka import Broker
    from tests.system.postgres import Server

pytest_plugins = ["tests.system.kafka", "tests.system.postgres"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "fleet.md"
COMMAND = ".venv/bin/upcall "


class Typed:
    """The page's shell block, with this machine's names and ports: exports, and one command after the other."""

    def __init__(self, names: dict[str, str], folder: Path) -> None:
        blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        (text,) = blocks
        for name, ours in names.items():
            assert name in text, f"the page does not say {name}"
            text = text.replace(name, ours)
        lines = [shlex.split(line, comments=True) for line in text.splitlines()]
        given = dict(word.split("=", 1) for line in lines if line[0] == "export" for word in line[1:])
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("UPCALL_", "CONFIG_"))}
        own = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "share"), "UPCALL_ACTION_NETWORK": "none"}
        self.environment = {**kept, **own, **given}
        self.commands = [line for line in lines if line[0] != "export"]
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder

    def start(self, role: str, **settings: str) -> None:
        (words,) = [words for words in self.commands if words[1] == role]
        with (self._folder / f"{role}.log").open("ab") as log:
            environment = {**self.environment, **settings}
            self.processes.append(
                subprocess.Popen(words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )
        process = self.processes[-1]
        wait(f"the {role}", lambda: "ready at" in self.log(role) or process.poll() is not None, lambda: self.log(role))
        assert process.poll() is None, self.log(role)

    def log(self, role: str) -> str:
        return (self._folder / f"{role}.log").read_text()

    def run(self, *words: str) -> str:
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def wait(what: str, met: Callable[[], bool], found: Callable[[], str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s: {found()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def asked(url: str, method: str = "GET", key: str = "", body: Any = None) -> Any:
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", "Basic " + b64encode(key.encode()).decode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture
def typed(kafka: "Broker", postgres: "Server", folder: Path) -> Iterator[Typed]:
    """Topics are the broker's only ones without a prefix."""
    controller = free_port()
    names = {
        "kafka:9092": kafka.bootstrap,
        "postgresql://upcall@db/upcall": asyncio.run(postgres.database()),
        "--port 8080": f"--port {controller}",
        "ctrl:8080": f"127.0.0.1:{controller}",
    }
    made = Typed(names, folder)
    made.environment["API"] = f"http://127.0.0.1:{controller}"
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_the_commands_of_the_page_make_a_fleet(typed: Typed) -> None:
    assert [words[1] for words in typed.commands] == ["controller", "invoker", "user"]
    assert all(words[0] == COMMAND.strip() for words in typed.commands)
    typed.start("controller")
    typed.start("invoker", UPCALL_PORT=str(free_port()))
    key = typed.run(*typed.commands[2])
    api = typed.environment["API"]
    wait("the Invoker is up", lambda: asked(f"{api}/invokers") == {"invoker0": "up"}, lambda: typed.log("controller"))
    path = f"{api}/api/v1/namespaces/_/actions/hello"
    asked(path, "PUT", key, {"exec": {"kind": "python:3", "code": "import os\ndef main(a): return dict(os.environ)"}})
    result = asked(f"{path}?blocking=true&result=true", "POST", key, {})
    assert result["__OW_NAMESPACE"] == "alice"
    assert result["__OW_API_HOST"]
    assert "controller0 at" in typed.run(COMMAND.strip(), "status", "--apihost", api)


def test_what_the_page_says_is_set_is_in_the_settings() -> None:
    """Options and variables that it names."""
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text()
    text = PAGE.read_text()
    options = set(re.findall(r"--[a-z][a-z-]+", text)) - {"--role", "--apihost"}
    named = options | set(re.findall(r"\b(UPCALL_[A-Z_]+)", text)) | {"kafka.silence"}
    assert len(named) > 8
    assert [name for name in sorted(named) if f"`{name}`" not in settings] == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE.read_text()))))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (PAGE.parent / path).exists()
