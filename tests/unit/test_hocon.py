"""HOCON as deployments write it, and what is said of a wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.hocon import parse

HELM = """
# written by the chart
include classpath("application.conf")
whisk {
  metrics {
    prometheus-enabled = true // on
  }
  kafka : { topics : { invoker.retention-ms : 172800000 } }
}
"""


def test_what_charts_write() -> None:
    assert parse(HELM, {}) == {
        "whisk.metrics.prometheus-enabled": "true",
        "whisk.kafka.topics.invoker.retention-ms": "172800000",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a = 30 seconds  ", {"a": "30 seconds"}),
        ('{"a": {"b": "x y"}, "c": [1, 2]}', {"a.b": "x y", "c.0": "1", "c.1": "2"}),
        ("a = [\n one\n two\n]", {"a.0": "one", "a.1": "two"}),
        ("a = 1, b = 2", {"a": "1", "b": "2"}),
        ("a.b.c = x\na.b { d = y }", {"a.b.c": "x", "a.b.d": "y"}),
        ("a = 1\na = 2", {"a": "2"}),
        ("a { b = 1 }\na = 2", {"a": "2"}),
        ("a = 2\na { b = 1 }", {"a.b": "1"}),
        ("a = [1, 2, 3]\na = [4]", {"a.0": "4"}),
        ("a = [1]\na += 2", {"a.0": "1", "a.1": "2"}),
        ("a += 2", {"a.0": "2"}),
        ('a = "x#y//z = {}"', {"a": "x#y//z = {}"}),
        ('a = """x "y"\nz"""', {"a": 'x "y"\nz'}),
        (r'a = "\u00e9\n\"\\"', {"a": 'é\n"\\'}),
        ("a =\n  1", {"a": "1"}),
        ('"a.b" = http://h:1/x', {"a.b": "http://h:1/x"}),
        ('url = "http://h:1/x"', {"url": "http://h:1/x"}),
        ("a = ${?X}", {"a": "given"}),
        ("a = 1\na = ${?NONE}", {"a": "1"}),
        ("a = ${?NONE}", {}),
        ('a = "x"${X}y', {"a": "xgiveny"}),
        ("b = 1\na = ${b}2", {"b": "1", "a": "12"}),
        ('a = ""', {"a": ""}),
        ("a = [{ b = 1 }, { b = 2 }]", {"a.0.b": "1", "a.1.b": "2"}),
        ('include "x"\na = 1', {"a": "1"}),
        ("a = 1 # x\n// y\nb = 2", {"a": "1", "b": "2"}),
        ("\ufeffa = 1", {"a": "1"}),
        ('{ include "x", a { include required(file("y")) }, b = 1 }', {"b": "1"}),
        ('a = 1\na = null\nb = "null"\nc = [1]\nc = null', {"b": "null"}),
        (r'a = "\ud83d\ude00"', {"a": "😀"}),
        (r'a = "\ud83d"', {"a": "�"}),
    ],
)
def test_what_is_written_is_read(text: str, expected: dict[str, str]) -> None:
    assert parse(text, {"X": "given"}) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = 1\nb {\n c = 2\n", "line 2: '{' is not closed"),
        ("a = 1\n}", "line 2: '}' closes nothing"),
        ("a = [1, 2", r"line 1: '\[' is not closed"),
        ("a = [1 = {", "comes a comma or ]"),
        ("a\nb = 2", "line 1: after a key comes"),
        ("\n= 2", "line 2: '=' has no key before it"),
        ("a = \n", "a value is missing"),
        ('a = "secret', "line 1: a text in quotes has no end"),
        ("a = ${NONE}", r"line 1: \$\{NONE\} names neither"),
        ("a = [1] 2", "the value of 'a' ends with its line"),
        ("a = 1$", "line 1: '\\$' is not understood here"),
        ("a = " + "[" * 5000, "more than 64 brackets"),
        ("a {" * 5000, "more than 64 brackets"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_its_value(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse(text, {})
    assert "secret" not in str(caught.value)


@given(st.text(alphabet='ab.=:+{}[],"\\#/$?\n 1', max_size=40))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    told = ""
    try:
        parse(text, {})
    except ValueError as error:
        told = str(error)
    assert not told or told.startswith("line ")
