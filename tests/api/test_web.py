"""Web actions over HTTP: system-tests.md §6, WebActionsApiTests."""

import base64
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.api.client import Api, Reply
from tests.api.written import pairs, put, told
from upcall.model.activation import Response
from upcall.model.messages import ActivationMessage

HELLO = "/api/v1/web/guest/default/hello"
MISSING = (404, "The requested resource does not exist.")
UNAUTHORIZED = (401, "Authentication is possible but has failed or not yet been provided.")
RESERVED = (400, "Request defines parameters that are not allowed (e.g., reserved properties).")
HTTP = (400, "Response is not valid 'message/http'.")
MISMATCH = (400, "Response type in header did not match generated content type.")
BYTES = b"\x00\xff\x10"
BASE64 = base64.b64encode(BYTES).decode()


def web(**more: Any) -> dict[str, Any]:
    return {"annotations": pairs(**{"web-export": True, **more})}


async def ask(api: Api, path: str = HELLO, method: str = "GET", user: str | None = None, **options: Any) -> Reply:
    return await api(method, path, user=user, **options)


async def arguments(api: Api, path: str = f"{HELLO}.json", method: str = "GET", **options: Any) -> Any:
    reply = await ask(api, path, method, **options)
    assert reply.status == 200, reply.body
    return reply.json


def gives(api: Api, result: Any, status: int = 0) -> None:
    api.invoker.answer = lambda message: Response(status, Raw(msgspec.json.encode(result)))


async def shown(api: Api, result: Any, extension: str = "", status: int = 0, **options: Any) -> Reply:
    gives(api, result, status)
    return await ask(api, f"{HELLO}{extension}", **options)


@pytest.mark.parametrize("user", [None, "guest", "other", "nobody"])
async def test_what_is_not_exported_is_missing_for_everybody(api: Api, user: str | None) -> None:
    await put(api, "actions/private")
    await put(api, "actions/almost", annotations=[{"key": "web-export", "value": "true"}])
    await put(api, "packages/p", publish=True, annotations=pairs(**{"web-export": True}))
    await put(api, "actions/p/inside")
    await put(api, "actions/hello", **web())
    for path in ("guest/default/private", "guest/default/almost", "guest/p/inside", "guest/default/none.json"):
        assert told(await ask(api, f"/api/v1/web/{path}", user=user)) == MISSING
    for path in (
        "nobody/default/hello",
        "guest/none/hello",
        "guest/default/hello.xyz",
        "guest/default",
        "guest",
        "a//b",
    ):
        assert told(await ask(api, f"/api/v1/web/{path}", user=user)) == MISSING
    assert (await ask(api, f"{HELLO}.json", user=user)).status == 200
    assert (await ask(api, HELLO, "TRACE", user=user)).status == 405


async def test_the_action_gets_the_request(api: Api) -> None:
    await put(api, "actions/hello", **web())
    asked = f"{HELLO}.json/a/b%20c?x=1&y=2&y=3"
    given = await arguments(api, asked, "PUT", user="other", headers={"X-Mine": "a"}, json={"x": 2, "z": [1]})
    assert {key: given[key] for key in given if key != "__ow_headers"} == {
        "x": 2,
        "y": "3",
        "z": [1],
        "__ow_method": "put",
        "__ow_path": "/a/b%20c",
        "__ow_user": "other",
    }
    assert given["__ow_headers"] == {
        "x-mine": "a",
        "content-type": "application/json",
        "authorization": api.basic("other").decode(),
    }
    bare = await arguments(api)
    assert bare == {"__ow_method": "get", "__ow_headers": {}, "__ow_path": ""}
    assert "__ow_user" not in await arguments(api, user="nobody")
    head = await ask(api, f"{HELLO}.json", "HEAD")
    assert head.json["__ow_method"] == "head"


@pytest.mark.parametrize(
    ("kind", "body", "normal", "raw"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}, base64.b64encode(b'{"a": 1}').decode()),
        ("application/json", b"[1]", {"__ow_body": [1]}, base64.b64encode(b"[1]").decode()),
        ("application/vnd.a+json", b'"x"', {"__ow_body": "x"}, base64.b64encode(b'"x"').decode()),
        ("application/x-www-form-urlencoded", b"a=b+c&d=", {"a": "b c", "d": ""}, "a=b+c&d="),
        ("text/plain", "ä".encode(), {"__ow_body": "ä"}, "ä"),
        ("text/plain; charset=iso-8859-1", b"\xe4", {"__ow_body": "ä"}, "ä"),
        ("application/xml", b"<a/>", {"__ow_body": "<a/>"}, "<a/>"),
        ("image/png", BYTES, {"__ow_body": BASE64}, BASE64),
        ("application/octet-stream", BYTES, {"__ow_body": BASE64}, BASE64),
        ("", BYTES, {"__ow_body": BASE64}, BASE64),
        ("text/plain", b"", {}, ""),
    ],
)
async def test_a_body_is_read_by_its_type(api: Api, kind: str, body: bytes, normal: dict[str, Any], raw: str) -> None:
    await put(api, "actions/hello", **web())
    await put(api, "actions/raw", **web(**{"raw-http": True}))
    options: Any = {"headers": {"Content-Type": kind} if kind else {}, "body": body}
    given = await arguments(api, f"{HELLO}.json?q=1", "POST", **options)
    assert {key: given[key] for key in given if key not in {"__ow_method", "__ow_headers", "__ow_path"}} == {
        "q": "1",
        **normal,
    }
    given = await arguments(api, "/api/v1/web/guest/default/raw.json?q=1&__ow_user=a", "POST", **options)
    assert (given["__ow_body"], given["__ow_query"], given.get("q")) == (raw, "q=1&__ow_user=a", None)


async def test_bodies_that_cannot_be_read_are_refused(api: Api) -> None:
    await put(api, "actions/hello", **web())
    await put(api, "actions/hello", user="small", **web())
    json = {"Content-Type": "application/json"}
    assert (await ask(api, HELLO, "POST", body=b'{"a', headers=json)).error.startswith("The request content was malf")
    wrong = await ask(api, HELLO, "POST", body=b"a", headers={"Content-Type": "nothing"})
    assert told(wrong) == (400, "Content type is not supported.")
    large = await ask(api, "/api/v1/web/small/default/hello", "POST", body=b"a" * 2000, headers=json)
    assert large.status == 413
    assert large.error.startswith("Request larger than allowed: 2000")
    assert not api.invoker.messages


async def test_what_is_reserved_or_final_cannot_be_said(api: Api) -> None:
    await put(api, "actions/hello", parameters=pairs(a=1, b=None), **web(final=True))
    assert (await arguments(api, f"{HELLO}.json?b=2&c=3"))["b"] == "2"
    for query in ("a=2", "__ow_method=x", "__ow_body=x", "__ow_query=x"):
        assert told(await ask(api, f"{HELLO}.json?{query}")) == RESERVED
    assert told(await ask(api, HELLO, "POST", json={"__ow_path": 1})) == RESERVED


async def test_parameters_come_from_package_binding_action_query_and_body(api: Api) -> None:
    await put(api, "packages/p", parameters=pairs(a="package", b="package", c="package", d="package"), publish=True)
    await put(api, "actions/p/hello", parameters=pairs(c="action", d="action"), **web())
    binding, inner = {"namespace": "guest", "name": "p"}, pairs(b="binding", c="binding")
    await put(api, "packages/bound", user="other", binding=binding, parameters=inner)
    given = await arguments(api, "/api/v1/web/other/bound/hello.json?d=query&e=query", "POST", json={"e": "body"})
    found = "".join(str(given[key])[0] for key in "abcde")
    assert found == "pbaqb"
    assert api.invoker.messages[-1].user.namespace.name == "other", "it runs as its owner"


async def test_what_stands_behind_a_binding_is_missing_or_forbidden(api: Api) -> None:
    await put(api, "packages/p", publish=True)
    await put(api, "actions/p/hello", **web())
    await put(api, "packages/bound", user="other", binding={"namespace": "guest", "name": "p"})
    assert told(await ask(api, "/api/v1/web/other/bound/none")) == MISSING
    await put(api, "packages/p", update=True, publish=False)
    assert (await ask(api, "/api/v1/web/other/bound/hello")).status == 403


@pytest.mark.parametrize(
    ("required", "header", "user", "status"),
    [
        (True, None, None, 401),
        (True, None, "nobody", 401),
        (True, None, "other", 200),
        ("abc", None, "guest", 401),
        ("abc", "ab", None, 401),
        ("abc", "abc", None, 200),
        (12, "12", None, 200),
        (12, "13", None, 401),
        (False, None, None, 200),
        ([1], "[1]", "guest", 401),
    ],
)
async def test_an_action_may_require_credentials(
    api: Api, required: Any, header: str | None, user: str | None, status: int
) -> None:
    await put(api, "actions/hello", **web(**{"require-whisk-auth": required}))
    headers = {"X-Require-Whisk-Auth": header} if header else {}
    reply = await ask(api, f"{HELLO}.json", user=user, headers=headers)
    assert reply.status == status
    if status == 401:
        assert told(reply) == UNAUTHORIZED
        assert not api.invoker.messages
    assert (await ask(api, HELLO, "OPTIONS", user=user)).status == 200, "options are never denied"


async def test_pages_of_any_origin_may_ask_unless_the_action_has_options_of_its_own(api: Api) -> None:
    await put(api, "actions/hello", **web())
    await put(api, "actions/own", **web(**{"web-custom-options": True}))
    asked = await ask(api, HELLO, "OPTIONS", headers={"Access-Control-Request-Headers": "X-A, X-B"})
    assert (asked.status, asked.body, api.invoker.messages) == (200, b"", [])
    assert asked.headers["access-control-allow-headers"] == "X-A, X-B"
    for reply in (asked, await ask(api, f"{HELLO}.json"), await ask(api, f"{HELLO}.html")):
        assert reply.headers["access-control-allow-origin"] == "*"
        methods = "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"
        assert reply.headers["access-control-allow-methods"] == methods
    own = await ask(api, "/api/v1/web/guest/default/own.json", "OPTIONS")
    assert own.json["__ow_method"] == "options"
    assert not [name for name in own.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("extension", "result", "kind", "body"),
    [
        (".json", {"a": 1}, "application/json", b'{\n  "a": 1\n}'),
        (".json", [1], "application/json", b"[\n  1\n]"),
        (".html", {"body": "<p/>"}, "text/html; charset=UTF-8", b"<p/>"),
        (".html", {"html": "<p/>"}, "text/html; charset=UTF-8", b"<p/>"),
        (".svg", {"svg": "<svg/>"}, "image/svg+xml", b"<svg/>"),
        (".text", {"text": "a"}, "text/plain; charset=UTF-8", b"a"),
        (".text", {"body": {"a": 1}}, "text/plain; charset=UTF-8", b'{\n  "a": 1\n}'),
        (".text", {"body": None}, "text/plain; charset=UTF-8", b"null"),
        (".text", {"text": 1.5}, "text/plain; charset=UTF-8", b"1.5"),
        ("", {"body": "<p/>"}, "text/html; charset=UTF-8", b"<p/>"),
        (".http", {"body": {"a": 1}}, "application/json", b'{\n  "a": 1\n}'),
        (".http", {"body": 5}, "application/json", b"5"),
        (".http", {"headers": {"content-type": "text/plain"}, "body": "a"}, "text/plain; charset=UTF-8", b"a"),
        (".http", {"headers": {"Content-Type": "image/png"}, "body": BASE64}, "image/png", BYTES),
        (".http", {"headers": {"content-type": "application/json"}, "body": "{}"}, "application/json", b"{}"),
        (".http", {"headers": {"content-type": "application/json"}, "body": "e30="}, "application/json", b"{}"),
        (".http", {"headers": {"content-type": "a/b+json"}, "body": [1]}, "a/b+json", b"[\n  1\n]"),
    ],
)
async def test_the_extension_says_what_is_shown(api: Api, extension: str, result: Any, kind: str, body: bytes) -> None:
    await put(api, "actions/hello", **web())
    reply = await shown(api, result, extension)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, kind, body)
    assert reply.headers["x-openwhisk-activation-id"] == api.invoker.messages[0].activation_id


@pytest.mark.parametrize(
    ("extension", "result", "refusal"),
    [
        (".json", "a", (400, "Response is not valid 'application/json'.")),
        (".html", {"a": 1}, (400, "Response is not valid 'text/html'.")),
        (".svg", {"body": 1}, (400, "Response is not valid 'image/svg+xml'.")),
        (".text", {"a": 1}, (404, "Response does not include requested property.")),
        (".http", "a", HTTP),
        (".http", {"statusCode": "abc"}, HTTP),
        (".http", {"statusCode": 20000}, HTTP),
        (".http", {"headers": "abc"}, HTTP),
        (".http", {"headers": {"a": {}}}, HTTP),
        (".http", {"headers": {"a": "b\r\nc: d"}}, HTTP),
        (
            ".http",
            {"headers": {"content-type": "x"}, "body": "a"},
            (400, "Response did not specify a known content-type."),
        ),
        (".http", {"headers": {"content-type": "image/png"}, "body": "<a>"}, MISMATCH),
        (".http", {"headers": {"content-type": "text/plain"}, "body": {}}, MISMATCH),
    ],
)
async def test_results_that_are_something_else(api: Api, extension: str, result: Any, refusal: tuple[int, str]) -> None:
    await put(api, "actions/hello", **web())
    reply = await shown(api, {"error": result}, extension, status=1)
    assert told(reply) == refusal
    assert reply.headers["x-openwhisk-activation-id"]


async def test_status_and_headers_are_the_actions(api: Api) -> None:
    await put(api, "actions/hello", **web())
    headers = {"Set-Cookie": ["a=1", "b=2"], "X-Number": 3, "X-Truth": True, "Content-Length": 99}
    gives(api, {"statusCode": "444", "headers": headers, "body": "a"})
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": HELLO, "raw_path": HELLO.encode(), "query_string": b""}
    await api.app({**scope, "headers": []}, receive, send)
    sent = [(bytes(name), value) for name, value in messages[0]["headers"]]
    assert messages[0]["status"] == 444
    assert [value for name, value in sent if name == b"Set-Cookie"] == [b"a=1", b"b=2"]
    assert (b"X-Number", b"3") in sent
    assert (b"X-Truth", b"true") in sent
    assert [value for name, value in sent if name.lower() == b"content-length"] == [b"1"]


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({}, 204),
        ({"body": ""}, 204),
        ({"statusCode": 302, "headers": {"Location": "/", "Content-Type": "text/html"}}, 302),
        ({"statusCode": 304, "body": "a"}, 304),
    ],
)
async def test_without_a_body_there_is_no_content_type(api: Api, result: Any, status: int) -> None:
    await put(api, "actions/hello", **web())
    reply = await shown(api, result, headers={"Accept": "image/png"})
    assert (reply.status, reply.body, "content-type" in reply.headers) == (status, b"", False)


async def test_what_the_client_does_not_take_is_not_sent(api: Api) -> None:
    await put(api, "actions/hello", **web())
    text = "Resource representation is only available with these types:\ntext/html; charset=UTF-8"
    for accept in ("application/json", "text/html;q=0, */*", "image/*"):
        refused = await shown(api, {"body": "a"}, headers={"Accept": accept})
        assert told(refused) == (406, text)
        assert "access-control-allow-origin" not in refused.headers
    assert len(api.invoker.messages) == 3, "it runs once for each"
    for accept in ("text/html", "text/*", "*/*;q=0.1", "image/png, text/html;q=0.5"):
        assert (await shown(api, {"body": "a"}, headers={"Accept": accept})).status == 200


async def test_errors_of_actions(api: Api) -> None:
    await put(api, "actions/hello", **web())
    failed = await shown(api, {"error": {"statusCode": 418, "body": "tea"}}, status=1)
    assert (failed.status, failed.body) == (418, b"tea")
    for status in (2, 3):
        reply = await shown(api, {"error": "x"}, ".json", status=status)
        assert told(reply) == (400, "There was an error processing your request.")
        assert reply.headers["x-openwhisk-activation-id"]


async def test_the_owner_pays(api: Api) -> None:
    await put(api, "actions/hello", user="small", **web())
    path = "/api/v1/web/small/default/hello.json"
    assert (await ask(api, path, user="other")).status == 200
    refused = await ask(api, path, user="other")
    assert refused.status == 429
    assert "(count: 2, allowed: 1)" in refused.error


async def test_who_waits_too_long_is_told_the_activation(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(api, "actions/hello", **web())
    starter = api.parts.starter
    call: Any = starter.call

    async def impatient(*given: Any) -> Any:
        return await call(*given[:4], 0.01)

    monkeypatch.setattr(starter, "call", impatient)

    def never(message: ActivationMessage) -> None:
        return None

    api.invoker.answer = never
    late = await ask(api)
    assert told(late) == (202, "Response not yet ready.")
    assert late.headers["x-openwhisk-activation-id"] == api.invoker.messages[0].activation_id


async def test_a_sequence_can_be_a_web_action(api: Api) -> None:
    await put(api, "actions/one")
    await put(api, "actions/hello", exec={"kind": "sequence", "components": ["/_/one", "/_/one"]}, **web())
    assert (await arguments(api, f"{HELLO}.json?a=b"))["a"] == "b"
