"""Actions in containers call the platform, and nothing else of its host: the whole of it at work (D15)."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.hostile import CODE, REFUSED
from tests.docker.platform import on_docker, recorded
from tests.system.engine import Engine
from tests.system.networks import HOST, METADATA, PORT, WORLD, a_world, listening
from tests.system.serving import Platform
from tests.system.test_npm_client import client
from tests.system.test_npm_inside import zipped

__all__ = ["client"]

pytestmark = pytest.mark.usefixtures("inside")

GATEWAY = "172.17.0.1"
NESTED = """
import base64, json, os, urllib.request

def main(args):
    call = urllib.request.Request(
        os.environ["__OW_API_HOST"] + "/api/v1/namespaces/_/actions/double?blocking=true&result=true",
        json.dumps(args).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(os.environ["__OW_API_KEY"].encode()).decode(),
        },
    )
    with urllib.request.urlopen(call, timeout=30) as answer:
        return json.load(answer)
"""
KEY = [{"key": "provide-api-key", "value": True}]


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    options = ("--action-network", "private", "--host", "0.0.0.0")
    with engine.inside(), a_world(), on_docker(engine, tmp_path_factory.mktemp("net") / "data", *options) as made:
        made.create("double", "def main(args): return {'n': args['n'] * 2}")
        yield made


def test_an_action_invokes_another_by_plain_http(platform: Platform) -> None:
    action = {"exec": {"kind": "python:default", "code": NESTED}, "annotations": KEY}
    assert platform.call("PUT", "actions/nested", action).status == 200
    assert recorded(platform, "nested", n=21)["response"]["result"] == {"n": 42}


def test_an_action_invokes_another_by_the_npm_client(platform: Platform, client: Path) -> None:
    code = zipped(client.parent / "node_modules")
    assert len(base64.b64decode(code)) > 10_000
    action = {"exec": {"kind": "nodejs:default", "code": code, "binary": True}, "annotations": KEY}
    assert platform.call("PUT", "actions/outer", action).status == 200
    result = recorded(platform, "outer", n=21)["response"]["result"]
    assert (result["host"], result["result"], result["failed"]) == (f"http://{GATEWAY}", {"n": 42}, 404)


def test_an_action_reaches_the_world_and_nothing_of_the_host(platform: Platform) -> None:
    platform.create("hostile", CODE)
    with listening() as port:
        own = [(address, each, "tcp") for address in (GATEWAY, HOST) for each in (port, platform.port, 22)]
        calls = [(WORLD, PORT, "tcp"), (METADATA, PORT, "tcp"), *own]
        result = recorded(platform, "hostile", calls=calls)["response"]["result"]
    assert result == {"seen": [HOST, *[REFUSED] * 7]}


def test_without_a_network_names_are_no_way_out(engine: Engine, tmp_path: Path) -> None:
    code = """
import socket
def main(args):
    try:
        return {"found": socket.getaddrinfo("example.org", 80)}
    except OSError as error:
        with open("/etc/resolv.conf") as file:
            return {"asked": [line for line in file.read().splitlines() if line.startswith("nameserver")]}
"""
    with on_docker(engine, tmp_path / "data", "--action-network", "none", "--dns", "10.77.0.53") as platform:
        platform.create("asks", code)
        result = recorded(platform, "asks")["response"]["result"]
    assert result == {"asked": ["nameserver 192.0.2.1"]}
