"""An engine that goes away: the platform says so everywhere it is asked, and is well again by itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.platform import eventually, ready
from tests.docker.test_serve import result, status, upcall
from tests.system.engine import Engine, engine_of_its_own, required
from tests.system.serving import Platform, running

CODE = "def main(args):\n    return {'ok': True}"


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One that may be broken."""
    required(request)
    with engine_of_its_own() as made:
        yield made


def invoked(platform: Platform) -> int:
    """1: one more has been accepted."""
    return int(platform.invoke("hello", query="").status == 202)


def gauge(platform: Platform) -> str:
    connection = platform.connect()
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r"^upcall_containers_trouble (\S+)$", text, re.MULTILINE)
    return found[1] if found else "missing"


def test_without_an_engine_everybody_is_told_and_what_comes_waits(own: Engine, tmp_path: Path) -> None:
    with own.inside(), running(tmp_path / "data", "--driver", "docker", "--docker-host", own.url) as platform:
        platform.create("hello", CODE)
        assert result(platform, "hello") == {"ok": True}
        assert (ready(platform)[0], gauge(platform)) == (200, "0.0")
        own.stop()
        eventually(lambda: ready(platform)[0] == 503, lambda: ready(platform))
        assert f"The Docker engine at {own.url} is not there" in ready(platform)[1]["reason"]
        assert gauge(platform) == "1.0"
        shown = upcall("status", UPCALL_DATA=str(platform.data))
        assert (shown.returncode, "without containers" in shown.stdout) == (1, True)
        assert f"The Docker engine at {own.url} is not there" in shown.stdout
        eventually(lambda: status(platform)["held_back"] + invoked(platform) > 1, lambda: status(platform))
        own.start()
        eventually(lambda: ready(platform)[0] == 200, lambda: ready(platform))
        assert result(platform, "hello") == {"ok": True}
        eventually(lambda: status(platform)["journal"]["activations"] == 0, lambda: status(platform))
        assert gauge(platform) == "0.0"
        text = platform.output.read_text()
        assert text.count("[ERROR]") == 1
        assert text.count("the Docker engine is back") == 1
        assert "Traceback" not in text


def test_sandboxes_go_on_without_it(own: Engine, tmp_path: Path) -> None:
    with own.inside(), running(tmp_path / "data", "--driver", "auto", "--docker-host", own.url) as platform:
        platform.create("hello", CODE)
        image = {"exec": {"kind": "blackbox", "image": "odd/server:1"}}
        assert platform.call("PUT", "actions/image", image).status == 200
        own.freeze()
        eventually(lambda: bool(status(platform)["docker"]["trouble"]), lambda: status(platform)["docker"])
        assert ready(platform)[0] == 200
        assert result(platform, "hello") == {"ok": True}
        shown = upcall("status", UPCALL_DATA=str(platform.data))
        assert (shown.returncode, "does not answer" in shown.stdout) == (0, True)
        waiting = platform.invoke("image", query="blocking=false").body["activationId"]
        own.thaw()
        eventually(
            lambda: platform.call("GET", f"activations/{waiting}").status == 200,
            lambda: "what needs Docker does not run",
        )
        assert platform.call("GET", f"activations/{waiting}").body["response"]["success"]
        eventually(lambda: status(platform)["docker"]["trouble"] is None, lambda: status(platform)["docker"])
