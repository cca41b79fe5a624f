"""Activation records over REST: system-tests.md §6 ActivationsApiTests, and those lines of §2 and §3."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from tests.api.client import Api
from tests.contract.documents import activation
from upcall.controller import activations
from upcall.controller.recent import Recent
from upcall.model.activation import APPLICATION_ERROR, Activation, Response

DENIED = "The supplied authentication is not authorized to access {}."
MISSING = "The requested resource does not exist."


def id_of(number: int) -> str:
    return f"{number:032x}"


def record(number: int, **members: Any) -> Activation:
    return Activation(
        **{
            "namespace": "guest",
            "name": "hello",
            "subject": "guest-subject",
            "activation_id": id_of(number),
            "start": 1000 * number,
            "end": 1000 * number + 30,
            "duration": 20,
            "response": Response(result=Raw(b'{"n":1}'), size=7),
            "logs": ["2026-11-23T04:00:00.000000000Z stdout: hi"],
            "annotations": Raw(b'[{"key":"path","value":"guest/hello"}]'),
            **members,
        }
    )


async def put(api: Api, *records: Activation) -> None:
    for each in records:
        assert api.store.record(each)
    await api.store.flush()


async def names(api: Api, query: str) -> list[int]:
    reply = await api("GET", f"_/activations?{query}")
    assert reply.status == 200, reply.body
    return [int(each["activationId"], 16) for each in reply.json]


async def test_a_record(api: Api) -> None:
    await put(api, record(1, cause=id_of(9)))
    whole = {
        "namespace": "guest",
        "name": "hello",
        "version": "0.0.1",
        "publish": False,
        "subject": "guest-subject",
        "activationId": id_of(1),
        "start": 1000,
        "end": 1030,
        "duration": 20,
        "cause": id_of(9),
        "response": {"status": "success", "success": True, "result": {"n": 1}, "size": 7},
        "logs": ["2026-11-23T04:00:00.000000000Z stdout: hi"],
        "annotations": [{"key": "path", "value": "guest/hello"}],
    }
    for path in (f"_/activations/{id_of(1)}", f"guest/activations/{id_of(1)}/"):
        reply = await api("GET", path)
        assert (reply.status, reply.json) == (200, whole)
        assert reply.headers["access-control-allow-origin"] == "*"
    assert (await api("GET", f"_/activations/{id_of(1)}/result")).json == whole["response"]
    assert (await api("GET", f"_/activations/{id_of(1)}/logs")).json == {"logs": whole["logs"]}
    assert (await api("GET", "_/activations?docs=true")).json == [whole]


async def test_a_failed_record(api: Api) -> None:
    response = Response(APPLICATION_ERROR, Raw(b'{"error":"x"}'))
    await put(api, record(1, response=response, duration=UNSET))
    reply = await api("GET", f"_/activations/{id_of(1)}/result")
    assert reply.json == {"status": "application error", "success": False, "result": {"error": "x"}}
    assert (await api("GET", f"_/activations/{id_of(1)}")).json["duration"] == 30


async def test_summaries(api: Api) -> None:
    trigger = record(2, name="t", end=0, duration=UNSET, response=Response(), annotations=Raw(b"[]"))
    await put(api, record(1, response=Response(APPLICATION_ERROR)), trigger)
    common = {"namespace": "guest", "version": "0.0.1", "publish": False}
    assert (await api("GET", "_/activations")).json == [
        {**common, "name": "t", "activationId": id_of(2), "start": 2000, "annotations": []},
        {
            **common,
            "name": "hello",
            "activationId": id_of(1),
            "start": 1000,
            "end": 1030,
            "duration": 30,
            "statusCode": 1,
            "annotations": [{"key": "path", "value": "guest/hello"}],
        },
    ]


async def test_lists_filter_by_name_and_time(api: Api) -> None:
    packaged = Raw(b'[{"key":"path","value":"guest/pkg/hello"}]')
    bound = Raw(b'[{"key":"path","value":"whisk.system/utils/hello"},{"key":"binding","value":"guest/bind"}]')
    await put(api, record(1), record(2, name="other"), record(3, annotations=packaged), record(4, annotations=bound))
    await put(api, record(5, namespace="other"))
    assert await names(api, "") == [4, 3, 2, 1]
    assert await names(api, "name=hello") == [1]
    assert await names(api, "name=pkg%2Fhello") == [3]
    assert await names(api, "name=bind/hello") == [4]
    assert await names(api, "name=%20") == [4, 3, 2, 1]
    assert await names(api, "name=nobody") == []
    assert await names(api, "since=2000") == [4, 3, 2]
    assert await names(api, "upto=2000") == [2, 1]
    assert await names(api, "since=2000&upto=3000") == [3, 2]
    assert await names(api, "since=2001&upto=2999") == []
    assert await names(api, "since=-1") == [4, 3, 2, 1]
    assert await names(api, "upto=-1") == []
    assert (await api("GET", "_/activations?count=true&since=-9223372036854775808")).json == {"activations": 4}
    assert await names(api, "skip=1&limit=2") == [3, 2]
    assert (await api("GET", "_/activations?count=true&since=2000&skip=1")).json == {"activations": 2}
    assert (await api("GET", "_/activations?count=true&name=hello&docs=false")).json == {"activations": 1}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("count=true&docs=true", "The parameter 'docs' is not permitted with 'count'."),
        (
            "name=a/b/c",
            "The query parameter 'name' was malformed:\n"
            "Parameter may be a 'simple' name or 'package-name/simple' name: a/b/c",
        ),
        (
            "since=x",
            "The query parameter 'since' was malformed:\nParameter is not a valid value for epoch seconds: x",
        ),
        (
            "upto=9223372036854775808",
            "The query parameter 'upto' was malformed:\n"
            "Parameter is not a valid value for epoch seconds: 9223372036854775808",
        ),
        (
            "limit=201",
            "The query parameter 'limit' was malformed:\n"
            "The value '201' is not in the range of 0 to 200 for activations.",
        ),
        ("docs=x", "The query parameter 'docs' was malformed:\n'x' is not a valid Boolean value"),
    ],
)
async def test_malformed_queries(api: Api, query: str, text: str) -> None:
    reply = await api("GET", f"_/activations?{query}")
    assert (reply.status, reply.error) == (400, text)


async def test_logs_that_somebody_else_takes_are_not_available(api: Api) -> None:
    await put(api, record(1, logs=[]))
    other = Api(api.store, logs_elsewhere=True)
    assert (await other("GET", f"_/activations/{id_of(1)}/logs")).json == {"logs": ["Logs are not available."]}
    assert (await other("GET", f"_/activations/{id_of(1)}")).json["logs"] == []
    assert (await other("GET", f"_/activations/{id_of(2)}/logs")).status == 404


@pytest.mark.parametrize("tail", ["", "/result", "/logs"])
async def test_ids(api: Api, tail: str) -> None:
    for id_, status, text in (
        ("a" * 31, 400, "Activation id length is 31 but must be 32."),
        ("a" * 33, 400, "Activation id length is 33 but must be 32."),
        ("A" * 32, 400, "The activation id is not valid."),
        ("g" * 32, 400, "The activation id is not valid."),
        ("a" * 32, 404, MISSING),
    ):
        reply = await api("GET", f"_/activations/{id_}{tail}")
        assert (reply.status, reply.error) == (status, text)


async def test_records_of_others(api: Api) -> None:
    await put(api, record(1, namespace="other"))
    reply = await api("GET", "other/activations")
    assert (reply.status, reply.error) == (403, DENIED.format("'other'"))
    for tail in ("", "/result", "/logs"):
        reply = await api("GET", f"other/activations/{id_of(1)}{tail}")
        assert (reply.status, reply.error) == (403, DENIED.format(f"'other/{id_of(1)}'"))
    assert (await api("GET", f"_/activations/{id_of(1)}")).status == 404


async def test_other_methods_and_paths(api: Api) -> None:
    for method in ("PUT", "POST", "DELETE", "HEAD"):
        reply = await api(method, f"_/activations/{id_of(1)}")
        assert (reply.status, reply.headers["allow"]) == (405, "GET")
        assert (await api(method, "_/activations")).status == 405
    assert (await api("GET", f"_/activations/{id_of(1)}/bogus")).status == 404
    assert (await api("GET", "_/activations", user=None)).status == 401


async def test_a_corrupted_record(api: Api) -> None:
    record = activation(1)
    await api.store.put(msgspec.structs.replace(record, activation_id=id_of(1), logs="no list"))
    reply = await api("GET", f"_/activations/{id_of(1)}")
    assert (reply.status, reply.error) == (500, "Resource is corrupted and cannot be read.")


@pytest.mark.parametrize("route", ["", "/result", "/logs"])
async def test_the_record_of_a_result_that_was_just_told_is_waited_for(route: str) -> None:
    recent = Recent(time.monotonic)
    api = Api(recent=recent)
    await api.add_subjects()
    recent.add(id_of(1))
    waiting = asyncio.create_task(api("GET", f"_/activations/{id_of(1)}{route}"))
    await asyncio.sleep(0.02)
    await put(api, record(1))
    assert (await waiting).status == 200


async def test_a_record_that_never_comes_is_not_waited_for_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "PAUSES", (0.0, 0.0))
    api = Api(recent={id_of(1)})
    await api.add_subjects()
    reply = await api("GET", f"_/activations/{id_of(1)}")
    assert (reply.status, reply.error) == (404, MISSING)
