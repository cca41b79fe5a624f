"""The driver on a real engine, from its start to its end."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.system.engine import Engine as Dockerd
from upcall.containers.docker.driver import DockerContainers
from upcall.containers.docker.labels import INSTANCE, new_labels
from upcall.containers.docker.options import DockerOptions
from upcall.model.entities import BLACKBOX
from upcall.ports import ContainerSpec

SERVER = "odd/server:1"
_numbers = count(1)


def spec(image: str = SERVER, kind: str = "python:3", **changes: Any) -> ContainerSpec:
    """A user's own image is never fetched here: there is no registry."""
    name = changes.pop("name", f"wsk0_{next(_numbers)}_guest_hello")
    return ContainerSpec(**{"kind": kind, "image": image, "memory": 128, "name": name, "tenant": "guest"} | changes)


def own(image: str, **changes: Any) -> ContainerSpec:
    return spec(image, BLACKBOX, sentinels=False, **changes)


def unstarted(dockerd: Dockerd, folder: Path, instance: str, **options: Any) -> DockerContainers:
    """One life of the platform `instance`."""
    told = DockerOptions(**{"host": dockerd.url} | options)
    return DockerContainers(folder / "run", told, new_labels(instance, 0), kinds=["python:3"])


@asynccontextmanager
async def driver(dockerd: Dockerd, folder: Path, **options: Any) -> AsyncIterator[DockerContainers]:
    """A started one; nothing is left of it."""
    instance = uuid.uuid4().hex
    made = unstarted(dockerd, folder, instance, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
    assert dockerd.containers(f"{INSTANCE}={instance}") == []
    assert left(made) == ([], [])


def left(made: DockerContainers) -> tuple[list[str], list[str]]:
    """What containers have besides themselves: names, and folders of FIFOs."""
    return sorted(made.ownership.names), sorted(path.name for path in made.run.iterdir())


def ours(dockerd: Dockerd) -> list[dict[str, Any]]:
    """Of any platform."""
    return dockerd.containers("upcall.instance")
