"""Arguments: the action's parameters under the caller's (spec: rest-api.md §6.5, §7.4; entities.md §3)."""

import json

import pytest
from msgspec import Raw

from upcall.core.params import check_object, defaults_of, merge
from upcall.errors import BadRequest
from upcall.model.documents import KeyValue
from upcall.model.entities import Action, ActionLimits, Exec, Parameter
from upcall.model.names import Json


def a_parameter(key: str, value: Json, init: bool = False, encryption: str = "") -> Parameter:
    parameter = Parameter(key, Raw(json.dumps(value).encode()))
    if init:
        parameter.init = True
    if encryption:
        parameter.encryption = encryption
    return parameter


def an_action(*parameters: Parameter, final: Json = None) -> Action:
    annotations = [] if final is None else [KeyValue("final", final)]
    return Action(
        "guest", "hello", Exec("python:3"), ActionLimits(60000, 256), parameters=[*parameters], annotations=annotations
    )


def test_without_parameters_the_body_passes_as_it_came() -> None:
    body = b'{ "b": 1,\n"a": 1.50, "a": "\xc3\xa9" }'
    assert bytes(merge(defaults_of(an_action()), body)[0]) == body


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_an_empty_body_means_the_actions_own_parameters(body: bytes) -> None:
    assert bytes(merge(defaults_of(an_action()), body)[0]) == b"{}"
    assert bytes(merge(defaults_of(an_action(a_parameter("a", [1]))), body)[0]) == b'{"a":[1]}'


def test_the_caller_wins_over_the_action_and_the_action_over_what_is_around_it() -> None:
    outer = [
        [a_parameter("p", "package"), a_parameter("b", "package"), a_parameter("a", "package")],
        [a_parameter("b", "binding"), a_parameter("a", "binding")],
    ]
    action = an_action(a_parameter("a", "action"), a_parameter("c", "action"))
    merged = merge(defaults_of(action, outer), b'{"c":"caller","d":1.0}')
    assert json.loads(bytes(merged[0])) == {
        "p": "package",
        "b": "binding",
        "a": "action",
        "c": "caller",
        "d": 1.0,
    }
    assert b"1.0" in bytes(merged[0])  # values are not re-encoded


def test_names_of_init_parameters_are_listed_whoever_gives_the_value() -> None:
    action = an_action(a_parameter("A", 1, init=True), a_parameter("B", 2))
    assert defaults_of(action).init_args == ["A"]


def test_a_parameter_that_the_caller_gives_is_not_locked() -> None:
    action = an_action(a_parameter("A", "x", encryption="aes-128"), a_parameter("B", "y", encryption="aes-256"))
    defaults = defaults_of(action)
    assert merge(defaults, b"")[1] == {"A": "aes-128", "B": "aes-256"}
    assert merge(defaults, b'{"A":"z"}')[1] == {"B": "aes-256"}


def test_a_final_parameter_that_is_defined_may_not_be_given() -> None:
    defaults = defaults_of(an_action(a_parameter("A", 1), a_parameter("N", None), final=True))
    assert json.loads(bytes(merge(defaults, b'{"N":2,"x":3}')[0])) == {"A": 1, "N": 2, "x": 3}
    with pytest.raises(BadRequest, match=r"^Request defines parameters that are not allowed"):
        merge(defaults, b'{"\\u0041":2}')


@pytest.mark.parametrize("final", [None, False, "true", 1])
def test_only_true_makes_parameters_final(final: Json) -> None:
    merge(defaults_of(an_action(a_parameter("A", 1), final=final)), b'{"A":2}')


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_other_json_than_an_object_is_malformed(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        check_object(body)
    assert str(refused.value) == "The request content was malformed:\nJSON object expected"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a':1}",
        b'{"a":1}x',
        b'{"a":01}',
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":{"b":"\xed\xa0\x80"}}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["open", "quotes", "trailing", "number", "utf8", "utf8 key", "utf8 surrogate", "bom", "deep"],
)
def test_what_is_no_json_is_malformed_with_and_without_parameters(body: bytes) -> None:
    for action in (an_action(), an_action(a_parameter("A", 1))):
        with pytest.raises(BadRequest, match=r"^The request content was malformed:\n."):
            merge(defaults_of(action), body)


def test_half_a_surrogate_pair_is_replaced() -> None:
    body = b'{"a":"\\ud83d\\ude00 \\\\ud800 \\uDE00","\\ud83d":1}'
    mended = b'{"a":"\\ud83d\\ude00 \\\\ud800 \\ufffd","\\ufffd":1}'
    assert bytes(merge(defaults_of(an_action()), body)[0]) == mended
    merged = merge(defaults_of(an_action(a_parameter("A", 1))), body)
    assert json.loads(bytes(merged[0])) == {"A": 1, "a": "😀 \\ud800 \ufffd", "\ufffd": 1}
