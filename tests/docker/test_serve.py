"""`upcall serve` on a Docker engine: what it offers, and what it says of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.platform import eventually, on_docker
from tests.system.engine import Engine
from tests.system.serving import QUIET, Platform
from upcall import __version__

pytestmark = pytest.mark.usefixtures("inside")

PYTHON, NODEJS, SKELETON = (f"upcall/{name}:{__version__}" for name in ("python", "nodejs", "skeleton"))
ODD = "odd/server:1"
SCRIPT = "#!/bin/sh\necho native >&2\necho '{\"arguments\": '\"$1\"'}'\n"


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with on_docker(engine, tmp_path_factory.mktemp("serve") / "data", "--prewarm", "python:3=1") as made:
        yield made


def upcall(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upcall", *words]
    return subprocess.run(
        command, env={**os.environ, **QUIET, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


def status(platform: Platform) -> dict[str, Any]:
    done = upcall("status", "--json", UPCALL_DATA=str(platform.data))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def result(platform: Platform, name: str, **arguments: Any) -> Any:
    answer = platform.invoke(name, arguments)
    assert answer.status == 200, answer
    return answer.body["response"]["result"]


def test_it_says_what_runs_each_kind(platform: Platform) -> None:
    (line,) = (line for line in platform.output.read_text().splitlines() if "docker runs:" in line)
    assert line.split(maxsplit=2)[2] == (f"python:3 python:3.11 ({PYTHON}), nodejs:20 ({NODEJS}), native ({SKELETON})")
    assert "each in a container of its own" in platform.output.read_text()


def test_status_knows_the_engine_and_its_ways(platform: Platform, engine: Engine) -> None:
    found = status(platform)
    assert (found["state"], found["driver"], found["kinds"]) == (
        "ready",
        "docker",
        ["python:3", "python:3.11", "nodejs:20"],
    )
    assert found["engine"].endswith(f" at {engine.url}")
    assert (found["logs"], found["freezer"]) == ("fifo", "the freezer file")
    assert found["network"].startswith("the API alone, docker0")
    assert [(row["kind"], row["image"], row["there"]) for row in found["runs"]][-1] == ("native", SKELETON, True)
    shown = upcall("status", UPCALL_DATA=str(platform.data))
    assert shown.returncode == 0
    for row in (
        f"engine {found['engine']}",
        "logs by fifo; pause by: the freezer file",
        f"nodejs:20 (docker, {NODEJS})",
    ):
        assert row in shown.stdout


def test_a_container_is_kept_ready(platform: Platform, engine: Engine) -> None:
    eventually(lambda: status(platform)["pool"]["states"] == {"prewarm": 1}, lambda: status(platform)["pool"])
    names = [each["Names"][0] for each in engine.containers("upcall.instance")]
    assert any("_prewarm_python3" in name for name in names), names


def test_kinds_native_executables_and_images_are_run(platform: Platform) -> None:
    node = {"kind": "nodejs:20", "code": "function main(a) { return {n: a.n + 1} }"}
    native = {"kind": "blackbox", "image": "openwhisk/dockerskeleton:nightly", "code": SCRIPT}
    image = {"kind": "blackbox", "image": ODD}
    for name, exec in {"node": node, "native": native, "image": image}.items():
        assert platform.call("PUT", f"actions/{name}", {"exec": exec}).status == 200
    platform.create("python", "def main(a):\n    return {'n': a['n'] + 1}")
    assert result(platform, "python", n=1) == {"n": 2}
    assert result(platform, "node", n=2) == {"n": 3}
    assert result(platform, "native", n=3) == {"arguments": {"n": 3}}
    assert platform.invoke("image", {"answer": {"ok": 1}}).body["response"]["success"]


def test_what_the_engine_is_told_is_counted_as_upstream_does(platform: Platform) -> None:
    platform.create("counted", "def main(a):\n    return {}", limits={"memory": 512})
    before = told(platform)
    assert before["ps"] >= 1, "at the start it was looked for what an earlier life had left"
    assert result(platform, "counted") == {}
    assert told(platform)["run"] > before["run"]


def told(platform: Platform) -> dict[str, float]:
    """Commands that have gone well."""
    line = re.compile(r'histogram_invoker_docker_finish_seconds_count\{cmd="(\w+)"\} (\S+)')
    connection = platform.connect()
    try:
        connection.request("GET", "/metrics")
        shown = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {command: float(count) for command, count in line.findall(shown)}
