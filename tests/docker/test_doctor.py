"""What the doctor sees of a real Docker engine, one that is well and ones that are not."""

import subprocess

import pytest

from tests.system.engine import Engine, engine_of_its_own, required
from upcall.doctor.canary_engine import LABEL, sing
from upcall.doctor.facts.engine import gather

FREEZER = "/sys/fs/cgroup/freezer"


@pytest.fixture
def needed(request: pytest.FixtureRequest) -> None:
    required(request)


def blamed(engine: Engine) -> list[str]:
    found = sing(engine.path)
    assert not found.unseen, found.unseen
    assert engine.containers(LABEL) == []
    return [each.id for each in found.findings]


def test_what_an_engine_says_of_itself(engine: Engine) -> None:
    told = gather(engine.path)
    assert (told.why, told.denied, told.logs) == ("", False, "json-file")
    assert told.root == str(engine.data / "root")
    assert told.runc
    assert told.api >= "1.41"
    assert told.oldest.startswith("1.")


def test_an_engine_that_is_well_has_nothing(engine: Engine) -> None:
    assert blamed(engine) == []


@pytest.mark.usefixtures("needed")
def test_an_engine_whose_logs_cannot_be_read() -> None:
    with engine_of_its_own("--log-driver", "none") as silent:
        assert gather(silent.path).logs == "none"
        assert blamed(silent) == ["HOST-07"]


@pytest.mark.usefixtures("needed")
def test_an_engine_that_cannot_pause() -> None:
    """Its runc has nothing to freeze by."""
    with engine_of_its_own() as stiff:
        inside(stiff, "umount", FREEZER)
        assert blamed(stiff) == ["HOST-08"]


@pytest.mark.usefixtures("needed")
def test_an_engine_whose_groups_are_not_there() -> None:
    with engine_of_its_own() as lost:
        inside(lost, "mount", "-t", "tmpfs", "none", FREEZER)
        assert blamed(lost) == ["HOST-09"]


@pytest.mark.usefixtures("needed")
def test_an_engine_that_does_not_answer_is_blamed_for_nothing() -> None:
    with engine_of_its_own() as stopped:
        stopped.freeze()
        try:
            assert gather(stopped.path).why == "it does not answer"
            found = sing(stopped.path)
        finally:
            stopped.thaw()
        assert (found.findings, len(found.unseen)) == ((), 1)


def inside(engine: Engine, *command: str) -> None:
    """Run with the engine's mounts."""
    subprocess.run(["nsenter", f"--mount=/proc/{engine.guard}/ns/mnt", *command], check=True)
