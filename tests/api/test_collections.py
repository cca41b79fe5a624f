"""What every collection has in common, shown on actions: system-tests.md §6, "every collection"."""

from typing import Any

import pytest

from tests.api.client import KEY, Api

CODE = {"kind": "python:3.11", "code": "def main(a): return a"}
DENIED = "The supplied authentication is not authorized to access {}."
UNKNOWN = "The requested resource could not be found."
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent",
    "access-control-allow-methods": "GET, DELETE, POST, PUT, HEAD",
}


async def create(api: Api, name: str, user: str = "guest", **body: Any) -> None:
    reply = await api("PUT", f"_/actions/{name}", {"exec": CODE, **body}, user=user)
    assert reply.status == 200, reply.body


@pytest.mark.parametrize("name", ["%20", "hi+there", "$hola", "dora%3F", "%7Cdora%7Cdora%3F", "a%2Fb", "a%20", "%FF"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_illegal_names(api: Api, method: str, name: str) -> None:
    reply = await api(method, f"_/actions/{name}", {"exec": CODE})
    assert (reply.status, reply.error) == (400, "The name of the entity contains illegal characters.")


async def test_names_and_namespaces_that_are_too_long(api: Api) -> None:
    await create(api, "x" * 256)
    reply = await api("PUT", f"_/actions/{'x' * 257}", {"exec": CODE})
    assert (reply.status, reply.error) == (400, "Name segement longer than allowed: 257 > 256.")
    reply = await api("GET", f"{'x' * 257}/actions")
    assert (reply.status, reply.error) == (400, "Namespace longer than allowed: 257 > 256.")
    reply = await api("GET", "$/actions")
    assert (reply.status, reply.error) == (400, "The namespace contains illegal characters.")


async def test_an_empty_name_is_unknown(api: Api) -> None:
    for method in ("PUT", "DELETE", "POST"):
        reply = await api(method, "_/actions/", {"exec": CODE})
        assert (reply.status, reply.error) == (404, UNKNOWN)
        assert "access-control-allow-origin" not in reply.headers


async def test_credentials(api: Api) -> None:
    missing = await api("GET", "_/actions", user=None)
    assert missing.status == 401
    assert missing.error == "The resource requires authentication, which was not supplied with the request"
    assert missing.headers["www-authenticate"] == 'Basic realm="OpenWhisk secure realm"'
    assert "access-control-allow-origin" not in missing.headers
    for user in ("23bc46b1-71f6-4ed5-8c54-816aa4f8c509", "nobody"):
        wrong = await api("PUT", "_/actions/$", user=user)
        assert (wrong.status, wrong.error) == (401, "The supplied authentication is invalid")
        assert KEY not in wrong.body.decode()


async def test_an_empty_list(api: Api) -> None:
    for path in ("_/actions", "_/actions/", "guest/actions"):
        reply = await api("GET", path)
        assert (reply.status, reply.json) == (200, [])
        assert CORS.items() <= reply.headers.items()


async def test_lists_have_summaries_newest_first(api: Api) -> None:
    for name in ("a", "b", "c"):
        await create(api, name, parameters=[{"key": "secret", "value": 1}])
    await api("PUT", "_/actions/a?overwrite=true", {"publish": True})
    await create(api, "d", user="other")
    actions = (await api("GET", "_/actions?docs=true&bogus=1")).json
    assert [action["name"] for action in actions] == ["a", "c", "b"]
    assert actions[0] == {
        "namespace": "guest",
        "name": "a",
        "version": "0.0.2",
        "publish": True,
        "annotations": [{"key": "provide-api-key", "value": False}, {"key": "exec", "value": "python:3.11"}],
        "limits": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1},
        "exec": {"binary": False},
        "updated": actions[0]["updated"],
    }
    names = [action["name"] for action in (await api("GET", "_/actions?limit=1&skip=1")).json]
    assert names == ["c"]
    assert (await api("GET", "_/actions?count=true&limit=1")).json == {"actions": 3}
    assert (await api("GET", "_/actions?count=yes&skip=2")).json == {"actions": 1}
    assert (await api("GET", "_/actions?count=1&skip=9")).json == {"actions": 0}


async def test_a_limit_of_0_means_200(api: Api) -> None:
    for number in range(35):
        await create(api, f"a{number}")
    assert len((await api("GET", "_/actions")).json) == 30
    assert len((await api("GET", "_/actions?limit=0")).json) == 35


@pytest.mark.parametrize(
    ("query", "name", "detail"),
    [
        ("limit=201", "limit", "The value '201' is not in the range of 0 to 200 for actions."),
        ("limit=-1", "limit", "The value '-1' is not in the range of 0 to 200 for actions."),
        ("limit=x", "limit", "The value 'x' is not an integer for actions."),
        ("limit=", "limit", "The value '' is not an integer for actions."),
        ("limit=99999999999", "limit", "The value '99999999999' is not an integer for actions."),
        ("skip=-1", "skip", "The value '-1' is not greater than or equal to 0 for actions."),
        ("skip=1.5", "skip", "The value '1.5' is not an integer for actions."),
        ("count=x", "count", "'x' is not a valid Boolean value"),
    ],
)
async def test_malformed_list_queries(api: Api, query: str, name: str, detail: str) -> None:
    reply = await api("GET", f"_/actions?{query}")
    assert (reply.status, reply.error) == (400, f"The query parameter '{name}' was malformed:\n{detail}")


async def test_lists_of_others(api: Api) -> None:
    reply = await api("GET", "other/actions")
    assert (reply.status, reply.error) == (403, DENIED.format("'other'"))
    assert CORS.items() <= reply.headers.items()


async def test_methods_that_are_not_there(api: Api) -> None:
    for method, path, allowed in (
        ("POST", "_/actions", "GET"),
        ("HEAD", "_/actions", "GET"),
        ("PATCH", "_/actions/x", "GET, PUT, DELETE, POST"),
        ("HEAD", "_/actions/x", "GET, PUT, DELETE, POST"),
    ):
        reply = await api(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allowed)
        assert reply.error == f"HTTP method not allowed, supported methods: {allowed}"


@pytest.mark.parametrize("path", ["_/bogus", "_", "_/actions/a/b/c", "_/actions/a/b/", "_/actions//"])
async def test_unknown_paths(api: Api, path: str) -> None:
    reply = await api("GET", path)
    assert (reply.status, reply.error) == (404, UNKNOWN)
    assert (await api("GET", path, user=None)).status == 401
