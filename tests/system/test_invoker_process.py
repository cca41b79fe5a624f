"""`upcall invoker`: a process of its own on a real broker; its HTTP, its start and its end (spec: invoker.md §8)."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.system.fleet.member import Member, Role
from tests.system.operating import upcall

if TYPE_CHECKING:
    from tests.system.kafka import Broker

pytest_plugins = ["tests.system.kafka"]

AUTH = f"23bc46b1-71f6-4ed5-8c54-816aa4f8c502:{'k' * 64}"
OPERATOR = "invoker.user:invoker.pass"
ECHO = "def main(args):\n    return args"
SLOW = "import time\ndef main(args):\n    time.sleep(args['seconds'])\n    return {'slept': True}"
CALLS = """
import os, urllib.request
def main(args):
    host = os.environ.get('__OW_API_HOST')
    return {'host': host, 'ping': host and urllib.request.urlopen(host + '/ping', timeout=5).read().decode()}
"""
MANIFEST = {
    "runtimes": {
        "python": [
            {"kind": "python:3", "image": {"prefix": "openwhisk", "name": "action-python-v3"}, "default": True},
            {"kind": "python:2", "image": {"prefix": "openwhisk", "name": "action-python-v2"}},
        ],
        "ruby": [{"kind": "ruby:2.5", "image": {"prefix": "openwhisk", "name": "action-ruby-v2"}}],
    }
}


class World:
    """Members that share topics, by a prefix, and one SQLite file."""

    def __init__(self, broker: "Broker", folder: Path) -> None:
        self.folder = folder
        self.prefix = f"p{uuid4().hex[:8]}-"
        self.settings = {
            "KAFKA_HOSTS": broker.bootstrap,
            "CONFIG_whisk_kafka_topics_prefix": self.prefix,
            "UPCALL_STORE": f"sqlite:///{folder / 'shared.db'}",
            "UPCALL_MEMORY": "1 GB",
            "UPCALL_ACTION_NETWORK": "none",
            "LIMITS_ACTIONS_INVOKES_PERMINUTE": "100000",
            "XDG_DATA_HOME": str(folder),
        }
        self.members: list[Member] = []

    def member(self, role: Role, **settings: str) -> Member:
        """Not started."""
        return self.elsewhere(role, self.folder, **settings)

    def elsewhere(self, role: Role, folder: Path, **settings: str) -> Member:
        """With its files in another folder."""
        auth = {"UPCALL_AUTH": AUTH} if role == "controller" else {}
        made = Member(role, 0, folder, {**self.settings, **auth, **settings}, AUTH)
        self.members.append(made)
        return made

    def start(self, role: Role, **settings: str) -> Member:
        made = self.member(role, **settings)
        made.start()
        return made

    def pair(self, **settings: str) -> tuple[Member, Member]:
        """A controller, and an Invoker that is up and has these settings."""
        controller = self.start("controller")
        invoker = self.start("invoker", **settings)
        wait("the Invoker is up", lambda: controller.states() == {0: "up"})
        return controller, invoker


@pytest.fixture
def world(kafka: "Broker", folder: Path) -> Iterator[World]:
    made = World(kafka, folder)
    yield made
    for member in made.members:
        member.kill()


def wait(what: str, met: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.05)


def put(controller: Member, name: str, code: str) -> None:
    action = {"exec": {"kind": "python:3", "code": code}}
    assert controller.call("PUT", f"actions/{name}?overwrite=true", action).status == 200


def process(member: Member) -> subprocess.Popen[bytes]:
    assert member.life is not None
    return member.life.process


def text(member: Member) -> str:
    return member.outputs[-1].read_text()


def test_its_routes_and_the_operators_commands(world: World) -> None:
    invoker = world.start("invoker", UPCALL_UNIQUE_NAME="unique", UPCALL_DISPLAYED_NAME="shown")
    topic = f"{world.prefix}invoker0"
    assert f"invoker0/unique/shown is ready at http://127.0.0.1:{invoker.port} (topic {topic}, 1.0 GB for" in text(
        invoker
    )
    assert "its operator's password is the well-known one" in text(invoker)
    ask = invoker.request
    assert ask("GET", "/ping").body == "pong"
    assert ask("GET", "/ready").body == {"ready": True, "invoker": "invoker0/unique/shown"}
    assert "upcall_pool_limit_bytes 1.073741824e+09" in ask("GET", "/metrics").body
    for path in ("/isEnabled", "/status", "/pool"):
        assert ask("GET", path).body["error"] == "The supplied authentication is invalid."
        assert ask("GET", path, "invoker.user:wrong").status == 401
    assert ask("GET", "/api/v1", OPERATOR).status == 404
    assert ask("POST", "/disable", OPERATOR).body == "invoker0/unique/shown is now disabled."
    assert ask("POST", "/disable", OPERATOR).body == "invoker0/unique/shown is already disabled."
    assert ask("GET", "/isEnabled", OPERATOR).body == {"enabled": False}
    refused = ask("GET", "/ready")
    assert (refused.status, refused.body["reason"]) == (503, "it is disabled")
    assert ask("POST", "/enable", OPERATOR).body == "invoker0/unique/shown is now enabled."
    status = ask("GET", "/status", OPERATOR).body
    assert (status["role"], status["id"], status["topic"]) == ("invoker", 0, topic)
    assert (status["bus"]["topic"], status["bus"]["behind"]) == (topic, 0)
    where = ["--apihost", f"http://127.0.0.1:{invoker.port}"]
    shown = upcall("status", *where, environment={"UPCALL_OPERATOR": OPERATOR})
    assert (shown.code, "invoker0/unique/shown at" in shown.out) == (0, True)
    assert f"topic {topic}, 0 messages wait" in shown.out
    assert upcall("log-level", *where, "--auth", OPERATOR).out == "info\n"
    assert "slowest actions" in upcall("top", "--once", *where, "--auth", OPERATOR).out
    shown = upcall("status", *where, environment={"UPCALL_DATA": str(world.folder / "invoker0")})
    assert shown.code == 0, "in the data folder is the key of the process that has this address"
    found = upcall("status", environment={"UPCALL_DATA": str(world.folder / "invoker0" / "invoker0")})
    assert found.code == 0, "its own folder has address and key"
    assert invoker.terminate(20) == ""


def test_disabled_it_leaves_messages_in_the_topic_and_says_so(world: World) -> None:
    controller, invoker = world.pair()
    put(controller, "echo", ECHO)
    assert controller.call("POST", "actions/echo?blocking=true", {"n": 1}).status == 200
    accepted = controller.call("POST", "actions/echo", {"n": 2}).body["activationId"]
    wait("the first record", lambda: controller.call("GET", f"activations/{accepted}").status == 200)
    invoker.request("POST", "/disable", OPERATOR)
    wait("the controller has heard it", lambda: controller.states() == {0: "down"})
    assert controller.call("POST", "actions/echo?blocking=true", {}).status == 503
    invoker.request("POST", "/enable", OPERATOR)
    wait("it is up again", lambda: controller.states() == {0: "up"})
    assert controller.call("POST", "actions/echo?blocking=true", {"n": 3}).body["response"]["result"] == {"n": 3}


def test_an_action_reaches_a_controller_on_the_same_machine(world: World) -> None:
    controller = world.start("controller")
    invoker = world.start("invoker", UPCALL_API_HOST=f"http://127.0.0.1:{controller.port}")
    wait("the Invoker is up", lambda: controller.states() == {0: "up"})
    put(controller, "calls", CALLS)
    result = controller.call("POST", "actions/calls?blocking=true", {}).body["response"]["result"]
    assert result == {"host": "http://192.0.2.1", "ping": "pong"}
    assert "__OW_API_HOST" not in text(invoker)


def test_without_an_api_host_there_is_no_such_variable_and_the_start_says_so(world: World) -> None:
    controller, invoker = world.pair()
    put(controller, "calls", CALLS)
    result = controller.call("POST", "actions/calls?blocking=true", {}).body["response"]["result"]
    assert result == {"host": None, "ping": None}
    assert "actions do not know the API's address (__OW_API_HOST): set --api-host" in text(invoker)


def test_of_a_manifest_what_does_not_run_here_is_told_once_and_other_kinds_are_refused(world: World) -> None:
    manifest = json.dumps(MANIFEST)
    controller = world.start("controller", RUNTIMES_MANIFEST=manifest)
    invoker = world.start("invoker", RUNTIMES_MANIFEST=manifest)
    assert text(invoker).count("the manifest has them: python:2, ruby:2.5") == 1
    assert invoker.request("GET", "/status", OPERATOR).body["kinds"] == ["python:3"]
    node = {"exec": {"kind": "nodejs:20", "code": "function main() {}"}}
    assert controller.call("PUT", "actions/node", node).status == 400


def test_a_second_one_with_its_number_is_refused_where_they_share_a_database_on_this_machine(world: World) -> None:
    first = world.start("invoker")
    again = upcall("invoker", "--id", "0", "--port", "0", environment=world.settings, data=world.folder / "other")
    assert (again.code, f"already: process {process(first).pid}; stop it" in again.err) == (1, True)
    assert first.alive


def test_a_second_one_on_another_machine_takes_its_place_and_it_ends_with_one_sentence(world: World) -> None:
    """The broker gives the place to who came last, so that a restart never waits for a hung process."""
    first = world.start("invoker")
    other = world.folder / "other"
    other.mkdir()
    second = world.elsewhere("invoker", other, UPCALL_STORE=f"sqlite:///{other / 'shared.db'}")
    second.start()
    assert process(first).wait(90) == 1
    assert "Traceback" not in text(first)
    assert text(first).splitlines()[-1].startswith("upcall: ")
    assert second.request("GET", "/ready").status == 200


def test_the_same_data_folder_is_refused_at_once(world: World) -> None:
    first = world.start("invoker")
    elsewhere = {**world.settings, "UPCALL_STORE": f"sqlite:///{world.folder / 'other.db'}"}
    again = upcall("invoker", "--id", "0", "--port", "0", environment=elsewhere, data=world.folder / "invoker0")
    assert again.code == 1
    assert f"is in use by process {process(first).pid}" in again.err
    assert first.alive


def runs(invoker: Member, name: str) -> bool:
    """Whether that action does: probes run, too."""
    known = invoker.request("GET", "/status", OPERATOR).body["actions"]
    return any(one["action"].endswith(f"/{name}") and one["running"] for one in known)


def test_sigterm_drains_and_a_second_signal_stops_at_once(world: World) -> None:
    controller, invoker = world.pair()
    put(controller, "slow", SLOW)
    id_ = controller.call("POST", "actions/slow", {"seconds": 2}).body["activationId"]
    wait("it runs", lambda: runs(invoker, "slow"))
    assert invoker.terminate(20) == ""
    record = controller.call("GET", f"activations/{id_}")
    assert record.status == 200, record
    assert record.body["response"]["result"] == {"slept": True}, record

    invoker.start()
    wait("it is up again", lambda: controller.states() == {0: "up"})
    controller.call("POST", "actions/slow", {"seconds": 20})
    wait("it runs", lambda: runs(invoker, "slow"))
    invoker.signal(signal.SIGTERM)
    wait("it drains", lambda: invoker.request("GET", "/ready").status == 503)
    assert "it stops" in invoker.request("GET", "/ready").body["reason"]
    invoker.signal(signal.SIGTERM)
    assert process(invoker).wait(10) == 128 + signal.SIGTERM


def test_without_brokers_it_ends_with_the_way_out(folder: Path) -> None:
    ended = upcall("invoker", "--id", "0", environment={"KAFKA_HOSTS": "", "XDG_DATA_HOME": str(folder)})
    assert ended.code == 1
    assert "KAFKA_HOSTS" in ended.err
