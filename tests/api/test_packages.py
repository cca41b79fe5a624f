"""Packages and bindings over REST: system-tests.md §6, PackagesApiTests and PackageActionsApiTests."""

from typing import Any

import pytest

from tests.api.client import Api
from tests.api.written import CODE, pairs, put, told
from upcall.controller.call import Policy
from upcall.model.entities import Package

DENIED = "The supplied authentication is not authorized to access '{}'."
MISSING = "The requested resource does not exist."
OTHER_KIND = "Resource by this name exists but is not in this collection."


async def test_a_package_has_exactly_these_members(api: Api) -> None:
    made = await put(api, "packages/p", parameters=pairs(a=1), annotations=pairs(binding="mine", b=2), publish=True)
    assert made == {
        "namespace": "guest",
        "name": "p",
        "version": "0.0.1",
        "publish": True,
        "annotations": pairs(b=2),
        "parameters": pairs(a=1),
        "binding": {},
        "updated": api.time,
    }
    assert (await api("GET", "_/packages/p")).json == {**made, "actions": [], "feeds": []}
    assert (await api("DELETE", "_/packages/p")).json == made
    assert told(await api("GET", "_/packages/p")) == (404, "The requested resource 'guest/p' does not exist.")
    assert told(await api("DELETE", "_/packages/p")) == (404, MISSING)


async def test_an_update_replaces_what_it_names_and_keeps_the_rest(api: Api) -> None:
    await put(api, "packages/p", parameters=pairs(a=1, b=2), annotations=pairs(x=1), publish=True)
    assert told(await api("PUT", "_/packages/p", {})) == (409, "resource already exists")
    changed = await put(api, "packages/p", update=True, parameters=pairs(c=3))
    assert (changed["parameters"], changed["annotations"]) == (pairs(c=3), pairs(x=1))
    assert (changed["version"], changed["publish"]) == ("0.0.2", True)
    changed = await put(api, "packages/p", update=True, annotations=[], version="2", publish=False)
    assert (changed["annotations"], changed["version"], changed["publish"]) == ([], "2.0.0", False)


async def test_a_package_shows_its_actions_and_feeds(api: Api) -> None:
    await put(api, "packages/p")
    await put(api, "actions/p/plain")
    await put(api, "actions/p/every", annotations=pairs(feed=False))
    await put(api, "actions/outside")
    shown = (await api("GET", "_/packages/p")).json
    assert [(each["name"], each["version"]) for each in shown["actions"]] == [("plain", "0.0.1")]
    assert [each["name"] for each in shown["feeds"]] == ["every"]
    assert {"key": "feed", "value": False} in shown["feeds"][0]["annotations"]
    listed = (await api("GET", "_/actions/p/")).json
    assert {each["name"] for each in listed} == {"plain", "every"}
    assert {each["namespace"] for each in listed} == {"guest/p"}
    assert (await api("GET", "_/actions/p/?count=true")).json == {"actions": 2}
    assert {each["name"] for each in (await api("GET", "_/actions")).json} == {"plain", "every", "outside"}
    assert told(await api("GET", "_/actions/p")) == (409, OTHER_KIND)
    assert (await api("POST", "_/actions/p/")).status == 404


async def test_a_package_with_actions_goes_only_by_force(api: Api) -> None:
    await put(api, "packages/p")
    await put(api, "actions/p/a")
    text = "Package not empty (contains {}). Set force param or delete package contents."
    assert told(await api("DELETE", "_/packages/p")) == (409, text.format("1 entity"))
    await put(api, "actions/p/b")
    assert told(await api("DELETE", "_/packages/p?force=no")) == (409, text.format("2 entities"))
    assert (await api("DELETE", "_/packages/p?force=true")).status == 200
    assert (await api("GET", "_/actions")).json == []


async def test_a_binding_shows_what_it_stands_for(api: Api) -> None:
    await put(api, "packages/p", "other", publish=True, parameters=pairs(a=1, b=1))
    await put(api, "actions/p/act", "other", parameters=pairs(c=3))
    made = await put(api, "packages/b", binding={"namespace": "other", "name": "p"}, parameters=pairs(b=2))
    assert made["binding"] == {"namespace": "other", "name": "p"}
    assert made["annotations"] == pairs(binding={"name": "p", "namespace": "other"})
    assert made["parameters"] == pairs(b=2)
    shown = (await api("GET", "_/packages/b")).json
    assert (shown["namespace"], shown["name"]) == ("guest", "b")
    assert {each["key"]: each["value"] for each in shown["parameters"]} == {"a": 1, "b": 2}
    assert [each["name"] for each in shown["actions"]] == ["act"]
    action = (await api("GET", "_/actions/b/act")).json
    assert (action["namespace"], action["name"]) == ("other/p", "act")
    assert {each["key"]: each["value"] for each in action["parameters"]} == {"a": 1, "b": 2, "c": 3}
    assert [each["namespace"] for each in (await api("GET", "_/actions/b/")).json] == ["other/p"]
    assert (await api("DELETE", "_/packages/p?force=true", user="other")).status == 200
    assert told(await api("GET", "_/packages/b")) == (403, DENIED.format("guest/b"))
    assert told(await api("GET", "_/actions/b/act")) == (403, DENIED.format("guest/b"))
    assert (await api("DELETE", "_/packages/b")).status == 200


async def test_what_a_binding_may_stand_for(api: Api) -> None:
    async def bind(namespace: str, name: str, to: str = "new", update: bool = False) -> tuple[int, str]:
        body = {"binding": {"namespace": namespace, "name": name}}
        return told(await api("PUT", f"_/packages/{to}?overwrite={str(update).lower()}", body))

    await put(api, "packages/private", "other")
    await put(api, "packages/own")
    await put(api, "actions/act")
    await put(api, "packages/b", binding={"namespace": "_", "name": "own"})
    await put(api, "packages/theirs", "other", binding={"namespace": "_", "name": "private"}, publish=True)
    assert await bind("other", "private") == (403, DENIED.format("other/private"))
    assert await bind("other", "none") == (403, DENIED.format("other/none"))
    assert await bind("other", "theirs") == (403, DENIED.format("other/theirs"))
    assert await bind("_", "none") == (400, "Binding references a package that does not exist.")
    assert await bind("_", "new") == (400, "Binding references a package that does not exist.")
    assert await bind("_", "act") == (409, "Cannot bind to a resource that is not a package.")
    assert await bind("_", "b") == (400, "Cannot bind to another package binding.")
    assert await bind("_", "b", to="b", update=True) == (400, "Cannot bind to another package binding.")
    refused = (409, "Resource is a package and cannot be converted into a binding.")
    await put(api, "packages/second")
    assert await bind("_", "own", to="second", update=True) == refused
    assert (await put(api, "packages/b", update=True, binding={}))["binding"] == {"namespace": "guest", "name": "own"}
    moved = await put(api, "packages/b", update=True, binding={"namespace": "guest", "name": "second"})
    assert moved["annotations"] == pairs(binding={"name": "second", "namespace": "guest"})


async def test_a_binding_that_leads_back_to_itself_is_told(api: Api) -> None:
    await put(api, "packages/own")
    await put(api, "packages/b", binding={"namespace": "_", "name": "own"})
    assert (await api("DELETE", "_/packages/own")).status == 200
    stored = await api.store.get(Package, "guest/b")
    assert isinstance(stored.doc, Package)
    stored.doc.name = "own"
    await api.store.put(stored.doc)
    text = "Package binding 'guest/b' contains a circular reference."
    assert told(await api("GET", "_/packages/b")) == (422, text)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ([], 400, "Object expected in field 'binding'"),
        ({"binding": 1}, 400, "Object expected in field 'namespace'"),
        ({"binding": {"namespace": "x"}}, 400, "Object is missing required member 'name'"),
        ({"binding": {"namespace": "$", "name": "x"}}, 400, "The namespace contains illegal characters."),
        ({"parameters": {}}, 400, "parameters malformed!"),
    ],
)
async def test_a_body_that_cannot_be_read(api: Api, body: Any, status: int, text: str) -> None:
    assert told(await api("PUT", "_/packages/p", body)) == (status, f"The request content was malformed:\n{text}")


async def test_sizes_and_names_that_may_not_be(api: Api) -> None:
    large = pairs(a="x" * (1024 * 1024))
    for member in ("parameters", "annotations"):
        reply = await api("PUT", "_/packages/p", {member: large})
        assert told(reply) == (413, f"{member} larger than allowed: 1048579 > 1500 bytes.")
    assert told(await api("PUT", "_/packages/default", {})) == (400, "Package name 'default' is reserved.")
    assert (await api("DELETE", "_/packages/default")).status == 404
    await put(api, "actions/act")
    for method in ("GET", "PUT", "DELETE"):
        assert told(await api(method, "_/packages/act", {} if method == "PUT" else None)) == (409, OTHER_KIND)
    assert (await api("POST", "_/packages/p", {})).status == 405


async def test_actions_are_written_in_packages_and_not_in_bindings(api: Api) -> None:
    body = {"exec": CODE}
    assert told(await api("PUT", "_/actions/p/a", body)) == (404, MISSING)
    assert told(await api("DELETE", "_/actions/p/a")) == (404, MISSING)
    await put(api, "packages/p")
    await put(api, "packages/b", binding={"namespace": "_", "name": "p"})
    assert told(await api("DELETE", "_/actions/p/a")) == (404, MISSING)
    assert (await put(api, "actions/p/a"))["namespace"] == "guest/p"
    refused = (400, "Operation not permitted on package binding.")
    assert told(await api("PUT", "_/actions/b/a", body)) == refused
    assert (await api("DELETE", "_/packages/p?force=true")).status == 200
    assert told(await api("DELETE", "_/actions/b/a")) == refused
    await put(api, "actions/act")
    assert told(await api("PUT", "_/actions/act/a", body)) == (409, OTHER_KIND)


async def test_others_reach_what_is_published_and_learn_nothing_else(api: Api) -> None:
    await put(api, "packages/shared", publish=True)
    await put(api, "packages/private")
    await put(api, "packages/bound", binding={"namespace": "_", "name": "shared"}, publish=True)
    for package in ("shared", "private"):
        await put(api, f"actions/{package}/a")
    assert [each["name"] for each in (await api("GET", "guest/packages", user="other")).json] == ["shared"]
    assert (await api("GET", "guest/packages?count=true", user="other")).json == {"packages": 1}
    assert (await api("GET", "nobody/packages", user="other")).json == []
    listed = {each["name"]: each["binding"] for each in (await api("GET", "_/packages?public=true")).json}
    assert listed == {"shared": False, "private": False, "bound": {"namespace": "guest", "name": "shared"}}
    assert (await api("GET", "_/packages?limit=1&skip=2")).json[0]["name"] == "shared"
    assert (await api("GET", "guest/actions/shared/a", user="other")).status == 200
    assert (await api("GET", "guest/actions/shared/", user="other")).status == 200
    for package in ("private", "bound", "none"):
        refused = (403, DENIED.format(f"guest/{package}"))
        assert told(await api("GET", f"guest/packages/{package}", user="other")) == refused
        assert told(await api("GET", f"guest/actions/{package}/a", user="other")) == refused
        assert told(await api("GET", f"guest/actions/{package}/", user="other")) == refused
    for method in ("PUT", "DELETE"):
        reply = await api(method, "guest/actions/shared/a", {} if method == "PUT" else None, user="other")
        assert told(reply) == (403, DENIED.format("guest/shared"))
        reply = await api(method, "guest/packages/shared", {} if method == "PUT" else None, user="other")
        assert told(reply) == (403, DENIED.format("guest/shared"))


async def test_what_others_share_may_be_for_calls_alone(api: Api) -> None:
    await put(api, "packages/p", publish=True)
    await put(api, "actions/p/a")
    await put(api, "packages/b", "other", binding={"namespace": "guest", "name": "p"})
    strict = Api(api.store, policy=Policy(execute_only=True))
    why = "GET not permitted for "
    for path, text in (
        ("guest/packages/p", f"{why}'guest/p' since it's a shared package"),
        ("_/packages/b", "GET not permitted since b is a binding of a shared package"),
        ("guest/actions/p/a", f"{why}'guest/p' since it's an action in a shared package"),
        ("_/actions/b/a", f"{why}'other/b/a'. Resource does not exist or is an action in a shared package binding."),
    ):
        assert told(await strict("GET", path, user="other")) == (403, text)
    for path in ("_/packages/p", "_/actions/p/a"):
        assert (await strict("GET", path)).status == 200
    identity = await api.identity("other")
    assert (await strict.parts.resolver.plan(identity, "other/b", "a")).name.id == "guest/p/a"


async def test_what_is_made_private_is_gone_for_others_at_once(api: Api) -> None:
    await put(api, "packages/p", publish=True)
    await put(api, "actions/p/a")
    await put(api, "packages/b", "other", binding={"namespace": "guest", "name": "p"})
    assert (await api("GET", "_/actions/b/a", user="other")).status == 200
    await put(api, "packages/p", update=True, publish=False)
    assert told(await api("GET", "_/actions/b/a", user="other")) == (403, DENIED.format("other/b"))
