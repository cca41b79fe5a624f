"""Containers and platforms killed at the worst moments: while they start, run and sleep."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.platform import eventually, on_docker
from tests.system.engine import Engine
from tests.system.engine_api import Refused
from tests.system.serving import Answer, Platform, running
from upcall.model import texts

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("inside")]

LABEL = "upcall.instance"
SLEEPY = "def main(args):\n    return {'pid': __import__('os').getpid(), 'n': args.get('n')}\n"
SLOW = """
import time
def main(args):
    if args:
        open('/tmp/begun', 'w').close()
        time.sleep(args['seconds'])
    return {}
"""
SLOW_INIT = "import time\nopen('/tmp/begun', 'w').close()\ntime.sleep(3600)\ndef main(args):\n    return {}\n"
HUNGRY = "def main(args):\n    return {'n': len(bytearray(args.get('mb', 1) << 20))}\n"
HUNGRY_INIT = "eaten = bytearray(600 << 20)\ndef main(args):\n    return {}\n"
SMALL = {"limits": {"memory": 128}}


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Containers sleep soon."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "upcall.toml").write_text('[pool]\npause-grace = "100 ms"\n')
    with on_docker(engine, folder / "data", "--prewarm", "python:3=0", "--config", str(folder / "upcall.toml")) as made:
        yield made


class Killing:
    """One action with its container."""

    def __init__(self, engine: Engine, platform: Platform, name: str, code: str, **members: Any) -> None:
        self.engine = engine
        self.platform = platform
        self.name = name
        assert platform.create(name, code, **{**SMALL, **members}).status == 200

    def container(self) -> str:
        """Its id, as soon as it runs."""
        found: list[str] = []

        def there() -> bool:
            names = {each["Id"]: (each["Names"][0], each["State"]) for each in self.engine.containers(LABEL)}
            found[:] = [id for id, (name, state) in names.items() if name.endswith(f"_{self.name}")]
            return bool(found)

        eventually(there, lambda: f"there is no container of {self.name}")
        return found[0]

    def asleep(self) -> str:
        """Its id, when it is paused."""
        id = self.container()
        eventually(lambda: frozen(id), lambda: "it is not paused")
        return id

    def invoke(self, **arguments: Any) -> Any:
        """The whole record."""
        answer: Answer = self.platform.invoke(self.name, arguments)
        return answer.body

    def while_it_runs(self, act: Callable[[str], None], **arguments: Any) -> Any:
        """The record of an activation during which `act` is done to its container."""
        records: list[Any] = []
        caller = threading.Thread(target=lambda: records.append(self.invoke(**arguments)))
        caller.start()
        id = self.container()
        eventually(lambda: self.begun(id), lambda: f"{self.name} has not begun what would take an hour")
        act(id)
        caller.join(60)
        return records[0]

    def begun(self, id: str) -> bool:
        """Whether its code says so, in its own /tmp."""
        with contextlib.suppress(Refused):  # an engine lists it before it lets it be looked at
            return Path(f"/proc/{self.engine.inspect(id)['State']['Pid']}/root/tmp/begun").exists()
        return False

    def kill(self, id: str) -> None:
        """As a hand would."""
        self.engine.call("POST", f"/containers/{id}/kill")

    def remove(self, id: str) -> None:
        self.engine.call("DELETE", f"/containers/{id}", force="1")

    def gone(self, id: str) -> None:
        eventually(lambda: id not in {each["Id"] for each in self.engine.containers()}, lambda: f"{id} is still there")


def frozen(id: str) -> bool:
    """By either version of cgroups."""
    trees = Path("/sys/fs/cgroup")
    return any(path.read_text() == "FROZEN\n" for path in trees.glob(f"freezer/*/{id}/freezer.state")) or any(
        "frozen 1" in path.read_text() for path in trees.glob(f"*/{id}/cgroup.events")
    )


@pytest.fixture(params=["kill", "remove"])
def way(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_killed_in_init_it_did_not_initialize_and_the_next_one_is_fine(
    engine: Engine, platform: Platform, way: str
) -> None:
    killing = Killing(engine, platform, f"init_{way}", SLOW_INIT)
    record = killing.while_it_runs(getattr(killing, way))
    assert record["response"]["result"] == {"error": texts.INIT_DIED}
    assert record["response"]["status"] == "action developer error"
    platform.create(killing.name, SLEEPY, **SMALL)
    assert killing.invoke(n=1)["response"]["result"]["n"] == 1


def test_killed_in_run_it_exited_unexpectedly_and_the_next_one_is_fine(
    engine: Engine, platform: Platform, way: str
) -> None:
    killing = Killing(engine, platform, f"run_{way}", SLOW)
    killing.invoke()
    record = killing.while_it_runs(getattr(killing, way), seconds=3600)
    assert record["response"]["result"] == {"error": texts.RUN_DIED}
    assert killing.invoke()["response"]["success"]


def test_killed_while_it_slept_it_costs_no_activation(engine: Engine, platform: Platform, way: str) -> None:
    killing = Killing(engine, platform, f"sleep_{way}", SLEEPY)
    killing.invoke()
    id = killing.asleep()
    getattr(killing, way)(id)
    record = killing.invoke(n=2)
    assert record["response"]["result"]["n"] == 2
    assert "initTime" in str(record["annotations"])
    killing.gone(id)


def test_a_hand_that_pauses_it_costs_its_time_out_and_nothing_after_it(engine: Engine, platform: Platform) -> None:
    limits = {"limits": {"memory": 128, "timeout": 3000}}
    killing = Killing(engine, platform, "handed", SLOW, **limits)
    killing.invoke()
    paused: list[str] = []

    def pause(id: str) -> None:
        engine.call("POST", f"/containers/{id}/pause")
        paused.append(id)

    record = killing.while_it_runs(pause, seconds=3600)
    assert record["response"]["result"] == {"error": texts.run_timeout(3000)}
    killing.gone(paused[0])
    assert killing.invoke()["response"]["success"]


def test_want_of_memory_is_told_in_run_and_in_init(engine: Engine, platform: Platform) -> None:
    killing = Killing(engine, platform, "hungry", HUNGRY)
    assert killing.invoke(mb=10)["response"]["result"] == {"n": 10 << 20}
    assert killing.invoke(mb=300)["response"]["result"] == {"error": texts.MEMORY_EXHAUSTED}
    assert killing.invoke(mb=10)["response"]["result"] == {"n": 10 << 20}
    starving = Killing(engine, platform, "starving", HUNGRY_INIT)
    assert starving.invoke()["response"]["result"] == {"error": texts.MEMORY_EXHAUSTED}


def test_what_a_killed_platform_left_is_swept_by_its_next_life(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    """Running, sleeping and kept ready ones; another platform's stay."""
    others = Killing(engine, platform, "others", SLEEPY)
    others.invoke()
    kept = others.container()
    (tmp_path / "upcall.toml").write_text('[pool]\npause-grace = "100 ms"\n')
    options = ["--driver", "docker", "--docker-host", engine.url, "--config", str(tmp_path / "upcall.toml")]
    first = Platform(tmp_path / "data", *options, "--prewarm", "python:3=1")
    try:
        sleeping = Killing(engine, first, "sleeping", SLEEPY)
        sleeping.invoke()
        sleeping.asleep()
        busy = Killing(engine, first, "busy", SLOW)
        busy.invoke()
        first.invoke("busy", {"seconds": 5}, query="blocking=false")
    finally:
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    instance = (tmp_path / "data/.instance").read_text().strip()
    left = {each["Id"] for each in engine.containers(f"{LABEL}={instance}")}
    assert len(left) >= 3
    with running(tmp_path / "data", *options, "--prewarm", "python:3=0") as second:
        there = {each["Id"] for each in engine.containers(LABEL)}
        assert not left & there
        assert kept in there
        assert "containers of an earlier life were removed" in second.output.read_text()
    assert others.invoke(n=4)["response"]["result"]["n"] == 4
