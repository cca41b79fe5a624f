"""`upcall invoker` with containers of a Docker engine, on a real broker; OpenWhisk's variables say how."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.platform import LABEL, eventually
from tests.system.engine import Engine
from tests.system.fleet.member import Member
from tests.system.test_invoker_process import OPERATOR, World, process, put

FACTORY = "org.apache.openwhisk.core.containerpool.docker.DockerContainerFactoryProvider"
ARGS = "CONFIG_whisk_containerFactory_containerArgs"
TOLD = "import os\ndef main(args):\n    return {name: os.environ.get(name) for name in ('__OW_API_HOST', 'A', 'B')}"


@pytest.fixture
def world(inside: Engine, tmp_path: Path) -> Iterator[World]:
    """With a broker where the containers' addresses lead."""
    from tests.system import kafka  # a plugin of other tests, which has to be the first to load it

    kafka.required()
    folder = tmp_path / "kafka"
    folder.mkdir()
    broker = kafka.Broker(kafka.jars(), folder)
    broker.start()
    made = World(broker, tmp_path)
    yield made
    for member in made.members:
        member.kill()
    broker.kill()


def on_docker(engine: Engine) -> dict[str, str]:
    """As OpenWhisk's deployments say it."""
    return {
        "CONFIG_whisk_spi_ContainerFactoryProvider": FACTORY,
        "DOCKER_HOST": engine.url,
        "UPCALL_PREWARM": "none",
        "WHISK_API_HOST_PROTO": "https",
        "WHISK_API_HOST_NAME": "api.example.org",
        "WHISK_API_HOST_PORT": "443",
        f"{ARGS}_extraEnvVars_0": "A=1,2",
        f"{ARGS}_extraEnvVars_1": "B",
        f"{ARGS}_extraArgs_label_0": "mine=yes",
    }


def ours(engine: Engine) -> dict[str, str]:
    """Names of what is there, by id."""
    return {each["Id"]: each["Names"][0] for each in engine.containers(LABEL)}


def ask(controller: Member, name: str) -> object:
    return controller.call("POST", f"actions/{name}?blocking=true&result=true").body


def test_it_runs_as_openwhisks_would_and_the_next_life_finds_what_it_left(world: World, inside: Engine) -> None:
    """That has another disk, as a pod that is replaced."""
    before = ours(inside)
    settings = on_docker(inside)
    controller, invoker = world.pair(**settings)
    put(controller, "told", TOLD)
    assert ask(controller, "told") == {"__OW_API_HOST": "https://api.example.org", "A": "1,2", "B": ""}
    (container,) = (id for id, name in ours(inside).items() if name.endswith("_guest_told"))
    labels = inside.inspect(container)["Config"]["Labels"]
    assert (labels["mine"], labels[LABEL]) == ("yes", f"upcall-test-cluster-00/{world.prefix}")
    found = invoker.request("GET", "/status", OPERATOR).body
    assert (found["driver"], found["kinds"][0]) == ("docker", "python:3")
    assert found["engine"].endswith(inside.url)
    process(invoker).kill()
    process(invoker).wait()
    assert container in ours(inside)
    other = world.folder / "other"
    other.mkdir()
    second = world.elsewhere("invoker", other, **settings)
    second.start()
    assert container not in ours(inside), "the earlier life's are removed before anything runs"
    assert "containers of an earlier life were removed" in second.outputs[-1].read_text()
    eventually(lambda: controller.states() == {0: "up"}, controller.states)
    assert ask(controller, "told") == {"__OW_API_HOST": "https://api.example.org", "A": "1,2", "B": ""}
    assert second.terminate(60) == ""
    eventually(lambda: ours(inside) == before, lambda: ours(inside))
