"""Pasted text: what is known in it is named, and nothing else is blamed."""

import json
import re
import string
import textwrap
import tomllib
from collections.abc import Callable
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


def _wrapped(text: str) -> str:
    """As YAML folds it, and editors do."""
    lines = textwrap.wrap(
        f'message: "{text}', 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join([*lines, "reason: Failed", "x" * 100, ""])


def _chunks(text: str) -> list[str]:
    whole = f"Warning  Failed  3s (x4 over 50s)  kubelet  {text}"
    return [whole[at : at + 80] for at in range(0, len(whole), 80)]


def _cut(text: str) -> str:
    """By a window of 80 columns, in the middle of words."""
    return "\n".join([*(line.rstrip() for line in _chunks(text)), "-" * 80])


def _boxed(text: str) -> str:
    return "\n".join(f"│ {line:<80} │" for line in _chunks(text))


AROUND: dict[str, Callable[[str], str]] = {
    "event": lambda text: f"  Warning  Failed  3s (x4 over 50s)  kubelet  {text}",
    "journal": lambda text: f"Oct 14 09:12:33 node-1 dockerd[812]: {text}",
    "engine": lambda text: f'time="2024-01-01T00:00:00.5Z" level=error msg={json.dumps(text, ensure_ascii=False)}',
    "cri": lambda text: f"2024-01-01T00:00:00.123456789Z stderr F {text}",
    "fluentd": lambda text: json.dumps({"log": f"{text}\n", "stream": "stderr"}, ensure_ascii=False),
    "twice quoted": lambda text: json.dumps({"log": json.dumps({"msg": text}, ensure_ascii=False)}, ensure_ascii=False),
    "upstream": lambda text: f"[2019-01-01T00:00:00.000Z] [ERROR] [#tid_77] [InvokerReactive] {text}",
    "java": lambda text: f"java.lang.RuntimeException: {text}\n\tat whisk.core.Main.run(Main.scala:7)\n",
    "coloured": lambda text: f"\x1b[31mERRO\x1b[0m[0003] \x1b[1m{text.replace(' ', chr(27) + '[0m ')}\x1b[0m",
    "windows": lambda text: f"first\r\n{text}\r\nlast\r\n",
    "framed": lambda text: f"│ {text} │",
    "wrapped": _wrapped,
    "cut": _cut,
    "boxed": _boxed,
}


@pytest.mark.parametrize("name", AROUND)
def test_a_line_is_known_in_whatever_it_stands(name: str) -> None:
    missed = {text: found for id, text in LINES if (found := _ids(AROUND[name](text))) != [id]}
    assert missed == {}


@pytest.mark.parametrize("name", AROUND)
def test_harmless_text_is_harmless_in_whatever_it_stands(name: str) -> None:
    assert _ids("\n".join(AROUND[name](line) for line in HARMLESS.splitlines())) == []
    for line in HARMLESS.splitlines():
        assert _ids(AROUND[name](line)) == []


def test_each_failure_has_ten_phrasings_or_is_our_own() -> None:
    few = {id for id, texts in PHRASINGS.items() if len(texts) < 10}
    assert few <= {id for id in PHRASINGS if id.startswith("LOCAL-")}


def _ids(text: str) -> list[str]:
    return [found.id for found in explain(text)]


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


def test_others_words_move_no_cursor() -> None:
    (found,) = explain("\x1b[2J\x1b]0;title\x07mkdir /usr/lib/\u202ex86\x9b2J: read-only file system\x07")
    assert all(each.isprintable() for each in (found.evidence, found.cause, found.fix))


def test_a_failure_in_a_long_line_and_in_a_long_text() -> None:
    for start in range(2400, 3100, 7):
        assert _ids(f"{'a ' * (start // 2)}toomanyrequests: you have reached your pull rate limit{' b' * 2000}") == [
            "K8S-10"
        ]
    assert _ids("all is well\n" * 40_000 + "exec format error\n") == ["HOST-11"]
