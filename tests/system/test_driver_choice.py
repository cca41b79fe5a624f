"""Which driver a platform takes where there is no Docker engine, and what it loads for it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.serving import QUIET, running

NOWHERE = ("--docker-host", "unix:///nowhere/docker.sock")
LOADED = """
import sys
import upcall.app.serve, upcall.app.invoker, upcall.app.controller
print([name for name in sys.modules if name.partition(".")[0] in ("aiodocker", "aiohttp") or ".docker." in name])
"""


def upcall(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upcall", *words]
    return subprocess.run(
        command, env={**os.environ, **QUIET, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


def status(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(upcall("status", "--json", UPCALL_DATA=str(data)).stdout)
    return found


def test_sandboxes_need_nothing_of_docker() -> None:
    """Loading its client takes longer than all the rest."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_without_an_engine_all_that_the_host_runs_is_offered_and_that_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--driver", "auto", *NOWHERE) as platform:
        text = platform.output.read_text()
        assert (
            "--driver auto: actions run in sandboxes of this host alone: The Docker engine at unix:///nowhere" in text
        )
        assert "process runs:    python:3" in text
        assert ": no Docker engine answers" in text
        platform.create("hello", "def main(args):\n    return {'ok': True}")
        assert platform.invoke("hello").body["response"]["result"] == {"ok": True}
        image = {"exec": {"kind": "blackbox", "image": "me/mine:1"}}
        assert platform.call("PUT", "actions/image", image).status == 200
        refused = platform.invoke("image").body["response"]["result"]["error"]
        assert "images need the Docker driver" in refused
        found = status(data)
        assert (found["state"], found["driver"], found["docker"]) == ("ready", "auto", None)
        assert {(row["driver"], row["why"]) for row in found["runs"]} == {("process", "no Docker engine answers")}
        assert platform.stop() == 0


def test_sandboxes_alone_are_shown_as_before(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        assert "runs:" not in platform.output.read_text()
        shown = upcall("status", UPCALL_DATA=str(platform.data)).stdout
        assert "process driver, isolation full" in shown
        kinds = next(line for line in shown.splitlines() if "kinds:" in line)
        assert kinds.split()[1] == "python:3"
        assert "(process" not in kinds


def test_a_manifest_says_what_is_offered(tmp_path: Path) -> None:
    runtimes = {
        "python": [{"kind": "python:3", "image": {"name": "x"}}],
        "java": [{"kind": "java:8", "image": {"name": "y"}}],
    }
    with running(tmp_path / "data", environment={"RUNTIMES_MANIFEST": json.dumps({"runtimes": runtimes})}) as platform:
        assert "kinds that are not run here, though the manifest has them: java:8" in platform.output.read_text()
        assert status(platform.data)["kinds"] == ["python:3"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--driver", "kubernetes"], "--driver kubernetes finds no cluster"),
        (["--driver", "kubernetes", "--isolation", "none"], "keeps actions apart by pods: leave one of the two out"),
        (["--driver", "docker", *NOWHERE], "install Docker and start it"),
        (["--driver", "docker", "--isolation", "none", *NOWHERE], "--isolation none is for sandboxes of this host"),
        (["--driver", "auto", "--isolation", "none"], "--action-network none needs sandboxes"),
        (["--driver", "x"], "'x' is none of: process, docker, kubernetes, auto"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path: Path, options: list[str], says: str) -> None:
    done = upcall("serve", "--port", "0", "--data", str(tmp_path / "data"), *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
