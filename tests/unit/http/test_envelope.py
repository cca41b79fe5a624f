"""Error bodies, transaction ids and CORS headers (spec: rest-api.md §1)."""

import re

import msgspec
import pytest

from upcall import errors
from upcall.http.envelope import CORS, Answer, failure, not_allowed, refusal, tid_bytes, transaction_id
from upcall.http.ids import Ids
from upcall.model import texts


def parts(answer: Answer) -> tuple[int, dict[str, str], dict[str, str]]:
    status, headers, body = answer
    return status, {name.decode(): value.decode() for name, value in headers}, msgspec.json.decode(body)


@pytest.mark.parametrize("status", [403, 404, 409, 413, 500, 503])
def test_a_bare_status_gets_its_default_text(status: int) -> None:
    assert parts(refusal(status, "", "t"))[2] == {"error": texts.DEFAULTS[status], "code": "t"}


def test_an_error_becomes_its_status_and_text_with_cors_headers() -> None:
    status, headers, body = parts(failure(errors.Conflict(texts.EXISTS), "t"))
    assert (status, body) == (409, {"error": "resource already exists", "code": "t"})
    assert headers == {"Content-Type": "application/json"} | {n.decode(): v.decode() for n, v in CORS}


@pytest.mark.parametrize("text", [texts.NO_CREDENTIALS, texts.BAD_CREDENTIALS])
def test_a_401_challenges_and_has_no_cors_headers(text: str) -> None:
    status, headers, body = parts(failure(errors.Unauthorized(text), "t"))
    assert (status, body["error"]) == (401, text)
    assert headers == {
        "Content-Type": "application/json",
        "WWW-Authenticate": 'Basic realm="OpenWhisk secure realm"',
    }


def test_an_unknown_path_has_no_cors_headers_and_a_missing_entity_has() -> None:
    assert "Access-Control-Allow-Origin" not in parts(failure(errors.NotFound(texts.UNKNOWN_PATH), "t"))[1]
    assert "Access-Control-Allow-Origin" in parts(failure(errors.NotFound(), "t"))[1]


@pytest.mark.parametrize("error", [errors.Throttled("x", 7), errors.Unavailable("x", 7)])
def test_who_may_try_again_is_told_when(error: errors.UpcallError) -> None:
    assert parts(failure(error, "t"))[1]["Retry-After"] == "7"


def test_a_wrong_method_names_the_right_ones() -> None:
    status, headers, body = parts(not_allowed("GET, PUT", "t"))
    assert (status, headers["Allow"]) == (405, "GET, PUT")
    assert body["error"] == "HTTP method not allowed, supported methods: GET, PUT"


@pytest.mark.parametrize("incoming", [None, b"", "", b" \t", b"sid_invoker", "sid_x", b" sid_x"])
def test_a_transaction_without_an_id_of_its_own_gets_one(incoming: bytes | str | None) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{32}", transaction_id(incoming))


def test_a_callers_transaction_id_is_kept_byte_for_byte() -> None:
    assert transaction_id(b"x sid_ \xe9") == "x sid_ é"
    assert transaction_id(b"x \t") == "x"  # blanks around a header's value are none of it
    assert tid_bytes(transaction_id(b"x sid_ \xe9")) == b"x sid_ \xe9"


def test_ids_do_not_repeat_and_have_their_forms() -> None:
    ids = Ids()
    made = {ids.transaction() for _ in range(5000)} | {ids.activation() for _ in range(5000)}
    assert len(made) == 10_000
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", tid) for tid in made)
    assert re.fullmatch(r"[0-9a-f]{32}", ids.activation())


def test_all_letters_of_a_transaction_id_are_equally_likely() -> None:
    ids = Ids()
    text = "".join(ids.transaction() for _ in range(20_000))
    share = [text.count(letter) / len(text) * 62 for letter in set(text)]
    assert len(share) == 62
    assert 0.9 < min(share) <= max(share) < 1.1
