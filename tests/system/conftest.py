"""Fixtures of tests that start sandboxes."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from upcall.containers.process import ProcessContainers

os.environ["UPCALL_ACTION_NETWORK"] = "none"  # a platform that a test starts sets no rules on this host


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short of path: sockets lie in it."""
    made = Path(tempfile.mkdtemp(prefix="up"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def driver(folder: Path) -> AsyncIterator[ProcessContainers]:
    """A started one, closed in the end."""
    made = ProcessContainers(folder, pids=64)
    await made.start()
    yield made
    await made.close()
