"""Bodies of /init and /run (spec: container.md §2)."""

import msgspec
import pytest
from msgspec import UNSET, Raw, UnsetType

from upcall.core.run import LARGE, context_of, env_text, init_body, is_large, recipe_of, run_body, transaction_id
from upcall.model.documents import KeyValue
from upcall.model.entities import Action
from upcall.model.messages import ActivationMessage
from upcall.model.names import Json
from upcall.testing import a_message, an_action, an_identity

DEADLINE = 1_764_000_060_250


def run_of(action: Action, message: ActivationMessage) -> Json:
    recipe = recipe_of(action)
    return msgspec.json.decode(run_body(recipe, context_of(recipe, message), message, DEADLINE))


def init_of(action: Action, message: ActivationMessage) -> Json:
    recipe = recipe_of(action)
    return msgspec.json.decode(init_body(recipe, context_of(recipe, message), message, DEADLINE, action))


def test_the_body_of_run_is_upstreams() -> None:
    action = an_action("greet", namespace="guest/utils", version="0.0.3", annotations={"provide-api-key": True})
    message = a_message(action, content={"name": "Ada"}, user=an_identity("caller"))
    assert run_of(action, message) == {
        "value": {"name": "Ada"},
        "namespace": "caller",
        "action_name": "/guest/utils/greet",
        "action_version": "0.0.3",
        "activation_id": message.activation_id,
        "transaction_id": "tid",
        "deadline": str(DEADLINE),
        "api_key": message.user.authkey["api_key"],
    }


def test_all_but_the_value_is_text() -> None:
    action = an_action(annotations={"provide-api-key": True})
    body = run_of(action, a_message(action, content=[1]))
    assert {type(value) for key, value in body.items() if key != "value"} == {str}


@pytest.mark.parametrize(
    ("annotation", "provided"),
    [
        (UNSET, True),
        (True, True),
        (1, True),
        ("x", True),
        ([], True),
        ({}, True),
        (False, False),
        (0, False),
        ("", False),
        (None, False),
    ],
)
def test_the_key_is_provided_unless_the_annotation_is_falsy(annotation: Json, provided: bool) -> None:
    action = an_action()
    action.annotations = [] if annotation is UNSET else [KeyValue("provide-api-key", annotation)]
    message = a_message(action)
    assert ("api_key" in run_of(action, message)) is provided
    assert ("__OW_API_KEY" in init_of(action, message)["value"]["env"]) is provided


def test_every_member_of_the_authkey_is_provided() -> None:
    action = an_action(annotations={"provide-api-key": True})
    message = a_message(action)
    message.user.authkey = {"token": "t", "level": 3}
    assert run_of(action, message)["token"] == "t"
    env = init_of(action, message)["value"]["env"]
    assert (env["__OW_TOKEN"], env["__OW_LEVEL"]) == ("t", "3")
    message.user.authkey = {}
    assert set(run_of(action, message)) == set(run_of(an_action(), message))


@pytest.mark.parametrize(
    ("content", "init_args", "value"),
    [
        (None, [], {}),
        (None, ["a"], {}),
        ({"a": 1, "b": [2]}, [], {"a": 1, "b": [2]}),
        ({"a": 1, "b": [2]}, ["b", "missing"], {"a": 1}),
        ({"a": 1}, ["a"], {}),
        ([1, {"a": 2}], ["a"], [1, {"a": 2}]),
    ],
)
def test_the_value_is_the_content_without_what_goes_to_init(content: Json, init_args: list[str], value: Json) -> None:
    message = a_message(content=content, init_args=init_args)
    assert run_of(an_action(), message)["value"] == value


def test_arguments_pass_byte_for_byte() -> None:
    message = a_message()
    message.content = Raw(b'{ "n": 1.0000000000000000001,"u":"\\u00e9" }')
    recipe = recipe_of(an_action())
    assert bytes(message.content) in run_body(recipe, context_of(recipe, message), message, DEADLINE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"null", ""),
        (b"true", "true"),
        (b"false", "false"),
        (b"12.50", "12.50"),
        (b'"plain"', "plain"),
        (b'"\\u00e9\\n"', "é\n"),
        (b'""', ""),
        (b'{ "a" : [ 1, "x y" ] }', '{"a":[1,"x y"]}'),
        (b"[ ]", "[]"),
    ],
)
def test_environment_is_text(value: bytes, text: str) -> None:
    assert env_text(Raw(value)) == text


def test_the_body_of_init_is_upstreams() -> None:
    action = an_action("greet", namespace="guest/utils", version="0.0.3", code="c")
    message = a_message(action, content={"GREETING": "hi", "x": 1}, init_args=["GREETING"])
    assert init_of(action, message) == {
        "value": {
            "name": "greet",
            "main": "main",
            "code": "c",
            "binary": False,
            "env": {
                "GREETING": "hi",
                "__OW_NAMESPACE": "guest",
                "__OW_ACTION_NAME": "/guest/utils/greet",
                "__OW_ACTION_VERSION": "0.0.3",
                "__OW_ACTIVATION_ID": message.activation_id,
                "__OW_TRANSACTION_ID": "tid",
                "__OW_DEADLINE": str(DEADLINE),
            },
        }
    }


@pytest.mark.parametrize("code", [UNSET, "", " \n"])
def test_a_blackbox_without_code_has_no_code(code: str | UnsetType) -> None:
    action = an_action(kind="blackbox")
    action.exec.code = code
    action.exec.main, action.exec.binary = "run", True
    value = init_of(action, a_message(action))["value"]
    assert "code" not in value
    assert (value["main"], value["binary"]) == ("run", True)


def test_the_key_of_the_pool_tells_namespaces_and_documents_apart_and_nothing_else() -> None:
    def key(action: Action, namespace: str = "guest") -> str:
        return context_of(recipe_of(action), a_message(action, user=an_identity(namespace))).key

    assert key(an_action()) == key(an_action())
    others = [key(an_action(), "x"), key(an_action(code="1")), key(an_action(version="0.0.2")), key(an_action("b"))]
    assert len({key(an_action()), *others}) == 5


def test_the_digest_covers_all_of_large_code_and_whether_there_is_code() -> None:
    large = "ä💡x" * LARGE
    codes = [large, large + "x", "y" + large, "", "null"]
    actions = [an_action(code=code) for code in codes]
    actions.append(an_action())
    actions[-1].exec.code = UNSET
    assert len({recipe_of(action).digest for action in actions}) == 6
    assert recipe_of(an_action(code=large)).digest == recipe_of(actions[0]).digest
    assert [is_large(action) for action in actions] == [True, True, True, False, False, False]


def test_contexts_are_made_once_and_bounded() -> None:
    recipe = recipe_of(an_action())
    assert context_of(recipe, a_message()) is context_of(recipe, a_message())
    for number in range(300):
        context_of(recipe, a_message(user=an_identity(f"n{number}")))
    assert len(recipe.contexts) <= 128


@pytest.mark.parametrize(("transid", "text"), [(["a", 1], "a"), ([], "sid_unknown"), ([5], "sid_unknown")])
def test_the_transactions_id(transid: list[Json], text: str) -> None:
    message = a_message()
    message.transid = transid
    assert transaction_id(message) == text


def test_a_message_without_version_runs_the_documents() -> None:
    action = an_action(version="1.2.3")
    message = a_message(action)
    message.action = msgspec.structs.replace(message.action, version=None)
    assert run_of(action, message)["action_version"] == "1.2.3"
