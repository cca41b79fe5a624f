"""The driver: containers of a Docker engine (`upcall.ports.Containers`)."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from upcall.containers.docker.engine import Engine
from upcall.containers.docker.options import DockerOptions
from upcall.containers.sandbox.interior import Serve

log = logging.getLogger(__name__)


class DockerContainers:
    """`run` is a folder of its own, private and short of path. `labels` are what our containers are known by. `kinds`
    have an image in the manifest. `serve_api` serves the API at the network's gateway."""

    def __init__(
        self,
        run: Path,
        options: DockerOptions,
        labels: Mapping[str, str],
        *,
        kinds: Sequence[str],
        serve_api: Serve | None = None,
    ) -> None:
        self.run = run
        self.options = options
        self.labels = labels
        self.kinds = kinds
        self.engine = Engine(options)
        self._serve_api = serve_api
        self._runs = asyncio.Semaphore(options.parallel_runs) if options.parallel_runs else None

    @property
    def trouble(self) -> str | None:
        """The engine's."""
        return self.engine.trouble
