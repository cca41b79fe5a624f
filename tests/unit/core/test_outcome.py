"""The tables of container.md §3, row by row and in their order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from upcall.core.outcome import Ending, Outcome, init_response, initialised, run_response, unavailable
from upcall.model import texts
from upcall.model.names import Json

TIMEOUT, LIMIT = 1000, 64
INVALID = texts.run_invalid


def answered(status: int, body: bytes, elapsed: float = 0.1, length: int | None = None) -> Outcome:
    size = len(body) if length is None else length
    return Outcome(Ending.ANSWERED, elapsed, status, body, size, size > LIMIT)


def ended(ending: Ending, elapsed: float = 0.1) -> Outcome:
    return Outcome(ending, elapsed)


def run(outcome: Outcome, exhausted: bool = False) -> tuple[int, Json]:
    response = run_response(outcome, TIMEOUT, LIMIT, exhausted)
    assert isinstance(response.result, Raw)
    return response.status_code, msgspec.json.decode(response.result)


def init(outcome: Outcome, exhausted: bool = False) -> tuple[int, Json]:
    response = init_response(outcome, TIMEOUT, LIMIT, exhausted)
    assert isinstance(response.result, Raw)
    assert response.size is UNSET
    return response.status_code, msgspec.json.decode(response.result)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (answered(200, b'{"ok":true}'), True),
        (answered(200, b"whatever"), True),
        (answered(200, b"{}", elapsed=9.0), True),
        (answered(200, b"{}", length=65), False),
        (answered(202, b"{}"), False),
        (answered(502, b"{}"), False),
        (ended(Ending.CLOSED), False),
        (ended(Ending.TIMED_OUT), False),
    ],
)
def test_initialised(outcome: Outcome, expected: bool) -> None:
    assert initialised(outcome) is expected


@pytest.mark.parametrize(("status", "expected"), [(503, True), (502, False), (200, False)])
def test_unavailable(status: int, expected: bool) -> None:
    assert unavailable(answered(status, b"")) is expected
    assert unavailable(ended(Ending.CLOSED)) is False


@pytest.mark.parametrize(
    ("outcome", "exhausted", "error"),
    [
        (ended(Ending.TIMED_OUT), True, texts.init_timeout(TIMEOUT)),
        (answered(502, b'{"error":"x"}', elapsed=1.0), False, texts.init_timeout(TIMEOUT)),
        (answered(200, b"abc", length=70), False, texts.response_truncated(70, LIMIT, "abc")),
        (answered(502, b'{"error":"x","other":1}'), False, "x"),
        (answered(502, b'{"error":{"deep":[1]}}'), False, {"deep": [1]}),
        (answered(502, b'{"message":"x"}'), False, texts.init_failed('{"message":"x"}')),
        (answered(502, b'["x"]'), False, texts.init_failed('["x"]')),
        (answered(404, b"not json"), False, texts.init_failed("not json")),
        (answered(500, b""), False, texts.init_failed("")),
        (ended(Ending.CLOSED), False, texts.INIT_DIED),
        (ended(Ending.REFUSED), False, texts.INIT_DIED),
        (ended(Ending.CLOSED), True, texts.MEMORY_EXHAUSTED),
    ],
)
def test_init(outcome: Outcome, exhausted: bool, error: Json) -> None:
    assert init(outcome, exhausted) == (2, {"error": error})


@pytest.mark.parametrize(
    ("outcome", "exhausted", "expected"),
    [
        (ended(Ending.TIMED_OUT), True, (2, {"error": texts.run_timeout(TIMEOUT)})),
        (answered(200, b'{"a":1}', elapsed=1.0), False, (2, {"error": texts.run_timeout(TIMEOUT)})),
        (ended(Ending.CLOSED, elapsed=1.0), True, (2, {"error": texts.run_timeout(TIMEOUT)})),
        (answered(200, b"abc", length=70), False, (1, {"error": texts.response_truncated(70, LIMIT, "abc")})),
        (answered(500, b"abc", length=70), False, (1, {"error": texts.response_truncated(70, LIMIT, "abc")})),
        (answered(200, b'{"error":"x","other":1}'), False, (1, {"error": "x"})),
        (answered(200, b'{"error":null}'), False, (1, {"error": None})),
        (answered(200, b'{"a":{"error":1}}'), False, (0, {"a": {"error": 1}})),
        (answered(200, b"{}"), False, (0, {})),
        (answered(200, b' { "a" : 1 }\n'), False, (0, {"a": 1})),
        (answered(200, b"[1,2]"), False, (0, [1, 2])),
        (answered(200, b"[]"), False, (0, [])),
        (answered(502, b'{"error":{"x":1},"o":2}'), False, (2, {"error": {"x": 1}})),
        (answered(502, b'{"a":1}'), False, (2, {"error": INVALID('{"a":1}')})),
        (answered(502, b"[1]"), False, (2, {"error": INVALID("[1]")})),
        (answered(202, b'{"a":1}'), False, (2, {"error": INVALID('{"a":1}')})),
        (answered(200, b'"text"'), False, (2, {"error": INVALID('"text"')})),
        (answered(200, b"1"), False, (2, {"error": INVALID("1")})),
        (answered(200, b"true"), False, (2, {"error": INVALID("true")})),
        (answered(200, b"null"), False, (2, {"error": INVALID("null")})),
        (answered(200, b""), False, (2, {"error": INVALID("")})),
        (answered(500, b""), False, (2, {"error": INVALID("")})),
        (answered(200, b"{not json"), False, (2, {"error": INVALID("{not json")})),
        (answered(200, b'{"a":NaN}'), False, (2, {"error": INVALID('{"a":NaN}')})),
        (answered(200, b'{"a":1}{'), False, (2, {"error": INVALID('{"a":1}{')})),
        (ended(Ending.CLOSED), False, (2, {"error": texts.RUN_DIED})),
        (ended(Ending.REFUSED), False, (2, {"error": texts.RUN_DIED})),
        (ended(Ending.CLOSED), True, (2, {"error": texts.MEMORY_EXHAUSTED})),
        (answered(200, b'{"a":1}'), True, (0, {"a": 1})),
    ],
)
def test_run(outcome: Outcome, exhausted: bool, expected: tuple[int, Json]) -> None:
    assert run(outcome, exhausted) == expected


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (b'{"a":1}', 7),
        (b' {"a":1} ', 9),
        ('{"a":"é"}'.encode(), 9),
        ('{"a":"😀"}'.encode(), 10),
        (b'{"error":"x"}', 13),
        (b"nonsense", 8),
        (b"", 0),
    ],
)
def test_size_is_the_texts_length_in_utf_16_units(body: bytes, size: int) -> None:
    assert run_response(answered(200, body), TIMEOUT, LIMIT).size == size


def test_the_size_of_a_truncated_answer_is_its_bytes_and_a_platform_error_has_none() -> None:
    assert run_response(answered(200, b"abc", length=70), TIMEOUT, LIMIT).size == 70
    assert run_response(ended(Ending.CLOSED), TIMEOUT, LIMIT).size is UNSET


def test_the_result_is_passed_on_byte_for_byte() -> None:
    body = b'{"n":1.0000000000000000001, "u":"\\u00e9","big":123456789012345678901234567890}'
    response = run_response(answered(200, body, length=1), TIMEOUT, LIMIT)
    assert response.result == Raw(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":"\xff\xfe"}', "\ufffd\ufffd"),
        (b'{"a":"\xed\xa0\x80"}', "\ufffd\ufffd\ufffd"),
        (b'{"a":"\\ud800"}', "\ufffd"),
        (b'{"a":"\\uDC00x\\ud83d\\ude00"}', "\ufffdx😀"),
        (b'{"a":"\\\\ud800 \\ud800"}', "\\ud800 \ufffd"),
    ],
)
def test_what_is_no_text_becomes_the_replacement_character(body: bytes, value: str) -> None:
    assert run(answered(200, body)) == (0, {"a": value})


def test_truncation_may_cut_a_character() -> None:
    assert run(answered(200, "é".encode()[:1], length=70))[1]["error"].endswith("\ufffd")


def test_nesting_without_end_is_no_json() -> None:
    body = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    outcome = Outcome(Ending.ANSWERED, 0.1, 200, body, 1, False)
    assert run_response(outcome, TIMEOUT, LIMIT).status_code == 2


@given(st.binary(max_size=60), st.sampled_from([200, 201, 400, 502]))
def test_any_bytes_become_a_result_that_is_json(body: bytes, status: int) -> None:
    code, result = run(answered(status, body))
    assert code in (0, 1, 2)
    assert isinstance(result, dict | list)
    assert code == 0 or set(result) == {"error"}
    init(answered(status, body))
