"""Two drivers as one: who makes which container, and whose trouble is whose."""

from collections.abc import AsyncIterator

import pytest

from upcall.containers.choice import Choice
from upcall.model.names import Json
from upcall.ports import ContainerSpec
from upcall.testing import FakeContainers


class Named(FakeContainers):
    """One of the two."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def facts(self) -> dict[str, Json]:
        return {"driver": self.name}


class Both:
    def __init__(self) -> None:
        self.process, self.docker = Named("process"), Named("docker")
        self.choice = Choice(self.process, self.docker, ["python:3"], ["python:3", "nodejs:20"])


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    made = Both()
    yield made
    if not made.process.closed:
        await made.choice.close()


def spec(kind: str, image: str = "") -> ContainerSpec:
    return ContainerSpec(kind=kind, image=image, memory=128, name="x")


@pytest.mark.parametrize(
    ("kind", "image", "driver"),
    [
        ("python:3", "upcall/python:1", "process"),
        ("nodejs:20", "upcall/nodejs:1", "docker"),
        ("blackbox", "openwhisk/dockerskeleton:nightly", "process"),
        ("blackbox", "registry.example:5000/openwhisk/dockerskeleton", "process"),
        ("blackbox", "me/mine:1", "docker"),
    ],
)
async def test_a_container_is_made_by_who_runs_its_kind(both: Both, kind: str, image: str, driver: str) -> None:
    await both.choice.create(spec(kind, image))
    made = {each.name: len(each.made) for each in (both.process, both.docker)}
    assert made == {"process": 0, "docker": 0, driver: 1}


async def test_sandboxes_go_on_while_docker_is_away_and_that_is_told(both: Both) -> None:
    both.docker.trouble = "The Docker engine does not answer."
    assert both.choice.trouble is None
    assert both.choice.facts() == {
        "driver": "auto",
        "docker": {"driver": "docker", "trouble": "The Docker engine does not answer."},
    }
    both.process.trouble = "No sandboxes."
    assert both.choice.trouble == "No sandboxes. The Docker engine does not answer."


async def test_only_docker_is_left_to_be_started_and_both_are_closed(both: Both) -> None:
    await both.choice.start()
    assert (both.process.started, both.docker.started) == (False, True)
    await both.choice.close()
    assert (both.process.closed, both.docker.closed) == (True, True)


async def test_one_that_cannot_be_closed_does_not_keep_the_other(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    async def close() -> None:
        await FakeContainers.close(both.process)
        raise RuntimeError("stuck")

    monkeypatch.setattr(both.process, "close", close)
    with pytest.raises(RuntimeError, match="stuck"):
        await both.choice.close()
    assert both.docker.closed


async def test_without_an_engine_sandboxes_say_what_they_do_not_run(both: Both) -> None:
    alone = Choice(both.process, None, ["python:3"], ["python:3"])
    await alone.start()
    assert not both.process.started
    await alone.create(spec("blackbox", "me/mine:1"))
    assert len(both.process.made) == 1
    assert (alone.trouble, alone.facts()) == (None, {"driver": "auto", "docker": None})
    both.process.trouble = "No sandboxes."
    assert alone.trouble == "No sandboxes."
