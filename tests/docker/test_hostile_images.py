"""Images whose configuration or shell is a hostile tenant's: each costs those who use it, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.creating import driver, left, own, spec
from tests.docker.evil import committed, configured, shelled
from tests.docker.test_create import settled
from tests.system.engine import Engine as Dockerd
from upcall.containers.docker import creation, word
from upcall.containers.docker.driver import DockerContainers
from upcall.containers.docker.engine import Engine
from upcall.containers.docker.inspection import inspect
from upcall.errors import StartFailed
from upcall.model import texts
from upcall.ports import ContainerSpec

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def made(inside: Dockerd, tmp_path: Path) -> AsyncIterator[DockerContainers]:
    async with driver(inside, tmp_path) as started:
        yield started


def tenants(image: str) -> ContainerSpec:
    """There is no registry: the copy that is here is run."""
    return own(image, pull=True)


async def refused(made: DockerContainers, image: str) -> StartFailed:
    """And nothing is left of it."""
    with pytest.raises(StartFailed) as caught:
        await made.create(tenants(image))
    await settled(made)
    assert left(made) == ([], [])
    return caught.value


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("user", "USER nosuch"),
        ("number", "USER 99999999999"),
        ("proc", 'VOLUME ["/proc"]'),
        ("root", 'VOLUME ["/"]'),
        ("folder", 'CMD ["/etc"]'),
        ("fifo-as-user", "USER /dev/upcall.stdout"),
    ],
)
async def test_one_that_the_engine_does_not_start_is_excused(
    inside: Dockerd, made: DockerContainers, name: str, line: str
) -> None:
    error = await refused(made, configured(inside, name, line))
    assert (str(error), error.developer, error.excused) == (texts.PROVISION, False, True)
    assert made.outputs.mode == "fifo"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("working-folder", "WORKDIR /dev/upcall.stdout"),
        ("volume", 'VOLUME ["/dev/upcall.stdout"]'),
        ("volumes", 'VOLUME ["/dev"]'),
    ],
)
async def test_one_that_is_in_the_way_of_its_own_fifos_changes_nothing_for_others(
    inside: Dockerd, made: DockerContainers, name: str, line: str
) -> None:
    await (await made.create(tenants(configured(inside, name, line)))).destroy()
    assert made.outputs.mode == "fifo"


async def test_one_whose_program_is_a_fifo_changes_nothing_for_others(inside: Dockerd, made: DockerContainers) -> None:
    image = configured(inside, "program", 'ENTRYPOINT ["/dev/upcall.stdout"]')
    assert str(await refused(made, image)) == texts.executable_missing(image)
    assert made.outputs.mode == "fifo"


async def test_shells_that_never_say_a_word_hold_up_nobody(
    inside: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor choose the way of all others' logs."""
    monkeypatch.setattr(word, "_PATIENCE", 10.0)
    image = shelled(inside, "silent", "import time\ntime.sleep(3600)")
    async with driver(inside, tmp_path, parallel_runs=2) as made:
        waiting = [asyncio.create_task(made.create(tenants(image))) for _ in range(2)]
        while len(inside.call("GET", "/containers/json", filters={"ancestor": [image]})) < 2:
            await asyncio.sleep(0.05)
        await (await made.create(spec())).destroy()
        assert not any(task.done() for task in waiting)
        await asyncio.gather(*(container.destroy() for container in await asyncio.gather(*waiting)))
        assert made.outputs.mode == "fifo"


async def test_a_shell_that_floods_in_the_place_of_its_word_is_not_waited_for(
    inside: Dockerd, made: DockerContainers
) -> None:
    code = "import os\nout = os.open('/dev/upcall.stdout', os.O_WRONLY)\nwhile True:\n    os.write(out, bytes(65536))"
    container = await made.create(tenants(shelled(inside, "floods", code)))
    other = await made.create(spec())
    await asyncio.gather(container.destroy(), other.destroy())
    assert made.outputs.mode == "fifo"


async def test_one_that_ends_as_if_the_engine_did_is_found_out_and_nobody_waits(
    inside: Dockerd, made: DockerContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the container is looked at it has ended."""

    async def late(engine: Engine, id: str) -> dict[str, Any]:
        while (found := await inspect(engine, id))["State"]["Running"]:
            await asyncio.sleep(0.01)
        return found

    monkeypatch.setattr(creation, "inspect", late)
    image = configured(inside, "stopped", 'CMD ["python3", "-c", "raise SystemExit(143)"]')
    error = await refused(made, image)
    assert (str(error), error.developer) == (texts.INIT_DIED, True)
    assert made.trouble is None


@pytest.mark.parametrize(
    "config",
    [
        {"Env": [f"V{number}={'x' * 60_000}" for number in range(17)]},
        {"Labels": {"large": "x" * (2 << 20)}},
        {"ExposedPorts": {f"{port}/{kind}": {} for port in range(1, 32768) for kind in ("tcp", "udp")}},
    ],
    ids=["variables", "labels", "ports"],
)
async def test_a_configuration_that_all_would_have_to_read_again_and_again_is_refused(
    inside: Dockerd, made: DockerContainers, config: dict[str, Any]
) -> None:
    image = committed(inside, f"large-{next(iter(config)).lower()}", config)
    error = await refused(made, image)
    assert str(error).startswith(f"{texts.pull_failed(image)} Its configuration is too large")
    assert error.developer


async def test_labels_that_are_ours_and_checks_of_health_do_not_count(inside: Dockerd, made: DockerContainers) -> None:
    lines = (
        "LABEL upcall.instance=x upcall.invoker=9 upcall.boot=zzzz upcall.process=y",
        'HEALTHCHECK --interval=1ms CMD ["python3", "-c", "0"]',
        "STOPSIGNAL SIGSTOP",
    )
    container = await made.create(tenants(configured(inside, "labelled", *lines)))
    found = inside.inspect(container.id)
    assert {key: found["Config"]["Labels"][key] for key in made.labels.given()} == made.labels.given()
    assert "Health" not in found["State"]
    await container.destroy()
