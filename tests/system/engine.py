"""A real Docker engine for tests: dockerd in network and mount namespaces of its own, gone with the test run.

    pytest_plugins = ["tests.system.engine"]        def test_…(engine: "Engine", inside: None) -> None: …

`engine` is one for all tests of this process, with the images of `engine_images`; `inside` puts the test, and what it
starts, where the containers' addresses lead. The engine's socket is a path and answers from everywhere. Its files are a
copy, made of links, of a cached folder with the images in it; a guard (`engine_guard`) removes everything, also after a
kill -9 of the tests. Where it cannot run the tests are skipped with the reason; with `CI=true` that is a failure.
"""

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.system import engine_images
from tests.system.engine_process import Engine, missing

__all__ = ["Engine", "engine", "engine_of_its_own", "inside", "required"]


@contextlib.contextmanager
def engine_of_its_own(*options: str) -> Iterator[Engine]:
    """A started one with the images, for a test that breaks it."""
    made = Engine(engine_images.copy(), *options)
    try:
        made.start()
        yield made
    finally:
        made.close()


def required(request: pytest.FixtureRequest) -> None:
    """Skip where no engine can run; make the images where they are not there yet."""
    if reason := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        engine_images.prepare()


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A running one, the same for all tests of this process; they leave it as it was."""
    required(request)
    with engine_of_its_own() as made:
        yield made


@pytest.fixture
def inside(engine: Engine) -> Iterator[Engine]:
    """The test is in the engine's network."""
    with engine.inside():
        yield engine
