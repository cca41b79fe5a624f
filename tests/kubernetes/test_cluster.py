"""The tests' own cluster: it goes with its last user, however that ends, and leaves nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.kubernetes.cluster.cluster import Cluster
from tests.kubernetes.cluster.place import CHECKOUT, OTHER, Place, lock, of_checkout, taken
from tests.kubernetes.outside import wait
from tests.system import engine_guard

JOIN = """
from tests.kubernetes.cluster.cluster import Cluster
joined = Cluster.join()
print(joined.place.number, flush=True)
input()
"""


class User:
    """A process that uses the cluster of a checkout which has no other tests."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT
        )
        assert self.process.stdout is not None
        self.place = Place(int(self.process.stdout.readline()))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def elsewhere(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also while another cluster runs."""
    monkeypatch.setenv(OTHER, uuid4().hex)
    yield
    for what in ("turn", "users"):
        of_checkout(what).unlink()


def guards(place: Place) -> list[int]:
    """Pids of who holds its lock."""
    held = os.stat(lock(f"{place.number}.lock")).st_ino
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(line[4]) for line in lines if line[1] == "FLOCK" and line[5].endswith(f":{held}")]


def gone(place: Place) -> bool:
    groups = [tree / place.group for tree in engine_guard.trees()]
    links = Path("/sys/class/net", place.group)
    return not any(each.exists() for each in (*groups, links, place.folder)) and not taken(lock(f"{place.number}.lock"))


@pytest.mark.usefixtures("elsewhere")
def test_it_goes_with_its_last_user_and_after_a_guard_that_was_killed_with_the_next(cluster: Cluster) -> None:
    first = User()
    second = User()
    assert first.place == second.place != cluster.place
    first.kill()
    assert taken(lock(f"{second.place.number}.lock")), "there is another user"
    (guard,) = guards(second.place)
    os.kill(guard, signal.SIGKILL)
    second.kill()
    assert second.place.folder.exists(), "nobody is left to remove it"
    third = User()
    assert third.place == second.place
    third.kill()
    wait("it is gone", lambda: gone(third.place))
