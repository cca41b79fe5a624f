"""Pasted text: what is known in it is named, and nothing else is blamed."""

import re
import string
import tomllib
from pathlib import Path

import pytest

from upcall.doctor.explain import SHOWN, explain
from upcall.doctor.failures import FAILURES
from upcall.doctor.finding import Failure, LinePatch

HERE = Path(__file__).parent
PHRASINGS: dict[str, list[str]] = tomllib.loads((HERE / "phrasings.toml").read_text())
HARMLESS = (HERE / "harmless.txt").read_text()
LINES = [(id, text) for id, texts in PHRASINGS.items() for text in texts]
SEED = "\n".join(PHRASINGS["HOST-01"][:2])


@pytest.mark.parametrize(("id", "text"), LINES)
def test_a_line_shows_its_failure_and_no_other(id: str, text: str) -> None:
    assert [found.id for found in explain(f"{HARMLESS}\n{text}\n{HARMLESS}")] == [id]


@pytest.mark.parametrize(("id", "text"), LINES)
def test_what_helps_is_said_without_gaps(id: str, text: str) -> None:
    (found,) = explain(text)
    assert not re.search(r"\{\w+\}", found.cause + found.fix)


def test_every_failure_that_text_can_show_has_a_phrasing() -> None:
    assert {id for id, failure in FAILURES.items() if failure.patterns} == set(PHRASINGS)
    for failure in FAILURES.values():
        assert ("text" in failure.sources) == bool(failure.patterns), failure.id


def test_harmless_text_is_blamed_on_nothing() -> None:
    assert explain(HARMLESS) == []
    assert explain("") == []


def test_the_two_lines_of_2017_are_one_finding_with_the_mount_to_delete() -> None:
    (found,) = explain(SEED)
    assert (found.id, found.severity, found.where) == ("HOST-01", "error", "line 1")
    assert "/usr/lib/x86_64-linux-gnu" in found.cause
    assert "apparmor mount" in found.fix
    assert found.patch == LinePatch(file="invoker.yml", delete=["- name: apparmor"])


def test_a_path_that_no_known_mount_has_gets_no_patch() -> None:
    (found,) = explain("mkdir /opt/own: read-only file system")
    assert found.patch is None
    assert "/opt/own" in found.cause


def test_one_failure_with_two_causes_is_told_twice() -> None:
    text = "mkdir /usr/lib/x86_64-linux-gnu: read-only file system\nmkdir /run/runc: read-only file system\n" * 3
    assert [found.where for found in explain(text)] == ["line 1", "line 2"]


def test_a_line_that_a_terminal_has_broken_is_understood() -> None:
    (found,) = explain(
        'Error response from daemon: {"message":"mkdir\n/usr/lib/x86_64-linux-gnu: read-only\nfile system"}'
    )
    assert found.id == "HOST-01"


def test_evidence_of_a_long_line_is_what_is_around_the_place() -> None:
    (found,) = explain(f"{'a' * 5000} exec format error {'b' * 5000}")
    assert "exec format error" in found.evidence
    assert len(found.evidence) <= SHOWN + 2


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_places_that_nobody_fills_have_words(failure: Failure) -> None:
    places = {name for text in (failure.cause, failure.fix) for _, name, _, _ in string.Formatter().parse(text) if name}
    assert places <= set(failure.words)
    assert failure.found("here", "this").fix


def test_ids_are_those_of_the_contract() -> None:
    counts = {family: sum(id.startswith(f"{family}-") for id in FAILURES) for family in ("HOST", "K8S", "DEP", "CFG")}
    assert counts == {"HOST": 16, "K8S": 24, "DEP": 5, "CFG": 2}
