"""The image of an Invoker as deployments of OpenWhisk start it (spec: invoker.md §2, kubernetes.md §2, §5.1): beside
the containers that it makes, on the same engine, whose socket is mounted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.platform import eventually
from tests.docker.test_invoker import FACTORY, world
from tests.system.engine import Engine
from tests.system.engine_images import PROJECT, locked, root
from tests.system.test_invoker_process import World, put
from tests.system.zookeeper import Keeper, required
from upcall import __version__

__all__ = ["world"]

BASE = "base/invoker:1"
IMAGE = f"upcall/invoker:{__version__}"
MAPPING = "/invokers/idAssignment/mapping"
SUM = (
    "import os\ndef main(args):\n    print('hello')\n    return {'sum': args['a'] + 1, 'told': os.environ.get('TOLD')}"
)
DNS = "export CONFIG_whisk_containerFactory_containerArgs_extraEnvVars_0=TOLD=by-configureDNS\n"


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[str]:
    with locked():
        engine.bring(root("invoker"), BASE)
    command = [sys.executable, "scripts/images.py", "invoker", "--base-invoker", BASE, "--docker-host", engine.url]
    made = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"{IMAGE}, from {BASE}\n  {IMAGE}  ")
    yield IMAGE
    for name in (IMAGE, BASE):
        engine.call("DELETE", f"/images/{name}", force="1")


@pytest.fixture
def keeper(inside: Engine, tmp_path: Path) -> Iterator[Keeper]:
    """Where the broker is."""
    required()
    folder = tmp_path / "zookeeper"
    folder.mkdir()
    made = Keeper(folder)
    made.start()
    yield made
    made.kill()


class Contained:
    """An Invoker in a container of this image; the engine's socket and the store's folder are mounted."""

    def __init__(self, engine: Engine, command: list[str], variables: dict[str, str], mounts: dict[str, str]) -> None:
        self._engine = engine
        body = {
            "Image": IMAGE,
            "Cmd": command,
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "HostConfig": {"NetworkMode": "host", "Binds": [f"{there}:{here}" for here, there in mounts.items()]},
        }
        self.id = engine.call("POST", "/containers/create", body)["Id"]
        engine.call("POST", f"/containers/{self.id}/start")

    @property
    def said(self) -> str:
        raw: bytes = self._engine.call("GET", f"/containers/{self.id}/logs", stdout="1", stderr="1")
        return raw.decode(errors="replace") if isinstance(raw, bytes) else json.dumps(raw)

    @property
    def first(self) -> list[str]:
        """The command line of its process 1, without the program."""
        found = self._engine.call("GET", f"/containers/{self.id}/top", ps_args="-eo pid,args")
        line: str = found["Processes"][0][-1]
        return line.split()[1:]

    def stop(self) -> int:
        """By SIGTERM, and SIGKILL where it does not heed that."""
        self._engine.call("POST", f"/containers/{self.id}/stop", t="60")
        code: int = self._engine.inspect(self.id)["State"]["ExitCode"]
        return code

    def remove(self) -> None:
        self._engine.call("DELETE", f"/containers/{self.id}", force="1")


@pytest.fixture
def contained(image: str, inside: Engine, world: World) -> Iterator[Any]:
    made: list[Contained] = []

    def start(command: list[str], mounts: dict[str, str] | None = None, **variables: str) -> Contained:
        folders = {str(world.folder): str(world.folder), "/var/run/docker.sock": str(inside.path), **(mounts or {})}
        settings = {
            **world.settings,
            "PORT": "18080",
            "UPCALL_PREWARM": "none",
            "INVOKER_OPTS": f"-Dwhisk.spi.ContainerFactoryProvider={FACTORY}",
            "WHISK_API_HOST_NAME": "10.0.0.1",
            **variables,
        }
        del settings["XDG_DATA_HOME"], settings["UPCALL_ACTION_NETWORK"]
        made.append(Contained(inside, command, settings, folders))
        return made[-1]

    yield start
    for each in made:
        each.remove()


def test_as_the_chart_starts_it(contained: Any, world: World, keeper: Keeper, tmp_path: Path) -> None:
    """By the node's name, after a mounted script, with the engine's folder of containers."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "configureDNS.sh").write_text(DNS)
    invoker = contained(
        ["/bin/bash", "-c", ". /invoker-scripts/configureDNS.sh && /init.sh --uniqueName $INVOKER_NAME"],
        {"/invoker-scripts": str(tmp_path / "scripts"), "/containers": str(tmp_path / "scripts")},
        INVOKER_NAME="ip-10-0-0-12",
        ZOOKEEPER_HOSTS=keeper.hosts,
    )
    eventually(lambda: "invoker0/ip-10-0-0-12 is ready at" in invoker.said, lambda: invoker.said)
    with keeper.client() as client:
        assert client.get(f"{MAPPING}/ip-10-0-0-12")[0] == b"\x00"
    controller = world.start("controller")
    eventually(lambda: controller.states() == {0: "up"}, lambda: (controller.states(), invoker.said))
    put(controller, "sum", SUM)
    record = controller.call("POST", "actions/sum?blocking=true", {"a": 1}).body
    assert record["response"]["result"] == {"sum": 2, "told": "by-configureDNS"}, invoker.said
    path = f"activations/{record['activationId']}/logs"
    eventually(lambda: controller.call("GET", path).status == 200, lambda: invoker.said)
    (line,) = controller.call("GET", path).body["logs"]
    assert line.endswith("stdout: hello")
    assert invoker.first[:2] == ["/usr/local/bin/upcall", "invoker"], "it reaps orphans"
    assert invoker.stop() == 0, invoker.said
    assert "stopping: running activations may take" in invoker.said


@pytest.mark.parametrize(
    "command",
    [
        ["/bin/bash", "-c", "/invoker/bin/invoker 0"],
        ["/bin/sh", "-c", "exec /init.sh --id 0 --uniqueName 0"],
    ],
    ids=["2017", "ansible"],
)
def test_as_others_start_it(contained: Any, command: list[str]) -> None:
    invoker = contained(command, COMPONENT_NAME="0")
    eventually(lambda: "is ready at http://" in invoker.said, lambda: invoker.said)
    assert invoker.stop() == 0, invoker.said
