"""The invoke route over HTTP: outcomes, refusals and their order (spec: rest-api.md §4, §6.5)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.api.platform import AUTH, INSTANCE, PATH, Platform, a_record, a_request, an_action, result
from upcall.core.health import State
from upcall.errors import Conflict, TooLarge
from upcall.model import texts
from upcall.model.documents import KeyValue
from upcall.model.entities import Limits, Parameter, UserLimits
from upcall.model.messages import CombinedMessage, CompletionMessage, ResultMessage
from upcall.model.sizes import NamespaceDefaults


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform().run() as running:
        yield running


async def test_a_blocking_invoke_gives_the_record_without_logs(platform: Platform) -> None:
    answered = await platform.ask(a_request(body=b'{"name": "Ada"}'))
    message = await platform.invoker.message()
    assert answered.status == 200
    assert answered.json == {
        "namespace": "guest",
        "name": "hello",
        "version": "0.0.1",
        "subject": "guest-subject",
        "activationId": message.activation_id,
        "start": 1000,
        "end": 1030,
        "duration": 30,
        "response": {"status": "success", "success": True, "result": {"name": "Ada"}},
        "logs": [],
        "annotations": [],
        "publish": False,
    }
    assert answered.headers["x-openwhisk-activation-id"] == message.activation_id
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["access-control-allow-origin"] == "*"
    assert len(answered.headers["x-request-id"]) == 32
    assert "date" in answered.headers


async def test_the_message_names_action_caller_and_transaction(platform: Platform) -> None:
    headers = {"X-Request-ID": "mine", "X-OW-EXTRA-LOGGING": "ON"}
    answered = await platform.ask(a_request(body=b"{}", headers=headers))
    message = await platform.invoker.message()
    assert answered.headers["x-request-id"] == "mine"
    assert message.transid[0] == "mine"
    assert message.transid[2] is True
    assert (message.action.id, message.action.version, message.blocking) == ("guest/hello", "0.0.1", True)
    assert message.revision == platform.cache.cached("guest/hello").rev  # type: ignore[union-attr]
    assert message.user.namespace.name == "guest"
    assert message.root_controller_index.as_string == "0"


async def test_result_true_gives_the_bytes_of_the_result_alone(platform: Platform) -> None:
    platform.invoker.answer = lambda _: result(b'{"a": 1.0}')
    assert (await platform.ask(a_request(f"{PATH}?blocking=true&result=true"))).body == b'{"a": 1.0}'


@pytest.mark.parametrize("query", ["blocking=true", "blocking=true&result=true"])
async def test_an_array_is_the_whole_body(platform: Platform, query: str) -> None:
    platform.invoker.answer = lambda _: result(b" [1]")
    assert (await platform.ask(a_request(f"{PATH}?{query}"))).body == b" [1]"


@pytest.mark.parametrize(("outcome", "status"), [(1, 502), (2, 502), (3, 500)])
async def test_a_failed_activation_sets_the_status(platform: Platform, outcome: int, status: int) -> None:
    platform.invoker.answer = lambda _: result(b'{"error":"x"}', outcome)
    answered = await platform.ask(a_request())
    assert answered.status == status
    assert answered.json["response"]["success"] is False
    assert "code" not in answered.json


async def test_a_non_blocking_invoke_is_accepted_at_once(platform: Platform) -> None:
    platform.invoker.answer = lambda _: None
    answered = await platform.ask(a_request(f"{PATH}?result=true"))
    message = await platform.invoker.message()
    assert answered.status == 202
    assert answered.json == {"activationId": message.activation_id}
    assert answered.headers["x-openwhisk-activation-id"] == message.activation_id
    assert message.blocking is False


async def test_when_the_wait_ends_the_id_is_given_and_the_activation_goes_on(platform: Platform) -> None:
    platform.invoker.answer = lambda _: None
    answered = await platform.ask(a_request(f"{PATH}?blocking=true&timeout=1"))
    assert answered.status == 202
    message = await platform.invoker.message()
    assert answered.json == {"activationId": message.activation_id}
    assert platform.acks.count == 1
    platform.invoker.finish(message, result(b"{}"))
    assert platform.acks.count == 0


async def test_the_result_may_come_before_the_slot_is_free(platform: Platform) -> None:
    platform.invoker.answer = lambda _: None
    client = await platform.connect()
    client.send(a_request())
    message = await platform.invoker.message()
    platform.invoker.send(ResultMessage(message.transid, a_record(message, result(b'{"a":1}'))))
    assert (await client.answer()).status == 200
    assert platform.acks.in_flight == {message.user.namespace.uuid: 1}
    assert platform.booked() == 256
    platform.invoker.send(CompletionMessage(message.transid, message.activation_id, False, INSTANCE))
    assert platform.acks.in_flight == {}
    assert platform.booked() == 0


async def test_an_ack_with_the_id_alone_sends_the_caller_to_the_store(platform: Platform) -> None:
    platform.invoker.answer = lambda _: None
    client = await platform.connect()
    client.send(a_request())
    message = await platform.invoker.message()
    platform.store.record(a_record(message, result(b'{"a":1}')))
    platform.invoker.send(CombinedMessage(message.transid, message.activation_id, False, INSTANCE))
    answered = await client.answer()
    assert answered.status == 200
    assert answered.json["response"]["result"] == {"a": 1}
    assert answered.json["logs"] == []


async def test_parameters_are_merged_under_the_body(platform: Platform) -> None:
    parameters = [Parameter("a", Raw(b"1")), Parameter("b", Raw(b"2"), init=True)]
    await platform.store.put(an_action("merged", parameters=parameters))
    answered = await platform.ask(a_request(PATH.replace("hello", "merged") + "?blocking=true&result=1", b'{"a":3}'))
    assert answered.json == {"a": 3, "b": 2}
    assert (await platform.invoker.message()).init_args == ["b"]


async def test_names_may_be_percent_encoded_and_the_namespace_spelt_out(platform: Platform) -> None:
    await platform.store.put(an_action("x y"))
    answered = await platform.ask(a_request("/api/v1/namespaces/guest/actions/x%20y?blocking=true"))
    assert answered.json["name"] == "x y"


REFUSALS: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "no credentials": ({"auth": None}, 401, texts.NO_CREDENTIALS),
    "wrong key": ({"auth": AUTH[:-6] + b"aaaaaa"}, 401, texts.BAD_CREDENTIALS),
    "no credentials for a bad name": ({"path": "/api/v1/namespaces/_/actions/$x", "auth": None}, 401, None),
    "bad name": ({"path": "/api/v1/namespaces/_/actions/$x"}, 400, texts.NAME_ILLEGAL),
    "slash in a name": ({"path": "/api/v1/namespaces/_/actions/a%2Fb"}, 400, texts.NAME_ILLEGAL),
    "long name": (
        {"path": f"/api/v1/namespaces/_/actions/{'a' * 257}"},
        400,
        "Name segement longer than allowed: 257 > 256.",
    ),
    "bad namespace": ({"path": "/api/v1/namespaces/$x/actions/a"}, 400, texts.NAMESPACE_ILLEGAL),
    "other's action": (
        {"path": "/api/v1/namespaces/other/actions/x"},
        403,
        "The supplied authentication is not authorized to access 'other/x'.",
    ),
    "other's package": (
        {"path": "/api/v1/namespaces/other/actions/p/x"},
        403,
        "The supplied authentication is not authorized to access 'other/p'.",
    ),
    "flag": (
        {"path": f"{PATH}?blocking=x"},
        400,
        "The query parameter 'blocking' was malformed:\n'x' is not a valid Boolean value",
    ),
    "wait": (
        {"path": f"{PATH}?timeout=60001"},
        400,
        "The query parameter 'timeout' was malformed:\nTimeout must be number of milliseconds up to 60000.",
    ),
    "body": ({"body": b"[]"}, 400, "The request content was malformed:\nJSON object expected"),
    "content type": (
        {"body": b"x", "headers": {"Content-Type": "text/plain;charset=utf-8"}},
        415,
        "The request's Content-Type [text/plain; charset=UTF-8] is not supported. Expected:\napplication/json",
    ),
    "nearly the content type": (
        {"body": b"{}", "headers": {"Content-Type": "application/json-seq"}},
        415,
        "The request's Content-Type [application/json-seq] is not supported. Expected:\napplication/json",
    ),
    "no content type": (
        {"body": b"{}", "headers": {"Content-Type": ""}},
        415,
        "The request's Content-Type [application/octet-stream] is not supported. Expected:\napplication/json",
    ),
    "missing": ({"path": "/api/v1/namespaces/_/actions/none"}, 404, "The requested resource does not exist."),
    "bad body for what is missing": (
        {"path": "/api/v1/namespaces/_/actions/none", "body": b"[]"},
        400,
        "The request content was malformed:\nJSON object expected",
    ),
    "payload": (
        {"body": b'{"a":"' + b"x" * 1_048_576 + b'"}'},
        413,
        "Request larger than allowed: 1048584 > 1048576 bytes.",
    ),
}


@pytest.mark.parametrize(
    "url", ["http://any{}?blocking=true", "/%61pi/v1/namespaces/_/actions/hello?blocking=true", "{}?blocking=1#x"]
)
async def test_every_spelling_of_the_url_is_an_invoke(platform: Platform, url: str) -> None:
    assert (await platform.ask(a_request(url.format(PATH)))).status == 200


@pytest.mark.parametrize("case", REFUSALS)
async def test_refusals(platform: Platform, case: str) -> None:
    request, status, text = REFUSALS[case]
    answered = await platform.ask(a_request(**{"path": PATH, **request}))
    assert answered.status == status
    assert answered.json["code"] == answered.headers["x-request-id"]
    assert text is None or answered.json["error"] == text
    assert ("www-authenticate" in answered.headers) == (status == 401)
    completed = status in (403, 404, 413)  # the others are refused before the route is entered
    assert ("access-control-allow-origin" in answered.headers) == completed
    assert platform.invoker.messages == []


async def test_a_reserved_transaction_id_is_replaced(platform: Platform) -> None:
    answered = await platform.ask(a_request(headers={"X-Request-ID": "sid_x"}))
    assert len(answered.headers["x-request-id"]) == 32


async def test_a_kind_that_is_no_longer_supported_is_refused(platform: Platform) -> None:
    old = an_action("old")
    old.exec.kind = "python:2"
    await platform.store.put(old)
    answered = await platform.ask(a_request(PATH.replace("hello", "old")))
    assert (answered.status, answered.json["error"]) == (400, texts.runtime_deprecated("python:2"))


async def test_a_final_parameter_is_refused(platform: Platform) -> None:
    action = an_action("fin", parameters=[Parameter("a", Raw(b"1"))], annotations=[KeyValue("final", True)])
    await platform.store.put(action)
    answered = await platform.ask(a_request(PATH.replace("hello", "fin"), b'{"a":1}'))
    assert (answered.status, answered.json["error"]) == (400, texts.FINAL_PARAMETERS)


async def test_throttles_come_before_rights_and_say_when_to_come_back() -> None:
    platform = Platform()
    platform.limits = msgspec.structs.replace(platform.limits, invocations_per_minute=1)
    async with platform.run():
        path = "/api/v1/namespaces/other/actions/x"
        assert (await platform.ask(a_request(path))).status == 403
        answered = await platform.ask(a_request(path))
        assert answered.status == 429
        assert answered.json["error"] == "Too many requests in the last minute (count: 2, allowed: 1)."
        assert 1 <= int(answered.headers["retry-after"]) <= 60


async def test_the_payload_limit_is_the_namespaces_or_the_default_of_namespaces() -> None:
    platform = Platform()
    defaults = NamespaceDefaults(payload=1024)
    platform.limits = msgspec.structs.replace(platform.limits, defaults=defaults)
    async with platform.run():
        body = b'{"a":"' + b"x" * 1100 + b'"}'
        answered = await platform.ask(a_request(PATH, body))
        assert (answered.status, answered.json["error"]) == (413, texts.request_too_large(len(body), 1024))
        await platform.store.put(Limits("guest", UserLimits(max_payload_size="1 MB")))
        assert (await platform.ask(a_request(PATH, body))).status == 202


async def test_what_is_in_flight_counts_against_the_namespace(platform: Platform) -> None:
    await platform.store.put(Limits("guest", UserLimits(concurrent_invocations=1)))
    platform.invoker.answer = lambda _: None
    assert (await platform.ask(a_request(PATH))).status == 202
    answered = await platform.ask(a_request(PATH))
    assert answered.json["error"] == "Too many concurrent requests in flight (count: 1, allowed: 1)."
    platform.invoker.finish(platform.invoker.messages[0], result(b"{}"))
    assert (await platform.ask(a_request(PATH))).status == 202


async def test_no_usable_invoker_is_503(platform: Platform) -> None:
    platform.fleet.move(0, State.OFFLINE)
    answered = await platform.ask(a_request())
    assert (answered.status, answered.json["error"]) == (503, texts.DEFAULTS[503])
    assert answered.headers["retry-after"] == "1"


@pytest.mark.parametrize("query", ["", "?blocking=true"])
@pytest.mark.parametrize(("error", "status"), [(TooLarge("invoker0 takes less"), 413), (OSError("broker"), 500)])
async def test_a_message_that_cannot_be_sent(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, query: str, error: Exception, status: int
) -> None:
    await platform.ask(a_request())  # so that the action is cached
    monkeypatch.setattr(platform.bus, "send", lambda topic, message, sent: sent(error))
    answered = await platform.ask(a_request(PATH + query))
    assert (answered.status, answered.json["error"]) == (status, texts.DEFAULTS[status])
    assert "x-openwhisk-activation-id" not in answered.headers, "there will be no record by that id"
    assert platform.acks.count == 0
    assert platform.booked() == 0


async def test_a_document_of_another_kind_is_a_conflict(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    async def get(*_: object) -> None:
        raise Conflict(texts.CONFORMANCE)

    monkeypatch.setattr(platform.store, "get", get)
    answered = await platform.ask(a_request(PATH))
    assert (answered.status, answered.json["error"]) == (409, texts.CONFORMANCE)


async def test_an_unforeseen_error_is_a_500_and_says_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def get(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(platform.store, "get", get)
    answered = await platform.ask(a_request(PATH))
    assert (answered.status, answered.json["error"]) == (500, texts.DEFAULTS[500])
    assert "a secret" in caplog.text


async def test_calls_that_come_together_read_the_action_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    get = platform.store.get

    async def counted(kind: Any, id: str, rev: str | None = None) -> Any:
        reads.append(id)
        await asyncio.sleep(0)
        return await get(kind, id, rev)

    monkeypatch.setattr(platform.store, "get", counted)
    answers = await asyncio.gather(*(platform.ask(a_request()) for _ in range(5)))
    assert [answered.status for answered in answers] == [200] * 5
    assert reads == ["guest/hello"]
