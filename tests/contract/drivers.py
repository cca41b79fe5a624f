"""The drivers of containers that their contract is tried with, each with what it owes its host in the end."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.contract.language import LANGUAGES
from tests.system.engine import Engine
from upcall.containers.docker.driver import DockerContainers
from upcall.containers.docker.labels import INSTANCE, new_labels
from upcall.containers.docker.options import DockerOptions
from upcall.containers.process import ProcessContainers
from upcall.model import texts
from upcall.ports import Containers

API = "http://api.test"
DRIVERS = ["process", "process without isolation", *(["docker"] if os.geteuid() == 0 else [])]
"""An ordinary user has no engine here (`tests.system.engine`)."""


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Short of path."""
    made = Path(tempfile.mkdtemp(prefix="up"))
    yield made
    shutil.rmtree(made)


def made(name: str, engine: Engine | None) -> contextlib.AbstractAsyncContextManager[Containers]:
    """A started driver by its name in DRIVERS."""
    return _process("without" not in name) if engine is None else _docker(engine)


@contextlib.asynccontextmanager
async def _process(isolated: bool) -> AsyncIterator[Containers]:
    with _folder() as folder:
        driver = ProcessContainers(folder, isolation="full" if isolated else "none", api_host=API)
        await driver.start()
        yield driver
        await driver.close()
        assert [path.name for path in folder.iterdir()] == ["lock"]


@contextlib.asynccontextmanager
async def _docker(engine: Engine) -> AsyncIterator[Containers]:
    """The test is in the engine's network."""
    options = DockerOptions(host=engine.url, api_host=API, user_memory=4096)
    labels = new_labels("contract", 0)
    with _folder() as folder:
        driver = DockerContainers(folder, options, labels, kinds=[each.kind for each in LANGUAGES.values()])
        await driver.start()
        yield driver
        await driver.close()
        assert engine.containers(f"{INSTANCE}=contract") == []
        assert list(folder.iterdir()) == []


def variables(driver: Containers) -> set[str]:
    """What an action may find in its environment."""
    common = {"PATH", "LANG", "HOME", "PWD", "TMPDIR", "__OW_API_HOST", "__OW_ALLOW_CONCURRENT"}
    return common if isinstance(driver, ProcessContainers) else common | {"HOSTNAME", "LC_CTYPE"}


def refusal(driver: Containers) -> tuple[str, bool]:
    """What is said of a kind that does not run here, and whether it is the developer's fault: an image of the manifest
    that is not there is the operator's."""
    return ("cobol:68", True) if isinstance(driver, ProcessContainers) else (texts.PROVISION, False)


def counts_memory(driver: Containers) -> bool:
    """Whether a container's memory can be told here."""
    if not isinstance(driver, ProcessContainers):
        return True
    groups = driver.host.cgroups
    return groups is not None and "memory" in groups.folders
