"""DNS messages, as far as a forwarder looks into them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.containers.resolver import AXFR, answered, ask_for
from upcall.containers.sandbox.question import FORMAT_ERROR, NOT_IMPLEMENTED, REFUSED, answers, fault, is_query, reply

IXFR = 251
QUERY = ask_for("www.Example.test")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (QUERY, 0),
        (ask_for("", 2), 0),
        (QUERY + b"additional", 0),
        (ask_for("a.test", AXFR), REFUSED),
        (ask_for("a.test", IXFR), REFUSED),
        (ask_for("a.test", flags=4 << 11), NOT_IMPLEMENTED),
        (ask_for("a.test", flags=5 << 11), NOT_IMPLEMENTED),
        (QUERY[:-1], FORMAT_ERROR),
        (QUERY[:12], FORMAT_ERROR),
        (QUERY[:4] + b"\0\2" + QUERY[6:], FORMAT_ERROR),
        (QUERY[:12] + b"\xc0\x0c\0\1\0\1", FORMAT_ERROR),
    ],
)
def test_only_plain_questions_may_go_on(query: bytes, code: int) -> None:
    assert is_query(query)
    assert fault(query) == code


def test_a_reply_repeats_id_question_and_the_wish_for_recursion() -> None:
    made = reply(QUERY + b"additional", REFUSED)
    assert made == QUERY[:2] + b"\x81\x85\0\1\0\0\0\0\0\0" + QUERY[12:]
    assert answers(made, QUERY)
    assert not is_query(made)


def test_an_answer_has_the_id_and_the_question_whatever_the_case_of_its_name() -> None:
    assert answers(answered(QUERY), QUERY)
    assert answers(answered(ask_for("WWW.example.test")), QUERY)
    assert not answers(answered(ask_for("www.example.test", number=1)), QUERY)
    assert not answers(answered(ask_for("www.example.tess")), QUERY)
    assert not answers(answered(ask_for("www.example.test", 28)), QUERY)
    assert not answers(QUERY, QUERY)


def test_an_error_may_come_without_the_question() -> None:
    assert answers(QUERY[:2] + b"\x81\x81" + bytes(8), QUERY)
    assert not answers(QUERY[:2] + b"\x81\x80" + bytes(8), QUERY)


@given(st.binary(max_size=80))
def test_no_message_is_too_strange(message: bytes) -> None:
    if is_query(message):
        made = reply(message, fault(message))
        assert made[:2] == message[:2]
        assert answers(made, message) == (fault(message) in (0, REFUSED) or made[3] & 0x0F != 0)
    answers(message, QUERY)
