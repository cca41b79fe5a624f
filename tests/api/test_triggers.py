"""Triggers and rules over REST: triggers-rules.md, and system-tests.md §6, TriggersApiTests and RulesApiTests."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.api.client import Api, Reply
from tests.api.written import pairs, put, told
from upcall.model.activation import Activation
from upcall.model.entities import Rule
from upcall.model.messages import ActivationMessage
from upcall.ports import Query

MISSING = "The requested resource does not exist."
OTHER_KIND = "Resource by this name exists but is not in this collection."
WRAPPER = "The request content was malformed:\n"


async def wire(api: Api, rule: str = "r", trigger: str = "t", action: str = "act") -> Any:
    """A rule from a trigger to an action, all of them the guest's."""
    return await put(api, f"rules/{rule}", trigger=f"/_/{trigger}", action=f"/_/{action}")


async def fire(api: Api, payload: Any = None, trigger: str = "t", **options: Any) -> Reply:
    reply = await api("POST", f"_/triggers/{trigger}", payload, **options)
    assert reply.status == 202, reply.body
    assert reply.headers["x-openwhisk-activation-id"] == reply.json["activationId"]
    return reply


async def record(api: Api, reply: Reply) -> Any:
    """The record of a firing, as REST shows it."""
    while True:
        found = await api("GET", f"_/activations/{reply.json['activationId']}")
        if found.status == 200:
            return found.json
        await asyncio.sleep(0)


def arguments(message: ActivationMessage) -> Any:
    assert isinstance(message.content, msgspec.Raw)
    return msgspec.json.decode(message.content)


async def test_a_trigger_has_exactly_these_members(api: Api) -> None:
    made = await put(api, "triggers/t", parameters=pairs(a=1), annotations=pairs(feed="/whisk.system/alarms/alarm"))
    assert made == {
        "namespace": "guest",
        "name": "t",
        "version": "0.0.1",
        "publish": False,
        "annotations": pairs(feed="/whisk.system/alarms/alarm"),
        "parameters": pairs(a=1),
        "limits": {},
        "updated": api.time,
    }
    assert (await api("GET", "_/triggers/t")).json == made
    listed = (await api("GET", "_/triggers")).json
    assert listed == [{key: value for key, value in made.items() if key not in ("parameters", "limits")}]
    assert (await api("GET", "_/triggers?count=true")).json == {"triggers": 1}
    assert (await api("DELETE", "_/triggers/t")).json == made
    assert told(await api("GET", "_/triggers/t")) == (404, MISSING)
    assert told(await api("POST", "_/triggers/t")) == (404, MISSING)


async def test_an_update_of_a_trigger_replaces_what_it_names(api: Api) -> None:
    await put(api, "actions/act")
    await put(api, "triggers/t", parameters=pairs(a=1, b=2), annotations=pairs(x=1))
    await wire(api)
    assert told(await api("PUT", "_/triggers/t", {})) == (409, "resource already exists")
    changed = await put(api, "triggers/t", update=True, parameters=pairs(c=3))
    assert (changed["parameters"], changed["annotations"], changed["version"]) == (pairs(c=3), pairs(x=1), "0.0.2")
    assert changed["rules"] == {"guest/r": {"action": {"path": "guest", "name": "act"}, "status": "active"}}
    changed = await put(api, "triggers/t", update=True, annotations=pairs(feed=1))
    assert changed["annotations"] == pairs(feed=1)


@pytest.mark.parametrize("feed", [1, "", "/a/b/c/d", "a//b", "$x"])
async def test_a_feed_that_no_action_can_be_called(api: Api, feed: Any) -> None:
    reply = await api("PUT", "_/triggers/t", {"annotations": pairs(feed=feed)})
    assert told(reply) == (400, "Feed name is not valid")


async def test_others_have_no_part_in_triggers_and_rules(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "actions/act")
    await wire(api)
    for collection, name in (("triggers", "t"), ("rules", "r")):
        text = "The supplied authentication is not authorized to access 'guest/{}'."
        for method in ("GET", "PUT", "DELETE", "POST"):
            body = None if method in ("GET", "DELETE") else {"status": "active"}
            reply = await api(method, f"guest/{collection}/{name}", body, user="other")
            assert told(reply) == (403, text.format(name))
        assert (await api("GET", f"guest/{collection}", user="other")).status == 403


async def test_a_firing_without_an_active_rule_leaves_nothing(api: Api) -> None:
    await put(api, "triggers/t")
    reply = await api("POST", "_/triggers/t", {"a": 1})
    assert (reply.status, reply.body) == (204, b"")
    assert "x-openwhisk-activation-id" not in reply.headers
    await put(api, "actions/act")
    await wire(api)
    assert (await api("POST", "_/rules/r", {"status": "inactive"})).status == 200
    assert (await api("POST", "_/triggers/t")).status == 204
    assert await api.store.count(Activation, Query(namespace="guest")) == 0


async def test_a_firing_calls_each_active_rules_action(api: Api) -> None:
    await put(api, "triggers/t", parameters=pairs(a=1, b=1, c=1))
    await put(api, "packages/p", parameters=pairs(d=4))
    for action in ("act", "p/inner", "gone"):
        await put(api, f"actions/{action}", parameters=pairs(c=0, e=5))
        await wire(api, f"to {action.replace('/', ' ')}", action=action)
    await wire(api, "quiet")
    await api("POST", "_/rules/quiet", {"status": "inactive"})
    assert (await api("DELETE", "_/actions/gone")).status == 200
    reply = await fire(api, {"b": 2, "who": "é"}, headers={"X-Mine": "yes", "X-Request-ID": "tid7"})
    messages = {message.action.id: message for message in api.invoker.messages}
    assert messages.keys() == {"guest/act", "guest/p/inner"}
    given = arguments(messages["guest/p/inner"])
    headers = given.pop("__ow_headers")
    assert given == {"a": 1, "b": 2, "c": 1, "d": 4, "e": 5, "who": "é"}
    assert headers["x-mine"] == "yes"
    assert headers["authorization"].startswith("Basic ")
    message = messages["guest/act"]
    assert (message.blocking, message.cause, message.transid[0]) == (False, msgspec.UNSET, "tid7")
    assert len((await record(api, reply))["logs"]) == 4


async def test_the_record_of_a_firing(api: Api) -> None:
    await put(api, "triggers/t", parameters=pairs(a=1))
    for action in ("act", "gone"):
        await put(api, f"actions/{action}")
        await wire(api, f"to {action}", action=action)
    await wire(api, "quiet")
    await api("POST", "_/rules/quiet", {"status": "inactive"})
    assert (await api("DELETE", "_/actions/gone")).status == 200
    reply = await fire(api, {"b": 2, "who": "é"})
    shown = await record(api, reply)
    lines = {line["rule"]: line for line in map(msgspec.json.decode, shown.pop("logs"))}
    assert lines["guest/to act"] == {
        "statusCode": 0,
        "success": True,
        "activationId": api.invoker.messages[0].activation_id,
        "rule": "guest/to act",
        "action": "guest/act",
    }
    assert lines["guest/quiet"] == {
        "statusCode": 1,
        "success": False,
        "rule": "guest/quiet",
        "error": "Rule 'guest/quiet' is inactive, action 'guest/act' was not activated.",
        "action": "guest/act",
    }
    assert (lines["guest/to gone"]["statusCode"], lines["guest/to gone"]["error"]) == (1, MISSING)
    assert len(lines) == 3
    assert shown == {
        "namespace": "guest",
        "name": "t",
        "version": "0.0.1",
        "subject": "guest-subject",
        "activationId": reply.json["activationId"],
        "start": shown["start"],
        "publish": False,
        "annotations": [],
        "response": {"status": "success", "success": True, "result": {"b": 2, "who": "é"}},
    }
    listed = (await api("GET", "_/activations?name=t")).json
    assert not {"end", "duration", "statusCode"} & listed[0].keys() - {"statusCode"}


async def test_a_firing_says_nothing_of_its_own_where_nothing_came_with_it(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "actions/act")
    await wire(api)
    assert (await record(api, await fire(api)))["response"]["result"] == {}
    assert arguments(api.invoker.messages[0]).keys() == {"__ow_headers"}


async def test_what_may_come_with_a_firing(api: Api) -> None:
    await put(api, "triggers/t")
    reply = await api("POST", "_/triggers/t", [1])
    assert told(reply) == (400, f"{WRAPPER}JSON object expected")
    reply = await api("POST", "_/triggers/t", body=b"x", headers={"content-type": "text/plain"})
    assert reply.status == 415
    large = {"a": "x" * (1024 * 1024)}
    assert told(await api("POST", "_/triggers/t", large)) == (
        413,
        "Request larger than allowed: 1048584 > 1048576 bytes.",
    )


async def test_firings_are_limited_and_so_is_what_they_start(api: Api) -> None:
    await put(api, "triggers/t", user="small")
    await put(api, "actions/act", user="small", limits={"memory": 200})
    for rule in ("one", "two"):
        await put(api, f"rules/{rule}", user="small", trigger="/_/t", action="/_/act")
    await fire(api, user="small")
    assert len(api.invoker.messages) == 1
    assert await api.store.count(Activation, Query(namespace="small")) == 0
    await fire(api, user="small")
    assert told(await api("POST", "_/triggers/t", user="small")) == (
        429,
        "Too many requests in the last minute (count: 3, allowed: 2).",
    )
    assert (await api("POST", "_/triggers/none", user="small")).status == 429


async def test_a_rule_has_exactly_these_members(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "packages/p")
    await put(api, "actions/p/act")
    made = await put(api, "rules/r", trigger="guest/t", action={"path": "_/p", "name": "act"}, status="")
    assert made == {
        "namespace": "guest",
        "name": "r",
        "version": "0.0.1",
        "publish": False,
        "annotations": [],
        "status": "active",
        "updated": made["updated"],
        "trigger": {"path": "guest", "name": "t"},
        "action": {"path": "guest/p", "name": "act"},
    }
    assert (await api("GET", "_/rules/r")).json == made
    listed = (await api("GET", "_/rules")).json
    assert listed == [{key: value for key, value in made.items() if key != "status"}]
    assert (await api("GET", "_/rules?count=true")).json == {"rules": 1}
    assert (await api("DELETE", "_/rules/r")).json == {**made, "status": "inactive"}
    assert "rules" not in (await api("GET", "_/triggers/t")).json
    assert told(await api("GET", "_/rules/r")) == (404, MISSING)


async def test_the_state_of_a_rule_is_its_triggers(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "actions/act")
    await wire(api)
    for state in ("inactive", "inactive", "active"):
        reply = await api("POST", "_/rules/r", {"status": state})
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"OK", "text/plain; charset=UTF-8")
        assert (await api("GET", "_/rules/r")).json["status"] == state
    for body, text in (({"status": "on"}, "on"), ({}, "None")):
        assert told(await api("POST", "_/rules/r", body)) == (400, f"{WRAPPER}{text} is not a recognized rule state")
    assert (await api("DELETE", "_/triggers/t")).status == 200
    assert (await api("GET", "_/rules/r")).json["status"] == "inactive"
    gone = (404, "Only rules with existing triggers can be activated")
    assert told(await api("POST", "_/rules/r", {"status": "active"})) == gone
    assert (await api("POST", "_/rules/r", {"status": "inactive"})).status == 200
    await put(api, "triggers/t")
    assert (await api("POST", "_/rules/r", {"status": "active"})).status == 200
    assert (await api("GET", "_/triggers/t")).json["rules"].keys() == {"guest/r"}
    assert (await api("DELETE", "_/triggers/t")).status == 200
    assert (await api("DELETE", "_/rules/r")).status == 200


async def test_an_update_of_a_rule_keeps_its_state_and_moves_it(api: Api) -> None:
    for trigger in ("t", "second"):
        await put(api, f"triggers/{trigger}")
    for action in ("act", "other"):
        await put(api, f"actions/{action}")
    await wire(api)
    assert told(await api("PUT", "_/rules/r", {"trigger": "/_/t", "action": "/_/act"})) == (
        409,
        "resource already exists",
    )
    await api("POST", "_/rules/r", {"status": "inactive"})
    moved = await put(api, "rules/r", update=True, trigger="/_/second", annotations=pairs(a=1))
    assert (moved["status"], moved["version"], moved["annotations"]) == ("inactive", "0.0.2", pairs(a=1))
    assert "rules" not in (await api("GET", "_/triggers/t")).json
    changed = await put(api, "rules/r", update=True, action="/_/other")
    assert (changed["status"], changed["annotations"]) == ("inactive", pairs(a=1))
    linked = (await api("GET", "_/triggers/second")).json["rules"]
    assert linked == {"guest/r": {"action": {"path": "guest", "name": "other"}, "status": "inactive"}}


async def test_what_a_rule_may_name(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "actions/act")
    await put(api, "packages/shared", "other", publish=True)
    await put(api, "packages/private", "other")
    await put(api, "actions/shared/act", "other")
    await put(api, "packages/b", binding={"namespace": "other", "name": "shared"})

    async def refused(**body: Any) -> tuple[int, str]:
        return told(await api("PUT", "_/rules/r", body))

    incomplete = (400, "rule requires a valid trigger and a valid action")
    assert await refused(trigger="/_/t") == incomplete
    assert await refused(action="/_/act") == incomplete
    assert await refused(trigger="/_/none", action="/_/act") == (400, "trigger /guest/none does not exist")
    assert await refused(trigger="/_/t", action="/_/none") == (400, "action /guest/none does not exist")
    assert await refused(trigger="/_/t", action="/_/no/act") == (400, "action /guest/no/act does not exist")
    short = "The fully qualified name of the entity must contain at least the namespace and the name of the entity."
    assert await refused(trigger="t", action="/_/act") == (400, f"{WRAPPER}requirement failed: {short}")
    assert await refused(trigger="/_/t", action=1) == (400, f"{WRAPPER}fully qualified name malformed")
    denied = "The supplied authentication is not authorized to access '{}'."
    assert await refused(trigger="/other/t", action="/_/act") == (403, denied.format("other/t"))
    assert await refused(trigger="/_/t", action="/other/private/act") == (403, denied.format("other/private"))
    for rule, action in (("direct", "/other/shared/act"), ("bound", "/_/b/act")):
        await put(api, f"rules/{rule}", trigger="/_/t", action=action)
    assert (await api("GET", "_/rules/bound")).json["action"] == {"path": "guest/b", "name": "act"}
    await fire(api)
    assert {(message.action.id, message.action.binding) for message in api.invoker.messages} == {
        ("other/shared/act", None),
        ("other/shared/act", "guest/b"),
    }


async def test_names_of_other_kinds(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "actions/act")
    await wire(api)
    for path in ("triggers/act", "triggers/r", "rules/t", "rules/act", "actions/t", "packages/r"):
        assert told(await api("GET", f"_/{path}")) == (409, OTHER_KIND)
    assert told(await api("PUT", "_/rules/t", {"trigger": "/_/t", "action": "/_/act"})) == (409, OTHER_KIND)
    assert told(await api("POST", "_/triggers/act")) == (409, OTHER_KIND)
    assert (await api("GET", "_/triggers/t/x")).status == 404


async def test_rules_that_are_made_at_once_are_all_linked(api: Api) -> None:
    await put(api, "triggers/t")
    await put(api, "actions/act")
    await asyncio.gather(*(wire(api, f"r{number}") for number in range(5)))
    assert len((await api("GET", "_/triggers/t")).json["rules"]) == 5
    assert await api.store.count(Rule, Query(namespace="guest")) == 5
