"""Two platforms with the same number on one engine: neither touches the other's containers, whatever becomes of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.platform import LABEL, eventually, on_docker
from tests.system.engine import Engine
from tests.system.serving import Platform

pytestmark = pytest.mark.usefixtures("inside")

CODE = "n = 0\ndef main(args):\n    global n\n    n += 1\n    return {'n': n}\n"


def count(platform: Platform) -> Any:
    """How often this container has run."""
    return platform.invoke("count").body["response"]["result"]["n"]


def owned(engine: Engine) -> dict[str, set[str]]:
    """Containers by instance."""
    found: dict[str, set[str]] = {}
    for container in engine.containers(LABEL):
        found.setdefault(container["Labels"][LABEL], set()).add(container["Id"])
    return found


@contextlib.contextmanager
def counting(engine: Engine, data: Path) -> Iterator[Platform]:
    with on_docker(engine, data, "--prewarm", "python:3=0") as platform:
        assert platform.create("count", CODE).status == 200
        assert count(platform) == 1
        yield platform


def test_they_spare_each_other_also_when_one_is_killed_and_begins_again(engine: Engine, tmp_path: Path) -> None:
    with counting(engine, tmp_path / "one") as one, counting(engine, tmp_path / "two") as two:
        assert len(owned(engine)) == 2
        assert (count(one), count(two)) == (2, 2)
        two.process.kill()
        two.process.wait()
        assert len(owned(engine)) == 2, "what the killed one had is still there"
        assert count(one) == 3
        with counting(engine, tmp_path / "two"):
            mine, other = sorted(map(len, owned(engine).values()))
            assert (mine, other) == (1, 1), "the next life has removed what the killed one had"
            assert count(one) == 4
        eventually(lambda: len(owned(engine)) == 1, lambda: owned(engine))
        assert count(one) == 5
