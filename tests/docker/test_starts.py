"""How `upcall serve` starts on a Docker engine: by a manifest, beside sandboxes, again, and not at all."""

import json
import shutil
from pathlib import Path

import pytest

from tests.docker.platform import eventually, on_docker, ready
from tests.docker.test_serve import ODD, result, status, upcall
from tests.system.engine import Engine
from tests.system.engine_process import PATH
from tests.system.serving import running

pytestmark = pytest.mark.usefixtures("inside")


def test_a_platform_stays_itself_across_starts(engine: Engine, tmp_path: Path) -> None:
    """What an earlier life left is known by that."""
    seen = set()
    for _ in range(2):
        with on_docker(engine, tmp_path / "data", "--prewarm", "python:3=1"):
            eventually(lambda: bool(engine.containers("upcall.instance")), lambda: "no container")
            seen |= {each["Labels"]["upcall.instance"] for each in engine.containers("upcall.instance")}
    assert len(seen) == 1


def test_a_given_manifest_counts_and_what_is_missing_is_told(engine: Engine, tmp_path: Path) -> None:
    prefix, name = ODD.removesuffix(":1").split("/")
    image = {"prefix": prefix, "name": name, "tag": "1"}
    cells = [{"initialCount": 2, "memory": "128 MB"}]
    runtimes = {
        "java": [{"kind": "java:8", "image": image, "stemCells": cells}],
        "swift": [{"kind": "swift:5", "image": {"prefix": "me", "name": "swift", "tag": "1"}}],
    }
    file = tmp_path / "runtimes.json"
    file.write_text(json.dumps({"runtimes": runtimes}))
    with on_docker(engine, tmp_path / "data", "--runtimes", f"@{file}") as platform:
        text = platform.output.read_text()
        assert "the Docker engine does not have the image me/swift:1 of swift:5: docker pull me/swift:1" in text
        assert "swift:5 (me/swift:1, which is missing)" in text
        assert "Traceback" not in text
        assert ready(platform)[0] == 200, "the canary has been in the container that there is"
        assert status(platform)["kinds"] == ["java:8", "swift:5"]
        eventually(lambda: status(platform)["pool"]["states"] == {"prewarm": 2}, lambda: status(platform)["pool"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--docker-host", "unix:///nowhere/docker.sock"], "install Docker and start it"),
        (["--docker-host", "tcp://127.0.0.1:1"], "systemctl start docker"),
        (
            ["--docker-host", "ssh://me@there"],
            "is no address of a Docker engine: write unix:///path or tcp://host:port",
        ),
        (["--isolation", "none"], "--isolation none is for sandboxes of this host"),
        (["--docker-network", "nowhere"], "docker network create nowhere"),
        (["--docker-network", "host"], "name a bridge network with --docker-network"),
        (["--dns", "10.0.0.1:5353"], "--dns 10.0.0.1: Docker's containers ask resolvers at port 53 only"),
        (["--docker-extra-args", "colour=red"], "this option of docker run is not known here"),
        (["--prewarm", "ruby:3=1"], "the kind ruby:3 does not run here"),
        (["--runtimes", '{"runtimes":{}}'], "--runtimes: it has no kinds"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(engine: Engine, tmp_path: Path, options: list[str], says: str) -> None:
    there = ["--driver", "docker", "--docker-host", engine.url]
    done = upcall("serve", "--port", "0", "--data", str(tmp_path / "data"), *there, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not engine.containers("upcall.instance=")


def test_both_drivers_share_a_pool(engine: Engine, tmp_path: Path) -> None:
    with engine.inside(), running(tmp_path / "data", "--driver", "auto", "--docker-host", engine.url) as platform:
        text = platform.output.read_text()
        assert "process runs:    python:3" in text
        assert "docker runs:     blackbox: images are Docker's" in text
        assert platform.call("PUT", "actions/image", {"exec": {"kind": "blackbox", "image": ODD}}).status == 200
        platform.create("python", "import os\ndef main(a):\n    return {'image': os.path.exists('/.dockerenv')}")
        assert result(platform, "python") == {"image": False}
        assert platform.invoke("image").body["response"]["success"]
        found = status(platform)
        assert (found["driver"], found["isolation"], found["docker"]["trouble"]) == ("auto", "full, as root", None)
        assert len(engine.containers("upcall.instance")) == 1
        assert platform.stop() == 0
    assert not engine.containers("upcall.instance")
    assert "ERROR" not in platform.output.read_text()


def test_where_no_sandbox_can_be_had_docker_runs_all(engine: Engine, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nft").symlink_to(shutil.which("nft", path=PATH) or "")
    with (
        engine.inside(),
        running(
            tmp_path / "data", "--driver", "auto", "--docker-host", engine.url, environment={"PATH": str(programs)}
        ) as platform,
    ):
        text = platform.output.read_text()
        assert "--driver auto: actions run in Docker's containers alone: " in text
        assert "bubblewrap" in text
        assert "docker runs:     python:3" in text
        platform.create("python", "import os\ndef main(a):\n    return {'image': os.path.exists('/.dockerenv')}")
        assert result(platform, "python") == {"image": True}
