"""`cluster`: a running one, up before the first test that needs it; `namespace`: a fresh one in it for one test.

Where none can be had the tests are skipped with the reason; with `CI=true` that is a failure.
"""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.kubernetes.cluster import programs
from tests.kubernetes.cluster.cluster import Cluster

__all__ = ["Cluster", "cluster", "namespace"]


def required() -> None:
    """Skip where there can be none; in CI that is a failure."""
    if reason := programs.missing():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The one of this checkout: others' objects are in it, too."""
    required()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        programs.build()
        made = Cluster.join()
    yield made
    made.leave()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Gone afterwards with all that is in it; nobody waits for that."""
    name = f"test-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.remove_namespace(name, wait=False)
