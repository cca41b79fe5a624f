"""Bodies that are meant to hurt, on an invoke and on a PUT: depth, numbers, surrogates, duplicates, encodings, sizes.
What is JSON is taken, what is not gets 400, and the next request is served (spec: rest-api.md §1.2, §6)."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.client import Api
from tests.api.platform import INVOKE, Platform, a_request
from upcall.model import texts

MALFORMED = "The request content was malformed:\n"


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


BROKEN = {
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "NaN": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "a comment": b'{"a":1}//',
    "single quotes": b"{'a':1}",
    "a comma too many": b'{"a":1,}',
    "no end": b'{"a":',
    "two values": b"{}{}",
    "a raw control character": b'{"a":"\n"}',
    "a leading zero": b'{"a":01}',
    "a hexadecimal number": b'{"a":0x1}',
    "a bad escape": b'{"a":"\\x41"}',
    "half an escape": b'{"a":"\\ud8"}',
    "no UTF-8": b'{"a":"\xff"}',
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "no UTF-8 in a key": b'{"\xff":1}',
    "depth of 10,000": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "depth of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "depth without end": b"[" * 500_000,
    "packed": gzip.compress(b"{}"),
}
OF_NO_OBJECT = {"null": b"null", "a string": b'"x"', "a number": b"1", "a list": b"[{}]", "true": b"true"}


@pytest.mark.parametrize("case", [*BROKEN, *OF_NO_OBJECT])
async def test_an_invoke_with_a_bad_body(platform: Platform, case: str) -> None:
    body = (BROKEN | OF_NO_OBJECT)[case]
    headers = {"Content-Encoding": "gzip"} if case == "packed" else {}
    client = await platform.connect()
    answered = await client.ask(a_request(INVOKE, body, headers=headers))
    assert answered.status == 400
    assert isinstance(answered.json, dict)
    assert answered.json["error"].startswith(MALFORMED)
    assert (case not in OF_NO_OBJECT) or answered.json["error"] == MALFORMED + texts.OBJECT_EXPECTED
    assert platform.invoker.messages == []
    assert (await client.ask(a_request(INVOKE, b"{}"))).status == 200


@pytest.mark.parametrize("case", [*BROKEN, *OF_NO_OBJECT])
async def test_a_put_with_a_bad_body(api: Api, case: str) -> None:
    body = (BROKEN | OF_NO_OBJECT)[case]
    reply = await api("PUT", "_/actions/x", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.error.startswith(MALFORMED)
    assert (await api("GET", "_/actions/x")).status == 404


TAKEN: dict[str, tuple[bytes, bytes]] = {
    "a key twice": (b'{"a":1,"a":2}', b'{"a":1,"a":2}'),
    "a number beyond doubles": (b'{"a":1e400}', b'{"a":1e400}'),
    "a number of 100,000 digits": (b'{"a":' + b"9" * 100_000 + b"}", b'{"a":' + b"9" * 100_000 + b"}"),
    "a fine fraction": (b'{"a":0.10000000000000000001}', b'{"a":0.10000000000000000001}'),
    "depth of 500": (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"),
    "NUL": (b'{"\\u0000":"\\u0000"}', b'{"\\u0000":"\\u0000"}'),
    "halves of pairs": (b'{"\\ud800":"\\udfff x \\udbff"}', b'{"\\ufffd":"\\ufffd x \\ufffd"}'),
    "a pair": (b'{"\\ud83d\\ude00":1}', b'{"\\ud83d\\ude00":1}'),
    "every member of Object": (b'{"__proto__":{"a":1},"constructor":1}', b'{"__proto__":{"a":1},"constructor":1}'),
    "blanks alone": (b" \r\n\t", b"{}"),
    "nothing": (b"", b"{}"),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_an_invoke_passes_on_what_is_json(platform: Platform, case: str) -> None:
    body, expected = TAKEN[case]
    client = await platform.connect()
    client.send(a_request(INVOKE, body))
    answered = await client.answer()
    assert (answered.status, answered.body) == (200, expected)


async def test_of_a_key_twice_the_last_counts_under_parameters(api: Api) -> None:
    body = (
        b'{"exec":{"kind":"foo"},"exec":{"kind":"python:3.11","code":"x"},"limits":{"memory":1,"memory":200},'
        b'"parameters":[{"key":"a","value":{"b":1,"b":2}},{"key":"a","value":3}]}'
    )
    reply = await api("PUT", "_/actions/x", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 200
    assert reply.json["limits"]["memory"] == 200
    assert reply.json["parameters"] == [{"key": "a", "value": 3}]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000])
async def test_a_put_cannot_keep_such_numbers(api: Api, number: str) -> None:
    body = b'{"exec":{"kind":"python:3.11","code":"x"},"parameters":[{"key":"a","value":%s}]}' % number.encode()
    reply = await api("PUT", "_/actions/x", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.error.startswith(MALFORMED)


@pytest.mark.parametrize("number", ["1e300", "-1e300", "1e-300", "18446744073709551616", "0.5", "-1"])
@pytest.mark.parametrize("limit", ["timeout", "memory", "logs", "concurrency", "instances"])
async def test_limits_of_every_size_are_refused(api: Api, limit: str, number: str) -> None:
    body = b'{"exec":{"kind":"python:3.11","code":"x"},"limits":{"%s":%s}}' % (limit.encode(), number.encode())
    reply = await api("PUT", "_/actions/x", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert "threshold" in reply.error or "whole number" in reply.error or "must not exceed" in reply.error


SHAPES: list[Any] = [None, True, 0, -1.5, "", "x", [], [[]], [None], [1], {}, {"a": 1}, {"key": "a"}, [{"key": 1}]]
MEMBERS = ("exec", "parameters", "limits", "version", "publish", "annotations", "delAnnotations")


@pytest.mark.parametrize("member", MEMBERS)
async def test_members_of_every_shape_are_taken_or_refused(member: str) -> None:
    api = Api()
    await api.add_subjects()
    for shape in SHAPES:
        body = {"exec": {"kind": "python:3.11", "code": "x"}, member: shape}
        reply = await api("PUT", "_/actions/x?overwrite=true", body)
        assert reply.status in (200, 400), (shape, reply.body)
        if reply.status == 400:
            assert reply.error.startswith((MALFORMED, "exec undefined")), shape


@pytest.mark.parametrize("member", ["kind", "code", "main", "image", "components", "binary"])
async def test_members_of_exec_of_every_shape(member: str) -> None:
    api = Api()
    await api.add_subjects()
    for shape in SHAPES:
        for exec_ in ({"kind": "python:3.11", "code": "x"}, {"kind": "blackbox", "image": "a/b"}):
            reply = await api("PUT", "_/actions/x?overwrite=true", {"exec": {**exec_, member: shape}})
            assert reply.status in (200, 400), (shape, reply.body)


async def test_queries_of_every_shape_are_taken_or_refused(api: Api) -> None:
    odd = ("", "x", "-1", "%00", "%FF", "1e3", "0x1", "9" * 30, "%D9%A1", "+1", "1,2", "%20", "true", "[]")
    lists = {
        "_/actions": ("limit", "skip", "count", "docs"),
        "_/activations": ("limit", "skip", "since", "upto", "name"),
    }
    for path, names in lists.items():
        for name in names:
            for value in odd:
                for query in (f"{name}={value}", f"{name}={value}&{name}=1", f"&&{name}={value}&=&"):
                    assert (await api("GET", f"{path}?{query}")).status in (200, 400), query


@pytest.mark.parametrize("size", [1_048_576, 1_048_577])
async def test_a_payload_at_the_limit_and_above(platform: Platform, size: int) -> None:
    body = b'{"a":"' + b"x" * (size - 8) + b'"}'
    answered = await platform.ask(a_request(INVOKE, body))
    assert (len(body), answered.status) == (size, 200 if size == 1_048_576 else 413)


async def test_text_is_given_back_as_it_came(api: Api) -> None:
    odd = "\x00\x7f\u2028\ufeff\ufffe\U0010ffff\u202e<>&'\"\\/ é ☃"
    given = [{"key": odd, "value": {odd: [odd]}}]
    body = {"exec": {"kind": "python:3.11", "code": odd}, "parameters": given, "annotations": given}
    reply = await api("PUT", "_/actions/x", body)
    assert reply.status == 200
    reply = await api("GET", "_/actions/x")
    back = reply.json
    assert (back["exec"]["code"], back["parameters"], back["annotations"][0]) == (odd, given, given[0])
    assert b"<>&'" in reply.body
    assert "é ☃".encode() in reply.body
