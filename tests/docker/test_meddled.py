"""What an operator does by hand to a container that is warm and frozen: the next activation is answered as ever."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker.creating import driver, spec, unstarted
from tests.docker.platform import LABEL, eventually, on_docker
from tests.system.engine import Engine
from tests.system.engine_api import Refused
from tests.system.serving import Platform

CODE = "def main(args):\n    print('here')\n    return {'fine': True}"


def pause(engine: Engine, id: str) -> None:
    with contextlib.suppress(Refused):  # what is frozen cannot be
        engine.call("POST", f"/containers/{id}/pause")


def stop(engine: Engine, id: str) -> None:
    engine.call("POST", f"/containers/{id}/stop", t="1")


def kill(engine: Engine, id: str) -> None:
    engine.call("POST", f"/containers/{id}/kill")


def restart(engine: Engine, id: str) -> None:
    with contextlib.suppress(Refused):  # it goes as soon as it has stopped
        engine.call("POST", f"/containers/{id}/restart", t="0")


def remove(engine: Engine, id: str) -> None:
    engine.call("DELETE", f"/containers/{id}", force="1")


def rename(engine: Engine, id: str) -> None:
    engine.call("POST", f"/containers/{id}/rename", name=f"mine_{uuid.uuid4().hex}_fine")


def update(engine: Engine, id: str) -> None:
    """Less memory, where it is not frozen."""
    with contextlib.suppress(Refused):
        engine.call("POST", f"/containers/{id}/update", {"Memory": 64 << 20, "MemorySwap": 64 << 20})


def prune(engine: Engine, id: str) -> None:
    engine.call("POST", "/containers/prune")


DEEDS: list[Callable[[Engine, str], None]] = [pause, stop, kill, restart, remove, rename, update, prune]


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPCALL_POOL_PAUSE_GRACE", "300 ms")
        with on_docker(engine, tmp_path_factory.mktemp("meddled") / "data") as made:
            assert made.create("fine", CODE).status == 200
            yield made
            assert made.stop() == 0
            assert "Traceback" not in made.output.read_text()


def is_frozen(engine: Engine, id: str) -> bool:
    states = [path.read_text() for path in Path("/sys/fs/cgroup").glob(f"*/{engine.group}/{id}/freezer.state")]
    events = [path.read_text() for path in Path("/sys/fs/cgroup").glob(f"{engine.group}/{id}/cgroup.events")]
    return any("FROZEN" in each for each in states) or any("frozen 1" in each for each in events)


def warm(engine: Engine) -> str:
    """The id of the action's container, when it is at rest."""

    def asleep() -> list[str]:
        found = [each for each in engine.containers(LABEL) if each["Names"][0].endswith("_fine")]
        return [each["Id"] for each in found if is_frozen(engine, each["Id"])]

    eventually(lambda: len(asleep()) == 1, lambda: engine.containers(LABEL))
    return asleep()[0]


@pytest.mark.parametrize("deed", DEEDS)
def test_the_next_activation_is_answered(
    engine: Engine, platform: Platform, deed: Callable[[Engine, str], None]
) -> None:
    assert platform.invoke("fine").body["response"]["success"]
    deed(engine, warm(engine))
    assert platform.invoke("fine").body["response"]["success"]


async def test_a_container_that_has_another_name_now_is_still_known(inside: Engine, tmp_path: Path) -> None:
    async with driver(inside, tmp_path) as made:
        container = await made.create(spec())
        rename(inside, container.id)
        await made.ownership.look_round()
        assert inside.inspect(container.id)["State"]["Running"]


async def test_two_that_are_one_platform_are_told(
    inside: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with driver(inside, tmp_path) as made:
        container = await made.create(spec())
        twin = unstarted(inside, tmp_path / "copy", made.labels.instance)
        await twin.start()
        await twin.close()
        assert container.id not in {each["Id"] for each in inside.containers(LABEL)}
    assert caplog.text.count(f"process {os.getpid()} runs as the same platform, and loses its containers") == 1
