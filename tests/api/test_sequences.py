"""Sequences: sequences-conductors.md §1, §2."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.api.client import Api
from tests.api.composing import annotations, answers, invoke, record
from tests.api.written import put, told
from upcall.errors import Forbidden, Unavailable
from upcall.model.activation import Response
from upcall.model.entities import Action

WRAPPER = "The request content was malformed:\n"
DENIED = "The supplied authentication is not authorized to access {}."


def sequence(*components: str) -> dict[str, Any]:
    return {"exec": {"kind": "sequence", "components": list(components)}}


async def test_a_sequence_has_exactly_these_members(api: Api) -> None:
    await put(api, "actions/a")
    made = await put(
        api, "actions/s", **sequence("/_/a", "guest/a"), parameters=[{"key": "x", "value": 1}], limits={"timeout": 1000}
    )
    assert made == {
        "namespace": "guest",
        "name": "s",
        "version": "0.0.1",
        "publish": False,
        "exec": {"kind": "sequence", "components": ["/guest/a", "/guest/a"]},
        "parameters": [{"key": "_actions", "value": ["/guest/a", "/guest/a"]}],
        "limits": {"timeout": 1000, "memory": 256, "logs": 10, "concurrency": 1},
        "annotations": [{"key": "provide-api-key", "value": False}, {"key": "exec", "value": "sequence"}],
        "updated": api.time,
    }
    for query in ("", "?code=false"):
        assert (await api("GET", f"_/actions/s{query}")).json == made
    changed = await put(api, "actions/s", update=True, annotations=[{"key": "y", "value": 1}], delAnnotations=["exec"])
    assert changed["parameters"] == made["parameters"]
    code = {"kind": "python:3.11", "code": "x"}
    assert (await put(api, "actions/s", update=True, exec=code))["parameters"] == []
    assert (await put(api, "actions/a", update=True, **sequence("/_/s")))["exec"]["kind"] == "sequence"


@pytest.mark.parametrize(
    ("exec_", "text"),
    [
        ({}, "'components' must be defined for sequence kind"),
        ({"components": "a"}, "'components' must be an array"),
        (
            {"components": ["a"]},
            "requirement failed: The fully qualified name of the entity must contain at least the namespace and the "
            "name of the entity.",
        ),
        ({"components": [1]}, "fully qualified name malformed"),
        ({"components": ["/_/$"]}, "The name of the entity contains illegal characters."),
    ],
)
async def test_components_that_cannot_be_read(api: Api, exec_: dict[str, Any], text: str) -> None:
    reply = await api("PUT", "_/actions/s", {"exec": {"kind": "sequence", **exec_}})
    assert told(reply) == (400, WRAPPER + text)


async def test_what_a_sequence_may_call(api: Api) -> None:
    async def refused(name: str, *components: str, update: bool = False) -> tuple[int, str]:
        return told(await api("PUT", f"_/actions/{name}?overwrite={str(update).lower()}", sequence(*components)))

    for name in ("a", "b"):
        await put(api, f"actions/{name}")
    assert await refused("s") == (400, "No component specified for the sequence.")
    assert await refused("s", "/_/none") == (400, "Sequence component does not exist.")
    assert await refused("s", "/_/p/none") == (400, "Sequence component does not exist.")
    assert await refused("s", "/_/s") == (400, "Sequence may not refer to itself.")
    denied = DENIED.format("'other/p', 'other/x'")
    assert await refused("s", "/other/x", "/_/a", "/other/p/y") == (403, denied)
    assert await refused("s", *["/_/a"] * 51) == (400, "Too many actions in the sequence.")
    await put(api, "actions/ten", **sequence(*["/_/a"] * 10))
    await put(api, "actions/fifty", **sequence(*["/_/ten"] * 5))
    assert await refused("s", "/_/fifty", "/_/a") == (400, "Too many actions in the sequence.")
    await put(api, "actions/inner", **sequence("/_/a"))
    await put(api, "actions/outer", **sequence("/_/inner"))
    assert await refused("inner", "/_/outer", update=True) == (400, "Sequence may not refer to itself.")
    await put(api, "packages/p")
    await put(api, "packages/bound", binding={"namespace": "_", "name": "p"})
    await put(api, "actions/p/x")
    assert await refused("p/x", "/_/bound/x", update=True) == (400, "Sequence may not refer to itself.")


async def test_each_component_gets_what_the_one_before_came_to(api: Api) -> None:
    await put(api, "packages/p", parameters=[{"key": "q", "value": "of p"}])
    await put(api, "actions/a", parameters=[{"key": "x", "value": "of a"}])
    await put(api, "actions/p/b", parameters=[{"key": "x", "value": "of b"}], limits={"memory": 512})
    await put(api, "actions/p/s", **sequence("/_/a", "/_/p/b"), parameters=[{"key": "z", "value": "of s"}])
    given = answers(api, a={"y": 1}, b={"n": 2})
    shown = await invoke(api, "p/s", {"x": "of the call", "error": "no error yet"}, path="guest/p", name="s")
    assert given == [
        ("guest/a", {"x": "of the call", "error": "no error yet"}),
        ("guest/p/b", {"q": "of p", "x": "of b", "y": 1}),
    ]
    assert shown["response"] == {"status": "success", "success": True, "result": {"n": 2}}
    first, second = api.invoker.messages
    assert (first.cause, second.cause) == (shown["activationId"], shown["activationId"])
    assert first.transid[0] != second.transid[0]
    assert shown["logs"] == [first.activation_id, second.activation_id]
    assert shown["duration"] == 60
    assert "cause" not in shown
    found = annotations(shown)
    assert (found["topmost"], found["kind"], found["path"]) == (True, "sequence", "guest/p/s")
    assert found["limits"] == {"timeout": 60000, "memory": 512, "logs": 10, "concurrency": 1}
    assert found["waitTime"] >= 0
    assert not {"causedBy", "conductor", "binding"} & found.keys()


@pytest.mark.parametrize(
    ("result", "given"), [(b"[1,2]", [1, 2]), (b"7", {"x": 1}), (b'{"x":2}', {"x": 2}), (b"null", {"x": 1})]
)
async def test_results_of_all_shapes_go_on(api: Api, result: bytes, given: Any) -> None:
    await put(api, "actions/a")
    await put(api, "actions/b", parameters=[{"key": "x", "value": 1}])
    await put(api, "actions/s", **sequence("/_/a", "/_/b"))
    came = answers(api, a=result, b={})
    await invoke(api, "s")
    assert came[1] == ("guest/b", given)


async def test_an_error_ends_it_with_its_own_response(api: Api) -> None:
    for name in ("a", "b"):
        await put(api, f"actions/{name}")
    await put(api, "actions/s", **sequence("/_/a", "/_/b"))
    for status, word in ((1, "application error"), (2, "action developer error"), (3, "whisk internal error")):
        came = answers(api, a=(status, {"error": "no"}))
        shown = await invoke(api, "s")
        assert len(came) == 1
        assert shown["response"] == {"status": word, "success": False, "result": {"error": "no"}}
    answers(api, a={"error": "in a success"})
    assert (await invoke(api, "s"))["logs"] == [api.invoker.messages[-1].activation_id]


async def test_a_sequence_in_a_sequence_has_a_record_of_its_own(api: Api) -> None:
    for name in ("a", "b", "c"):
        await put(api, f"actions/{name}")
    await put(api, "actions/t", **sequence("/_/b", "/_/c"))
    await put(api, "actions/s", **sequence("/_/a", "/_/t"))
    answers(api, a={}, b={}, c={"done": 1})
    shown = await invoke(api, "s")
    a, b, c = api.invoker.messages
    inner = await record(api, shown["logs"][1])
    assert shown["logs"] == [a.activation_id, inner["activationId"]]
    assert (inner["cause"], inner["logs"]) == (shown["activationId"], [b.activation_id, c.activation_id])
    assert (a.cause, b.cause, c.cause) == (shown["activationId"], inner["activationId"], inner["activationId"])
    found = annotations(inner)
    assert (found["topmost"], found["causedBy"]) == (False, "sequence")
    assert shown["duration"] == 90
    assert shown["response"]["result"] == {"done": 1}


async def test_what_is_gone_by_the_time_is_told_when_its_turn_comes(api: Api) -> None:
    for name in ("a", "b"):
        await put(api, f"actions/{name}")
    await put(api, "actions/s", **sequence("/_/a", "/_/b"))
    assert (await api("DELETE", "_/actions/b")).status == 200
    came = answers(api, a={})
    shown = await invoke(api, "s")
    assert len(came) == 1
    text = "Sequence component does not exist."
    assert shown["response"] == {"status": "application error", "success": False, "result": {"error": text}}


async def test_the_limit_holds_for_all_that_runs(api: Api) -> None:
    """An inner sequence that was made longer behind the outer one's back."""
    await put(api, "actions/a")
    await put(api, "actions/inner", **sequence("/_/a"))
    await put(api, "actions/s", **sequence("/_/a", "/_/inner"))
    await put(api, "actions/inner", update=True, **sequence(*["/_/a"] * 50))
    answers(api, a={})
    shown = await invoke(api, "s")
    assert shown["response"]["result"] == {"error": "Too many actions in the sequence."}
    assert len((await record(api, shown["logs"][1]))["logs"]) == 49


async def test_what_is_made_private_ends_a_sequence_over_it_at_once(api: Api) -> None:
    await put(api, "packages/p", "other", publish=True)
    await put(api, "actions/p/a", "other")
    await put(api, "actions/s", **sequence("/other/p/a"))
    answers(api, a={"n": 1})
    assert (await invoke(api, "s"))["response"]["result"] == {"n": 1}
    assert api.invoker.messages[0].user.namespace.name == "guest"
    await put(api, "packages/p", "other", update=True, publish=False)
    with pytest.raises(Forbidden, match="'other/p'"):
        await invoke(api, "s")


async def test_whoever_waits_no_longer_is_told_the_id_and_it_goes_on(api: Api) -> None:
    await put(api, "actions/a")
    await put(api, "actions/s", **sequence("/_/a", "/_/a"))
    api.invoker.answer = lambda message: None
    id, activation = await invoke_for(api, 0.01)
    assert activation is None
    for number in range(2):
        message = await api.invoker.message(number)
        api.invoker.finish(message, answered(message))
    assert len((await record(api, id))["logs"]) == 2


async def invoke_for(api: Api, wait: float) -> tuple[str, Any]:
    identity = await api.identity()
    plan = await api.parts.resolver.plan(identity, "guest", "s")
    return await api.parts.starter.call(identity, plan, (msgspec.Raw(b"{}"), {}), "tid", wait)


def answered(message: Any) -> Any:
    return Response(0, message.content)


async def test_a_component_without_a_record_ends_it(api: Api) -> None:
    await put(api, "actions/a")
    await put(api, "actions/s", **sequence("/_/a", "/_/a"))
    api.invoker.answer = lambda message: None
    running = asyncio.create_task(invoke(api, "s"))
    message = await api.invoker.message(0)
    entry = api.acks._entries[message.activation_id]
    api.acks.resolve(entry, None)
    shown = await running
    text = f"Timeout reached when retrieving activation {message.activation_id} for sequence component."
    assert shown["response"] == {"status": "whisk internal error", "success": False, "result": {"error": text}}


async def test_a_component_that_no_invoker_takes_ends_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(api, "actions/a")
    await put(api, "actions/s", **sequence("/_/a"))

    def refuse(job: object) -> int:
        raise Unavailable("no Invoker")

    monkeypatch.setattr(api.fleet, "publish", refuse)
    shown = await invoke(api, "s")
    assert shown["response"]["result"] == {"error": "Sequence failed."}
    assert (await api.store.get(Action, "guest/s")).rev
