"""Actions over REST: system-tests.md §6, "every collection" and ActionsApiTests, and those lines of §1 and §2."""

from typing import Any, ClassVar

import pytest

from tests.api.client import Api
from tests.contract.documents import Note
from upcall.model.entities import Action
from upcall.model.texts import DEFAULTS

CODE = {"kind": "python:3.11", "code": "def main(a): return a"}
WRAPPER = "The request content was malformed:\n"
DENIED = "The supplied authentication is not authorized to access {}."
UNKNOWN = "The requested resource could not be found."


async def create(api: Api, name: str = "hello", user: str = "guest", **body: Any) -> Any:
    reply = await api("PUT", f"_/actions/{name}", {"exec": CODE, **body}, user=user)
    assert reply.status == 200, reply.body
    return reply.json


async def test_a_created_action_has_exactly_these_members(api: Api) -> None:
    reply = await api("PUT", "_/actions/hello", {"exec": CODE, "updated": 1, "namespace": "x", "name": "y"})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == {
        "namespace": "guest",
        "name": "hello",
        "version": "0.0.1",
        "publish": False,
        "exec": {"kind": "python:3.11", "code": "def main(a): return a", "binary": False},
        "parameters": [],
        "limits": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1},
        "annotations": [{"key": "provide-api-key", "value": False}, {"key": "exec", "value": "python:3.11"}],
        "updated": api.time,
    }
    assert b": " not in reply.body.replace(b"(a): ", b"")
    assert (await api("GET", "guest/actions/hello")).json == reply.json


async def test_a_second_create_is_refused_unless_it_may_overwrite(api: Api) -> None:
    await create(api, parameters=[{"key": "a", "value": 1}])
    refused = await api("PUT", "_/actions/hello", {"exec": CODE})
    assert (refused.status, refused.error) == (409, "resource already exists")
    refused = await api("PUT", "_/actions/hello?overwrite=false", {"exec": CODE})
    assert refused.status == 409
    updated = await api("PUT", "_/actions/hello?overwrite=true", {"annotations": [{"key": "x", "value": "&<é>"}]})
    assert (updated.status, updated.json["version"]) == (200, "0.0.2")
    assert updated.json["parameters"] == [{"key": "a", "value": 1}]
    assert updated.json["annotations"] == [
        {"key": "provide-api-key", "value": False},
        {"key": "x", "value": "&<é>"},
        {"key": "exec", "value": "python:3.11"},
    ]
    assert "&<é>".encode() in updated.body
    created = await api("PUT", "_/actions/new?overwrite=TRUE", {"exec": CODE})
    assert (created.status, created.json["version"]) == (200, "0.0.1")


async def test_an_update_keeps_annotations_and_removes_the_named_ones(api: Api) -> None:
    await create(api, annotations=[{"key": "a", "value": 1}, {"key": "b", "value": 2}])
    body = {"annotations": [{"key": "b", "value": 3}], "delAnnotations": ["a"]}
    updated = (await api("PUT", "_/actions/hello?overwrite=true", body)).json
    assert {entry["key"]: entry["value"] for entry in updated["annotations"]} == {
        "b": 3,
        "provide-api-key": False,
        "exec": "python:3.11",
    }


async def test_get_without_code(api: Api) -> None:
    await create(api)
    reply = await api("GET", "_/actions/hello?code=false")
    assert reply.json["exec"] == {"kind": "python:3.11", "binary": False}
    assert (await api("GET", "_/actions/hello?code=on")).json["exec"] == {**CODE, "binary": False}
    bad = await api("GET", "_/actions/hello?code=Maybe")
    assert bad.status == 400
    assert bad.error == "The query parameter 'code' was malformed:\n'maybe' is not a valid Boolean value"


async def test_delete_gives_the_action_back(api: Api) -> None:
    created = await create(api)
    deleted = await api("DELETE", "_/actions/hello")
    assert (deleted.status, deleted.json) == (200, created)
    for method in ("GET", "DELETE"):
        missing = await api(method, "_/actions/hello")
        assert (missing.status, missing.error) == (404, "The requested resource does not exist.")
    assert (await create(api, publish=True))["version"] == "0.0.1"


async def test_names_differ_in_case_and_may_have_blanks(api: Api) -> None:
    for name in ("twice", "TWICE", "x%20y%20z", "a&b", "_x", "a@b.c-d"):
        await create(api, name)
    assert len((await api("GET", "_/actions")).json) == 6
    assert (await api("GET", "_/actions/x%20y%20z")).json["name"] == "x y z"
    assert (await api("GET", "_/actions/%74wice")).json["name"] == "twice"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("_/actions/x", {}, "exec undefined"),
        ("_/actions/x?overwrite=true", {}, "exec undefined"),
        ("_/actions/x", {"exec": {"code": "x"}}, f"{WRAPPER}'kind' must be a string defined in 'exec'"),
        (
            "_/actions/x",
            {"exec": {"kind": "foo", "code": "x"}},
            f"{WRAPPER}The specified runtime 'foo' is not supported by this platform. Valid values are: "
            "'nodejs:20', 'python:3.10', 'python:3.11', 'sequence', 'blackbox'.",
        ),
        ("_/actions/x", {"exec": CODE, "parameters": {"a": 1}}, f"{WRAPPER}parameters malformed!"),
        ("_/actions/x", [], f"{WRAPPER}Object expected in field 'exec'"),
        (
            "_/actions/x",
            {"exec": CODE, "limits": {"memory": 1024}},
            "memory size 1024 MB exceeds allowed threshold of 512 MB",
        ),
        (
            "_/actions/x?overwrite=2",
            {},
            "The query parameter 'overwrite' was malformed:\n'2' is not a valid Boolean value",
        ),
    ],
)
async def test_bad_requests(api: Api, path: str, body: Any, text: str) -> None:
    reply = await api("PUT", path, body)
    assert (reply.status, reply.error) == (400, text)


async def test_bodies_that_are_no_json(api: Api) -> None:
    json = {"content-type": "application/json"}
    for body in (b"{", b'{"exec": nul}', b'{"a": "\xff"}', b"[" * 100_000, b"{} {}"):
        reply = await api("PUT", "_/actions/x", body=body, headers=json)
        assert reply.status == 400
        assert reply.error.startswith(WRAPPER)
    reply = await api("PUT", "_/actions/x", headers=json)
    assert (reply.status, reply.error) == (400, "Request entity expected but not supplied")
    assert (await api("PUT", "_/actions/x")).error == "Request entity expected but not supplied"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=UTF-8"),
        ("Text/HTML", "text/html"),
        (None, "application/octet-stream"),
    ],
)
async def test_other_content_types(api: Api, given: str | None, shown: str) -> None:
    reply = await api("PUT", "_/actions/x", body=b"{}", headers={"content-type": given} if given else {})
    assert reply.status == 415
    assert reply.error == f"The request's Content-Type [{shown}] is not supported. Expected:\napplication/json"


async def test_json_with_a_charset_and_odd_values(api: Api) -> None:
    body = (
        b'{"exec":{"kind":"python:3.11","code":""},"parameters":[{"key":"big","value":123456789012345678901234567890},'
        b'{"key":"twice","value":{"a":1,"a":2}},{"key":"half","value":"\\ud83d \\ud83d\\ude00"}]}'
    )
    reply = await api("PUT", "_/actions/x", body=body, headers={"content-type": "application/json; charset=utf-8"})
    assert reply.status == 200
    assert [entry["value"] for entry in reply.json["parameters"]] == [
        123456789012345678901234567890,
        {"a": 2},
        "\ufffd 😀",
    ]


async def test_sizes(api: Api) -> None:
    big = {"kind": "python:3.11", "code": "x" * 2001}
    for query in ("", "?overwrite=true"):
        reply = await api("PUT", f"_/actions/x{query}", {"exec": big})
        assert (reply.status, reply.error) == (413, "exec larger than allowed: 2001 > 2000 bytes.")
        await api("PUT", "_/actions/x", {"exec": CODE})
    entries = [{"key": "k", "value": "x" * 1498}]
    for member in ("parameters", "annotations"):
        reply = await api("PUT", "_/actions/y", {"exec": CODE, member: entries})
        assert (reply.status, reply.error) == (413, f"{member} larger than allowed: 1501 > 1500 bytes.")
        reply = await api("PUT", "_/actions/y", {"exec": CODE, member: entries}, user="small")
        assert (reply.status, reply.error) == (413, f"{member} larger than allowed: 1501 > 1024 bytes.")


async def test_a_body_above_any_limit(api: Api) -> None:
    size = 50 * 1024 * 1024 + 1
    reply = await api("PUT", "_/actions/x", headers={"content-type": "application/json", "content-length": str(size)})
    assert (reply.status, reply.error) == (413, f"Request larger than allowed: {size} > 52428800 bytes.")


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"memory": 600}, "memory size 600 MB exceeds allowed threshold of 256 MB"),
        ({"memory": 128}, "memory size 128 MB below allowed threshold of 130 MB"),
        ({"timeout": 100}, "duration 100 milliseconds below allowed threshold of 200 milliseconds"),
        ({"timeout": 500_000}, "duration 500000 milliseconds exceeds allowed threshold of 300000 milliseconds"),
        ({"logs": 6}, "log size 6 MB exceeds allowed threshold of 5 MB"),
        ({"concurrency": 6}, "concurrency 6 exceeds allowed threshold of 5"),
        ({"instances": 6}, "Max action instance concurrency must not exceed your namespace concurrency of 5."),
    ],
)
async def test_limits_of_the_namespace(api: Api, limits: dict[str, int], text: str) -> None:
    reply = await api("PUT", "_/actions/x", {"exec": CODE, "limits": limits}, user="small")
    assert (reply.status, reply.error) == (400, text)


async def test_limits_are_stored_and_merged(api: Api) -> None:
    limits = {"timeout": 100, "memory": 128, "logs": 0, "concurrency": 5, "instances": 2}
    assert (await create(api, limits=limits))["limits"] == limits
    updated = await api("PUT", "_/actions/hello?overwrite=true", {"limits": {"logs": 3}})
    assert updated.json["limits"] == {**limits, "logs": 3}


async def test_kinds_of_the_namespace(api: Api) -> None:
    await create(api, user="small")
    reply = await api("PUT", "_/actions/x", {"exec": {"kind": "nodejs:20", "code": ""}}, user="small")
    assert (reply.status, reply.error) == (403, DENIED.format("actions of kind 'nodejs:20'"))


async def test_deprecated_kinds_are_read_and_deleted_only(api: Api) -> None:
    text = (
        "The 'python:3.10' runtime is no longer supported. "
        "You may read and delete but not update or invoke this action."
    )
    old = await create(api)
    stored = await api.store.get(Action, "guest/hello")
    assert isinstance(stored.doc, Action)
    stored.doc.exec.kind = "python:3.10"
    await api.store.put(stored.doc, stored.rev)
    for path, body in (
        ("_/actions/hello?overwrite=true", {"publish": True}),
        ("_/actions/new", {"exec": {"kind": "python:3.10", "code": ""}}),
    ):
        reply = await api("PUT", path, body)
        assert (reply.status, reply.error) == (400, text)
    assert (await api("GET", "_/actions/hello")).json["version"] == old["version"]
    assert (await api("DELETE", "_/actions/hello")).status == 200


async def test_blackboxes(api: Api) -> None:
    for code in ({}, {"code": ""}, {"code": "UEs="}):
        reply = await api(
            "PUT", "_/actions/box?overwrite=true", {"exec": {"kind": "blackbox", "image": "me/i:1", **code}}
        )
        assert reply.status == 200
    assert reply.json["exec"] == {"kind": "blackbox", "image": "me/i:1", "code": "UEs=", "binary": True}
    reply = await api("GET", "_/actions/box?code=false")
    assert reply.json["exec"] == {"kind": "blackbox", "image": "me/i:1", "binary": True}


async def test_init_parameters_are_shown(api: Api) -> None:
    given = [{"key": "a", "value": [1, None, {"b": "é"}]}, {"key": "T", "value": "t", "init": True}]
    assert (await create(api, parameters=given))["parameters"] == given


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_actions_of_others(api: Api, method: str) -> None:
    await create(api, user="other")
    for path, resource in (("other/actions/hello", "other/hello"), ("other/actions/pkg/hello", "other/pkg")):
        reply = await api(method, path, {"exec": CODE})
        assert (reply.status, reply.error) == (403, DENIED.format(f"'{resource}'"))
    reply = await api(method, "nobody/actions/hello", {"exec": CODE})
    assert (reply.status, reply.error) == (403, DENIED.format("'nobody/hello'"))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_missing_package_of_ones_own(api: Api, method: str) -> None:
    reply = await api(method, "_/actions/pkg/hello", {"exec": CODE})
    assert (reply.status, reply.error) == (404, DEFAULTS[404])


async def test_lists_of_packages(api: Api) -> None:
    assert (await api("GET", "_/actions/pkg/")).error == DEFAULTS[404]
    assert (await api("GET", "other/actions/pkg/")).error == DENIED.format("'other/pkg'")
    reply = await api("POST", "_/actions/pkg/")
    assert (reply.status, reply.error) == (404, UNKNOWN)


async def test_the_name_of_another_kind_of_document(api: Api) -> None:
    await api.store.put(Note("guest", "hello"))
    for method in ("GET", "PUT", "DELETE"):
        reply = await api(method, "_/actions/hello", {"exec": CODE})
        assert (reply.status, reply.error) == (409, "Resource by this name exists but is not in this collection.")


class Shapeless(Note):
    """What some other program may have stored as an action: it has no exec."""

    entity_type: ClassVar[str] = "action"


async def test_a_corrupted_document(api: Api) -> None:
    await api.store.put(Shapeless("guest", "hello"))
    for method in ("GET", "PUT", "DELETE"):
        reply = await api(method, "_/actions/hello", {"exec": CODE})
        assert (reply.status, reply.error) == (500, "Resource is corrupted and cannot be read.")


async def test_a_lost_race(api: Api) -> None:
    await create(api)
    get = api.store.get

    async def get_old(kind: Any, id: str, rev: Any = None) -> Any:
        stored = await get(kind, id, rev)
        doc: Any = stored.doc
        await api.store.put(doc, stored.rev)
        return stored

    api.store.get = get_old  # type: ignore[method-assign]
    for method, path in (("PUT", "_/actions/hello?overwrite=true"), ("DELETE", "_/actions/hello")):
        reply = await api(method, path, {"exec": CODE})
        assert (reply.status, reply.error) == (409, "Concurrent modification to resource detected.")


async def test_a_write_ends_what_the_cache_knows(api: Api) -> None:
    await create(api)
    cache = api.actions
    await cache.fetch("guest/hello")
    await api("PUT", "_/actions/hello?overwrite=true", {"publish": True})
    assert cache.cached("guest/hello") is None
    await cache.fetch("guest/hello")
    await api("DELETE", "_/actions/hello")
    assert cache.cached("guest/hello") is None
