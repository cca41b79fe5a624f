"""Conductors: sequences-conductors.md §3."""

from typing import Any

import pytest

from tests.api.client import Api
from tests.api.composing import annotations, answers, invoke, record
from tests.api.written import put
from upcall.controller import compose

CONDUCTOR = [{"key": "conductor", "value": True}]


async def conductor(api: Api, name: str = "c", **body: Any) -> None:
    await put(api, f"actions/{name}", annotations=CONDUCTOR, **body)


def steps(*said: Any) -> Any:
    """A conductor that says one after the other, whatever it is told."""
    left = list(said)
    return lambda arguments: left.pop(0)


async def test_a_conductor_that_names_nothing_ends_at_once(api: Api) -> None:
    await conductor(api)
    for said, result in (({"n": 1}, {"n": 1}), ({"params": {"n": 2}, "x": 1}, {"n": 2}), ({"params": 3}, {"value": 3})):
        answers(api, c=said)
        shown = await invoke(api, "c")
        assert shown["response"] == {"status": "success", "success": True, "result": result}
        assert shown["logs"] == [api.invoker.messages[0].activation_id]
        found = annotations(shown)
        assert (found["conductor"], found["topmost"], found["kind"]) == (True, True, "sequence")
        assert api.invoker.messages[0].cause == shown["activationId"]


@pytest.mark.parametrize("value", [False, 0, "", None])
async def test_an_action_that_is_no_conductor(api: Api, value: Any) -> None:
    await put(api, "actions/c", annotations=[{"key": "conductor", "value": value}])
    plan = await api.parts.resolver.plan(await api.identity(), "guest", "c")
    assert not plan.composed


@pytest.mark.parametrize("value", [True, 1, "no", {}, []])
async def test_what_makes_an_action_a_conductor(api: Api, value: Any) -> None:
    await put(api, "actions/c", annotations=[{"key": "conductor", "value": value}])
    plan = await api.parts.resolver.plan(await api.identity(), "guest", "c")
    assert plan.conductor


async def test_components_and_state(api: Api) -> None:
    await conductor(api, parameters=[{"key": "d", "value": "default"}])
    await put(api, "packages/p")
    await put(api, "actions/p/a", parameters=[{"key": "x", "value": "of a"}], limits={"memory": 512})
    said = steps(
        {"action": "p/a", "params": {"n": 1}, "state": {"step": 1, "n": "state wins"}},
        {"action": "/_/p/a", "state": 5},
        {"params": {"end": True}},
    )
    came = answers(api, c=said, a={"n": 2})
    shown = await invoke(api, "c", {"first": 1})
    assert came == [
        ("guest/c", {"d": "default", "first": 1}),
        ("guest/p/a", {"x": "of a", "n": 1}),
        ("guest/c", {"d": "default", "n": "state wins", "step": 1}),
        ("guest/p/a", {"x": "of a"}),
        ("guest/c", {"d": "default", "n": 2, "state": 5}),
    ]
    assert shown["response"]["result"] == {"end": True}
    assert shown["logs"] == [message.activation_id for message in api.invoker.messages]
    assert {message.cause for message in api.invoker.messages} == {shown["activationId"]}
    assert annotations(shown)["limits"] == {"timeout": 60000, "memory": 512, "logs": 10, "concurrency": 1}
    assert shown["duration"] == 150


async def test_an_error_of_a_component_goes_to_the_conductor_and_its_own_ends_it(api: Api) -> None:
    await conductor(api)
    await put(api, "actions/a")
    came = answers(api, c=steps({"action": "a"}, {"params": {"handled": True}}), a=(2, {"error": "died"}))
    assert (await invoke(api, "c"))["response"]["result"] == {"handled": True}
    assert came[-1] == ("guest/c", {"error": "died"})
    for status in (1, 2, 3):
        answers(api, c=(status, {"error": "mine"}))
        shown = await invoke(api, "c")
        assert (shown["response"]["success"], shown["response"]["result"]) == (False, {"error": "mine"})


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (1, "Failed to parse action name from json value 1 during composition."),
        ("/x", 'Failed to parse action name from json value "/x" during composition.'),
        ("a/b/c/d", 'Failed to parse action name from json value "a/b/c/d" during composition.'),
        ("none", "Failed to resolve action with name 'guest/none' during composition."),
        ("p/none", "Failed to resolve action with name 'guest/p/none' during composition."),
        ("/other/x", "Failed entitlement check for action with name 'other/x' during composition."),
    ],
)
async def test_what_cannot_be_called_is_told_to_the_conductor(api: Api, action: Any, text: str) -> None:
    await conductor(api)
    came = answers(api, c=steps({"action": action, "state": {"s": 1}}, {"over": 1}))
    shown = await invoke(api, "c")
    assert came[1] == ("guest/c", {"error": text, "s": 1})
    assert len(shown["logs"]) == 2


async def test_too_many_components_are_told_and_too_many_calls_end_it(api: Api) -> None:
    await conductor(api)
    await put(api, "actions/a")
    came = answers(api, c={"action": "a"}, a={})
    shown = await invoke(api, "c")
    text = "Too many actions in the composition."
    assert shown["response"] == {"status": "application error", "success": False, "result": {"error": text}}
    names = [name for name, _ in came]
    assert (names.count("guest/a"), names.count("guest/c")) == (50, 101)
    assert came[-1] == ("guest/c", {"error": text})


async def test_a_composition_in_a_composition_shares_its_limit(api: Api) -> None:
    for name in ("c", "inner"):
        await conductor(api, name)
    await put(api, "actions/a")
    came = answers(
        api, c=steps({"action": "inner"}, {"done": 1}), inner=steps({"action": "a"}, {"params": {"n": 1}}), a={"n": 0}
    )
    shown = await invoke(api, "c")
    assert [name for name, _ in came] == ["guest/c", "guest/inner", "guest/a", "guest/inner", "guest/c"]
    assert len(shown["logs"]) == 3
    nested = await record(api, shown["logs"][1])
    assert (nested["cause"], len(nested["logs"])) == (shown["activationId"], 3)
    found = annotations(nested)
    assert (found["topmost"], found["causedBy"], found["conductor"]) == (False, "sequence", True)
    assert came[-1] == ("guest/c", {"n": 1})


async def test_compositions_that_call_themselves_come_to_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "MOST", 500)
    await conductor(api)
    await put(api, "actions/s", exec={"kind": "sequence", "components": ["/_/c"]})
    for action in ("c", "s"):
        came = answers(api, c={"action": action})
        shown = await invoke(api, "c")
        text = "Too many actions in the composition."
        assert shown["response"] == {"status": "application error", "success": False, "result": {"error": text}}
        assert 50 < len(came) <= 500


async def test_sequences_in_compositions_and_compositions_in_sequences(api: Api) -> None:
    await conductor(api)
    await put(api, "actions/a")
    await put(api, "actions/s", exec={"kind": "sequence", "components": ["/_/a", "/_/a"]})
    await put(api, "actions/t", exec={"kind": "sequence", "components": ["/_/c", "/_/a"]})
    came = answers(api, c=steps({"action": "s"}, {"n": 1}), a=lambda given: {"a": given.get("a", 0) + 1})
    shown = await invoke(api, "t")
    assert [name for name, _ in came] == ["guest/c", "guest/a", "guest/a", "guest/c", "guest/a"]
    assert came[3] == ("guest/c", {"a": 2})
    assert shown["response"]["result"] == {"a": 1}
    inner = await record(api, shown["logs"][0])
    assert annotations(inner)["conductor"] is True
    assert annotations(await record(api, inner["logs"][1]))["kind"] == "sequence"


async def test_arrays_are_boxed_for_the_conductor_and_its_own_is_the_end(api: Api) -> None:
    await conductor(api)
    await put(api, "actions/a")
    came = answers(api, c=steps({"action": "a"}, [1, 2]), a=[3])
    shown = await invoke(api, "c")
    assert came[-1] == ("guest/c", {"value": [3]})
    assert shown["response"]["result"] == [1, 2]
