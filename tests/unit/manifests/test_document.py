"""Objects as YAML: what a parser reads is what was meant, whatever is said beside it."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from upcall.manifests.document import Remarked, plain, stream

ODD = [
    "yes",
    "NO",
    "on",
    "null",
    "~",
    "",
    " a",
    "a ",
    "a: b",
    "a #b",
    "- a",
    "1",
    "1.5",
    "0x1",
    "1e3",
    "256Mi",
    "y",
    "é",
]
ODD += [
    "2017-01-01",
    "12:30",
    "a\nb",
    "a\n\nb\n",
    "a\n\n",
    " a\nb",
    "a \nb",
    "\n",
    "\t",
    "\x7f\x85\u2028\ufeff",
    "😀",
    "*",
    "@x",
]
TEXTS = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
SCALARS = st.one_of(TEXTS, st.integers(), st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def read(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


@given(st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_parser_reads_what_was_meant(objects: list[dict[str, Any]]) -> None:
    assert read(stream(objects)) == objects


def remarked(value: Any) -> Any:
    """With something said about each value."""
    if isinstance(value, dict):
        value = {key: remarked(inner) for key, inner in value.items()}
    elif isinstance(value, list):
        value = [remarked(inner) for inner in value]
    return Remarked(value, "said: above\n\n- a # b", "and: beside")


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_remarks_change_nothing(found: dict[str, Any]) -> None:
    spoken = {key: remarked(value) for key, value in found.items()}
    assert plain(spoken) == found
    assert read(stream([spoken], "A head\n\nof: lines")) == [found]


def test_it_looks_as_people_write_it() -> None:
    found = {
        "kind": "Service",
        "spec": {
            "replicas": Remarked(1, above="How many.", beside="now"),
            "verbs": ["get", "list"],
            "env": [{"name": "A", "value": "1"}, Remarked({"name": "B", "value": ""}, above="Of b.")],
            "text": "one\n  two\n",
            "none": {},
        },
    }
    assert stream([found], "Head") == (
        "# Head\n---\nkind: Service\nspec:\n  # How many.\n  replicas: 1  # now\n  verbs: [get, list]\n"
        '  env:\n    - name: A\n      value: "1"\n    # Of b.\n    - name: B\n      value: ""\n'
        "  text: |\n    one\n      two\n  none: {}\n"
    )


@pytest.mark.parametrize("text", ["a", "a-b.c/d:1", "cat /etc/x", "http://a.b:80/c"])
def test_plain_words_have_no_quotes(text: str) -> None:
    assert stream([{"a": text}]) == f"---\na: {text}\n"
