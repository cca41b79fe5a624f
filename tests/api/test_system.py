"""Info, health, namespaces, limits, transaction ids and CORS: system-tests.md §6 Controller-, Limits-,
NamespacesApiTests and RespondWithHeadersTests."""

import re
from typing import Any

import pytest

from tests.api.client import Api, exchange
from upcall.http.layer import Layer, respond
from upcall.model.sizes import NamespaceDefaults, Range, SystemLimits

UNKNOWN = "The requested resource could not be found."
HEADERS = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"


def cors(methods: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": "*",
        "access-control-allow-headers": HEADERS,
        "access-control-allow-methods": methods,
    }


API, ROOT = cors("GET, DELETE, POST, PUT, HEAD"), cors("OPTIONS, GET, POST")


async def test_the_info_document(api: Api) -> None:
    reply = await api("GET", "/", user=None)
    assert reply.status == 200
    assert reply.json == {
        "description": "OpenWhisk",
        "support": {
            "github": "https://github.com/apache/openwhisk/issues",
            "slack": "http://slack.openwhisk.org",
        },
        "api_paths": ["/api/v1"],
        "limits": {
            "actions_per_minute": 60,
            "triggers_per_minute": 60,
            "concurrent_actions": 30,
            "sequence_length": 50,
            "default_min_action_duration": 100,
            "default_max_action_duration": 300000,
            "default_min_action_memory": 134217728,
            "default_max_action_memory": 536870912,
            "default_min_action_logs": 0,
            "default_max_action_logs": 10485760,
            "min_action_duration": 100,
            "max_action_duration": 300000,
            "min_action_memory": 134217728,
            "max_action_memory": 536870912,
            "min_action_logs": 0,
            "max_action_logs": 10485760,
        },
        "runtimes": {
            "nodejs": [runtime("nodejs:20", "openwhisk/node:nightly", default=True)],
            "python": [
                runtime("python:3.10", "p10", deprecated=True),
                runtime("python:3.11", "p11", default=True, attached=True),
            ],
        },
    }


async def test_the_info_document_has_the_defaults_of_namespaces_beside_the_systems() -> None:
    defaults = NamespaceDefaults(timeout=Range(200, 1000), memory=Range(max=256))
    limits = (await Api(limits=SystemLimits(defaults=defaults))("GET", "/", user=None)).json["limits"]
    assert (limits["default_min_action_duration"], limits["default_max_action_duration"]) == (200, 1000)
    assert (limits["min_action_duration"], limits["max_action_duration"]) == (100, 300_000)
    assert (limits["default_max_action_memory"], limits["max_action_memory"]) == (268435456, 536870912)


def runtime(kind: str, image: str, **given: bool) -> dict[str, Any]:
    flags = {"deprecated": False, "default": False, "attached": False, "requireMain": False}
    return {"kind": kind, "image": image, **flags, **given}


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/"])
async def test_the_api_document(api: Api, path: str) -> None:
    reply = await api("GET", path, user=None)
    assert (reply.status, reply.headers | API) == (200, reply.headers)
    assert reply.json == {
        "description": "OpenWhisk API",
        "api_version": "1.0.0",
        "api_version_path": "v1",
        "build": api.parts.build,
        "buildno": api.parts.build_number,
        "swagger_paths": {"ui": "/docs", "api-docs": "/api-docs"},
    }


async def test_ping(api: Api) -> None:
    reply = await api("GET", "/ping", user=None)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"pong", "text/plain; charset=UTF-8")


@pytest.mark.parametrize(
    ("invokers", "count", "status", "ready"),
    [
        ({"invoker0/0": "up"}, 1, 200, {"healthy": "1/1"}),
        ({"invoker0/0": "up", "invoker1/1": "unhealthy"}, 1, 500, {"unhealthy": "1/2"}),
        ({"invoker0/0": "down"}, 0, 500, {"unhealthy": "0/1"}),
        ({}, 0, 500, {"unhealthy": "0/0"}),
    ],
)
async def test_invokers(api: Api, invokers: dict[str, str], count: int, status: int, ready: dict[str, str]) -> None:
    api.invokers = invokers
    assert (await api("GET", "/invokers", user=None)).json == invokers
    assert (await api("GET", "/invokers/healthy/count", user=None)).json == count
    reply = await api("GET", "/invokers/ready", user=None)
    assert (reply.status, reply.json) == (status, ready)


@pytest.mark.parametrize(
    ("readiness", "up", "status"), [(0.5, 5, 200), (0.5, 4, 500), (0.7, 7, 200), (0.0, 0, 200), (1.0, 9, 500)]
)
async def test_the_share_of_invokers_that_makes_it_ready(readiness: float, up: int, status: int) -> None:
    states = {f"invoker{number}": "up" if number < up else "down" for number in range(10)}
    api = Api(invokers=lambda: states, readiness=readiness)
    assert (await api("GET", "/invokers/ready", user=None)).status == status


async def test_activations_in_flight(api: Api) -> None:
    assert (await api("GET", "/activation/count", user=None)).json == 0
    api.in_flight = [("a" * 32, "guest/hello")]
    assert (await api("GET", "/activation", user=None)).json == [["a" * 32, "guest/hello"]]
    assert (await api("GET", "/activation/count", user=None)).json == 1


async def test_namespaces(api: Api) -> None:
    for path in ("/api/v1/namespaces", "/api/v1/namespaces/"):
        reply = await api("GET", path)
        assert (reply.status, reply.json) == (200, ["guest"])
        assert (await api("GET", path, user=None)).status == 401
    reply = await api("GET", "/api/v1/namespaces/guest")
    assert (reply.status, reply.error) == (404, UNKNOWN)


LIMITS = {
    "invocationsPerMinute": 60,
    "concurrentInvocations": 30,
    "firesPerMinute": 60,
    "minActionMemory": 128,
    "maxActionMemory": 512,
    "minActionLogs": 0,
    "maxActionLogs": 10,
    "minActionTimeout": 100,
    "maxActionTimeout": 300000,
    "minActionConcurrency": 1,
    "maxActionConcurrency": 5,
    "maxParameterSize": "1500 B",
    "maxActionInstances": 30,
}


async def test_limits(api: Api) -> None:
    for path in ("_/limits", "guest/limits", "_/limits/"):
        reply = await api("GET", path)
        assert (reply.status, reply.json) == (200, LIMITS)


async def test_limits_of_a_namespace_are_clamped(api: Api) -> None:
    assert (await api("GET", "_/limits", user="small")).json == {
        **LIMITS,
        "invocationsPerMinute": 1,
        "concurrentInvocations": 5,
        "firesPerMinute": 2,
        "allowedKinds": ["python:3.11", "blackbox"],
        "storeActivations": False,
        "minActionMemory": 130,
        "maxActionMemory": 256,
        "maxActionLogs": 5,
        "minActionTimeout": 200,
        "maxParameterSize": "1024 B",
        "maxActionInstances": 5,
    }


async def test_limits_of_others_and_other_methods(api: Api) -> None:
    reply = await api("GET", "other/limits")
    assert reply.status == 403
    assert reply.error == "The supplied authentication is not authorized to access 'other'."
    for method in ("PUT", "POST", "DELETE"):
        for path in ("_/limits", "_/limits/memory"):
            assert (await api(method, path)).status == 405
    reply = await api("GET", "_/limits/memory")
    assert (reply.status, reply.error) == (400, "Inner entity level routes for limits are not yet implemented.")


async def test_transaction_ids(api: Api) -> None:
    for given, kept in (("abc", True), ("sid_abc", False), (None, False)):
        headers = {"X-Request-ID": given} if given else {}
        for path in ("_/actions", "/", "/bogus", "_/actions/missing"):
            tid = (await api("GET", path, headers=headers)).headers["x-request-id"]
            assert tid == given if kept else re.fullmatch(r"[A-Za-z0-9]{32}", tid)


async def test_the_name_of_the_transaction_header_is_a_setting() -> None:
    api = Api(tid_header=b"X-Custom")
    reply = await api("GET", "/ping", user=None, headers={"x-custom": "abc"})
    assert reply.headers["x-custom"] == "abc"
    assert "x-request-id" not in reply.headers


@pytest.mark.parametrize(
    "path",
    ["/api/v1", "/api/v1/", "/api/v1/bogus", "/api/v1/namespaces", "/api/v1/namespaces/$/bogus/a/b", "/api/v1/docs"],
)
async def test_options_below_the_api(api: Api, path: str) -> None:
    reply = await api("OPTIONS", path, user=None)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"OK", "text/plain; charset=UTF-8")
    assert API.items() <= reply.headers.items()


async def test_options_above_the_api(api: Api) -> None:
    for path in ("/", "/invokers"):
        reply = await api("OPTIONS", path, user=None)
        assert (reply.status, reply.headers | ROOT) == (200, reply.headers)
    for path in ("/api", "/api/v10", "/bogus"):
        reply = await api("OPTIONS", path, user=None)
        assert (reply.status, reply.error) == (404, UNKNOWN)


@pytest.mark.parametrize("path", ["/bogus", "/api", "/api/v1/bogus", "/invokers/", "/pingx"])
async def test_unknown_paths_need_no_credentials(api: Api, path: str) -> None:
    reply = await api("GET", path, user=None)
    assert (reply.status, reply.error) == (404, UNKNOWN)
    assert "access-control-allow-origin" not in reply.headers


async def test_other_methods_of_system_paths(api: Api) -> None:
    for path in ("/", "/ping", "/api/v1"):
        for method in ("HEAD", "POST"):
            assert (await api(method, path, user=None)).status == 405


async def test_what_nobody_expected_becomes_500_and_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, str]:
        raise RuntimeError("secret detail")

    broken_api = Api(invokers=broken)
    reply = await broken_api("GET", "/invokers", user=None)
    assert (reply.status, reply.error) == (500, "There was an internal server error.")
    assert "secret detail" in caplog.text


async def test_a_client_that_left_gets_no_answer(api: Api) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        await api.app(scope, receive, send)

    headers = [(b"authorization", api.basic("guest")), (b"content-type", b"application/json")]
    with pytest.raises(KeyError):  # the client of these tests looks for headers, and there are none
        await exchange(app, "PUT", "/api/v1/namespaces/_/actions/x", headers, b"")
    assert sent == []


async def test_extra_logging_is_taken_out_of_the_request(api: Api) -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await respond(send, (200, (), b""))

    headers = [(b"x-ow-extra-logging", b"on"), (b"accept", b"*/*")]
    assert (await exchange(Layer(app, api.parts.tid_header), "GET", "/", headers, b"")).status == 200
    assert seen == [(b"accept", b"*/*")]


async def test_lifespan_is_passed_on(api: Api) -> None:
    sent: list[Any] = []
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(events)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await api.app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
