"""Who has made a container, as far as its labels say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.containers.docker.labels import BOOT, INVOKER, PROCESS, Labels, new_labels, owner, place_of


@pytest.fixture
def ours() -> Labels:
    return new_labels("cluster/topic", 1)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process


def test_what_a_container_gets_says_that_it_is_ours(ours: Labels) -> None:
    assert ours.are_ours(ours.given())
    assert not ours.are_later(ours.given())
    assert ours.filter() == ["upcall.instance=cluster/topic", "upcall.invoker=1"]


def test_another_lifes_are_kin_and_the_later_one_is_told_from_the_earlier(ours: Labels) -> None:
    later = new_labels("cluster/topic", 1)
    assert later.boot > ours.boot
    assert ours.are_kin(later.given())
    assert not ours.are_ours(later.given())
    assert ours.are_later(later.given())
    assert not later.are_later(ours.given())


@pytest.mark.parametrize(("instance", "invoker"), [("cluster/topic", 10), ("cluster/topi", 1), ("cluster/topic1", 1)])
def test_another_invokers_are_no_kin(ours: Labels, instance: str, invoker: int) -> None:
    assert not ours.are_kin(new_labels(instance, invoker).given())


@pytest.mark.parametrize("missing", [INVOKER, "upcall.instance"])
def test_a_stranger_with_some_of_our_labels_is_no_kin(ours: Labels, missing: str) -> None:
    given = ours.given()
    del given[missing]
    assert not ours.are_kin(given)
    assert not ours.are_later({BOOT: "f" * 16})


def test_whose_process_runs_is_told_from_whose_has_ended(child: subprocess.Popen[bytes]) -> None:
    labels = {PROCESS: place_of(child.pid)}
    assert owner(labels) == "runs"
    child.kill()
    child.wait()
    assert owner(labels) == "stopped"


def test_a_process_that_has_got_the_pid_of_another_is_not_taken_for_it() -> None:
    machine, _, rest = place_of(os.getpid()).rpartition("/")
    assert owner({PROCESS: f"{machine}/{rest}1"}) == "stopped"


def test_where_proc_does_not_tell_of_the_machine_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.containers.docker.labels._PROC", tmp_path)
    ours = new_labels("x", 0)
    assert owner(ours.given()) == "unknown"
    assert ours.are_ours(ours.given())


@pytest.mark.parametrize("place", ["", "x", "another-machine/4026531836/1/77", "a/b/c/d"])
def test_of_another_machine_nothing_is_known(place: str) -> None:
    assert owner({PROCESS: place}) == "unknown"
