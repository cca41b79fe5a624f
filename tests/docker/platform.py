"""`upcall serve` with containers of the tests' engine, and what is left of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.system.engine import Engine
from tests.system.serving import Platform, running


@contextlib.contextmanager
def on_docker(engine: Engine, data: Path, *options: str) -> Iterator[Platform]:
    """In the engine's network, until the end; nothing of it is left then."""
    there = ("--driver", "docker", "--docker-host", engine.url)
    with engine.inside(), running(data, *there, *options) as platform:
        yield platform
