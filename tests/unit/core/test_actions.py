"""Actions from request bodies: shapes, merge rules, sizes."""

import base64
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from upcall.core.actions import ActionPut, check_put, create, read_put, update, without_code
from upcall.errors import BadRequest, Forbidden, Rejected, TooLarge
from upcall.model.documents import KeyValue
from upcall.model.entities import RIGHTS, Action, ActionLimits, Exec, Identity, NamespaceId, Parameter, UserLimits
from upcall.model.runtimes import parse_manifest
from upcall.model.sizes import Bounds, SystemLimits

MANIFEST = parse_manifest(
    msgspec.json.encode(
        {
            "runtimes": {
                "nodejs": [{"kind": "nodejs:20", "image": {"name": "node"}}],
                "python": [
                    {"kind": "python:3.10", "image": {"name": "p10"}, "deprecated": True},
                    {"kind": "python:3.11", "image": {"name": "p11"}, "default": True},
                ],
                "java": [{"kind": "java:8", "image": {"name": "java"}, "requireMain": True}],
            }
        }
    )
)
SYSTEM = SystemLimits()
CODE = {"kind": "python:3.11", "code": "def main(a): return a"}
WRAPPER = "The request content was malformed:\n"


def identity(**limits: Any) -> Identity:
    return Identity("guest", NamespaceId("guest", "u"), {"api_key": "u:k"}, RIGHTS, UserLimits(**limits))


def put(**body: Any) -> ActionPut:
    return read_put(body, MANIFEST)


def created(**body: Any) -> Action:
    return create(put(**{"exec": CODE, **body}), "guest", "hello", SYSTEM, MANIFEST, now=7)


def pairs(action: Action) -> dict[str, Any]:
    return {entry.key: entry.value for entry in action.annotations}


def refusal(call: Any, kind: type[Rejected] = BadRequest) -> str:
    with pytest.raises(kind) as refused:
        call()
    return str(refused.value)


KINDS = "Valid values are: 'nodejs:20', 'python:3.10', 'python:3.11', 'java:8', 'sequence', 'blackbox'."


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "Object expected in field 'exec'"),
        ("x", "Object expected in field 'exec'"),
        ({"exec": "x"}, "JSON object expected"),
        ({"exec": {}}, "'kind' must be a string defined in 'exec'"),
        ({"exec": {"kind": 1}}, "'kind' must be a string defined in 'exec'"),
        (
            {"exec": {"kind": " FOO ", "code": ""}},
            f"The specified runtime 'foo' is not supported by this platform. {KINDS}",
        ),
        (
            {"exec": {"kind": "foo:default", "code": ""}},
            f"The specified runtime 'foo:default' is not supported by this platform. {KINDS}",
        ),
        (
            {"exec": {"kind": "python:default"}},
            "'code' must be a string or attachment object defined in 'exec' for 'python:3.11' actions",
        ),
        (
            {"exec": {"kind": "nodejs:20", "code": 1}},
            "'code' must be a string or attachment object defined in 'exec' for 'nodejs:20' actions",
        ),
        ({"exec": {"kind": "java:8", "code": "x"}}, "'main' must be a string defined in 'exec' for 'java:8' actions"),
        (
            {"exec": {"kind": "nodejs:20", "code": "x", "main": 1}},
            "if defined, 'main' be a string in 'exec' for 'nodejs:20' actions",
        ),
        ({"exec": {"kind": "blackbox"}}, "'image' must be a string defined in 'exec' for 'blackbox' actions"),
        ({"exec": {"kind": "blackbox", "image": "a b"}}, "could not parse image name"),
        ({"exec": {"kind": "blackbox", "image": ""}}, "could not parse image name"),
        ({"parameters": {"a": 1}}, "parameters malformed!"),
        ({"parameters": [{"key": "a"}]}, "parameters malformed!"),
        ({"parameters": [{"value": "a"}]}, "parameters malformed!"),
        ({"parameters": [{"key": 1, "value": "a"}]}, "parameters malformed!"),
        ({"parameters": [{"key": "a", "value": 1, "init": "yes"}]}, "parameters malformed!"),
        ({"parameters": ["a"]}, "parameters malformed!"),
        ({"annotations": {"a": 1}}, "parameters malformed!"),
        ({"limits": 1}, "Object expected in field 'timeout'"),
        ({"limits": {"timeout": 1.5}}, "requirement failed: time limit must be whole number"),
        ({"limits": {"memory": 1.5}}, "requirement failed: memory limit must be whole number"),
        ({"limits": {"logs": 1.5}}, "requirement failed: log limit must be whole number"),
        ({"limits": {"concurrency": 1.5}}, "requirement failed: concurrency limit must be whole number"),
        ({"limits": {"timeout": "x"}}, "time limit malformed"),
        ({"limits": {"memory": True}}, "memory limit malformed"),
        ({"version": "0.0.0"}, "semantic version malformed"),
        ({"version": "-1.0.0"}, "semantic version malformed"),
        ({"version": "one"}, "semantic version malformed"),
        ({"version": 1}, "semantic version malformed"),
        ({"publish": "yes"}, "Expected JsBoolean, but got yes"),
        ({"delAnnotations": "a"}, "Expected Array, but got a"),
        ({"delAnnotations": [1]}, "Expected String, but got 1"),
    ],
)
def test_malformed_bodies(body: Any, text: str) -> None:
    assert refusal(lambda: read_put(body, MANIFEST)) == WRAPPER + text


def test_a_sequence_has_one_parameter() -> None:
    made = created(exec={"kind": " Sequence", "components": ["/_/a", "x/p/b"]}, parameters=[{"key": "a", "value": 1}])
    assert made.exec == Exec("sequence", components=["/_/a", "/x/p/b"])
    assert made.parameters == [Parameter("_actions", Raw(b'["/_/a","/x/p/b"]'))]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"kind": " Python:DEFAULT ", "code": ""}, Exec("python:3.11", code="", binary=False)),
        ({"kind": "nodejs:default", "code": "x", "binary": True}, Exec("nodejs:20", code="x", binary=False)),
        ({"kind": "nodejs:20", "code": "abcd"}, Exec("nodejs:20", code="abcd", binary=True)),
        ({"kind": "nodejs:20", "code": " YWI= \n"}, Exec("nodejs:20", code=" YWI= \n", binary=True)),
        ({"kind": "nodejs:20", "code": "abc"}, Exec("nodejs:20", code="abc", binary=False)),
        ({"kind": "nodejs:20", "code": "x=1;"}, Exec("nodejs:20", code="x=1;", binary=False)),
        ({"kind": "java:8", "jar": "UEs=", "main": "A"}, Exec("java:8", code="UEs=", main="A", binary=True)),
        ({"kind": "blackbox", "image": "me/img:1"}, Exec("blackbox", image="me/img:1", binary=False)),
        ({"kind": "blackbox", "image": "h:5000/a/b"}, Exec("blackbox", image="h:5000/a/b", binary=False)),
        (
            {"kind": "blackbox", "image": "img", "code": " ", "main": "m"},
            Exec("blackbox", image="img", main="m", binary=False),
        ),
        (
            {"kind": "blackbox", "image": "img", "code": "UEs="},
            Exec("blackbox", code="UEs=", image="img", binary=True),
        ),
    ],
)
def test_exec_as_stored(given: dict[str, Any], stored: Exec) -> None:
    assert put(exec=given).exec == stored


def test_a_large_zip_is_binary() -> None:
    code = base64.b64encode(bytes(range(256)) * 4096).decode()
    assert put(exec={"kind": "nodejs:20", "code": code}).exec == Exec("nodejs:20", code=code, binary=True)


def test_create_takes_the_standards() -> None:
    assert created(namespace="x", name="y", updated=1, bogus=2) == Action(
        namespace="guest",
        name="hello",
        exec=Exec("python:3.11", code=CODE["code"], binary=False),
        limits=ActionLimits(60000, 256, 10, 1),
        annotations=[KeyValue("provide-api-key", False), KeyValue("exec", "python:3.11")],
        updated=7,
    )


def test_create_takes_what_is_given() -> None:
    action = created(
        parameters=[
            {"key": "a", "value": 1},
            {"key": "b", "value": None, "init": True},
            {"key": "a", "value": [2, {}]},
        ],
        limits={"timeout": 1000.0, "instances": 3, "memory": None},
        version="01.2",
        publish=True,
        annotations=[{"key": "exec", "value": "x"}, {"key": "provide-api-key", "value": "odd"}],
    )
    assert action.parameters == [Parameter("a", Raw(b"[2,{}]")), Parameter("b", Raw(b"null"), init=True)]
    assert action.limits == ActionLimits(1000, 256, 10, 1, instances=3)
    assert (action.version, action.publish) == ("1.2.0", True)
    assert pairs(action) == {"provide-api-key": "odd", "exec": "python:3.11"}


def test_create_needs_an_exec() -> None:
    assert refusal(lambda: create(put(exec=None), "guest", "a", SYSTEM, MANIFEST, now=0)) == "exec undefined"


def test_deprecated_kinds_are_neither_created_nor_updated() -> None:
    text = (
        "The 'python:3.10' runtime is no longer supported. "
        "You may read and delete but not update or invoke this action."
    )
    old = Action("guest", "a", Exec("python:3.10", code="x"), ActionLimits(1, 1))
    assert refusal(lambda: created(exec={"kind": "python:3.10", "code": ""})) == text
    assert refusal(lambda: update(old, put(publish=True), MANIFEST, now=8)) == text
    assert update(old, put(exec=CODE), MANIFEST, now=8).exec.kind == "python:3.11"


def test_update_keeps_what_the_request_does_not_name() -> None:
    old = created(parameters=[{"key": "a", "value": 1}], limits={"memory": 128}, publish=True)
    new = update(old, put(), MANIFEST, now=8)
    assert (new.version, new.updated) == ("0.0.2", 8)
    assert msgspec.structs.replace(new, version=old.version, updated=old.updated) == old


def test_update_merges_limits_and_annotations_but_replaces_parameters() -> None:
    old = created(
        parameters=[{"key": "a", "value": 1}],
        limits={"memory": 128},
        annotations=[{"key": "x", "value": 1}, {"key": "y", "value": 1}, {"key": "z", "value": 1}],
    )
    new = update(
        old,
        put(
            exec={"kind": "nodejs:20", "code": "-"},
            parameters=[],
            limits={"timeout": 500},
            version="3",
            annotations=[{"key": "y", "value": 2}, {"key": "z", "value": 3}],
            delAnnotations=["x", "z", "provide-api-key"],
        ),
        MANIFEST,
        now=8,
    )
    assert new.parameters == []
    assert new.limits == ActionLimits(500, 128, 10, 1)
    assert new.version == "3.0.0"
    assert pairs(new) == {"y": 2, "z": 3, "exec": "nodejs:20"}


def test_provide_api_key_is_not_added_on_update() -> None:
    old = Action("guest", "a", Exec("nodejs:20", code="x"), ActionLimits(1, 1))
    assert pairs(update(old, put(), MANIFEST, now=8)) == {"exec": "nodejs:20"}


@pytest.mark.parametrize("given", [None, [{"key": "b", "value": 2}]])
def test_a_sequence_that_becomes_code_loses_its_parameters(given: Any) -> None:
    old = Action(
        "guest",
        "a",
        Exec("sequence", components=["/guest/b"]),
        ActionLimits(1, 1),
        parameters=[Parameter("_actions", Raw(b'["/guest/b"]'))],
    )
    new = update(old, put(exec=CODE, parameters=given), MANIFEST, now=8)
    assert [each.key for each in new.parameters] == (["b"] if given else [])


def test_without_code() -> None:
    assert without_code(created()).exec == Exec("python:3.11", code=UNSET, binary=False)
    assert created().exec.code is not UNSET


SMALL = SystemLimits(code=10, parameters=10)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"exec": {"kind": "nodejs:20", "code": "é" * 6}}, "exec larger than allowed: 12 > 10 bytes."),
        ({"exec": {"kind": "nodejs:20", "code": "x" * 8, "main": "abc"}}, "exec larger than allowed: 11 > 10 bytes."),
        ({"exec": {"kind": "blackbox", "image": "x" * 11}}, "exec larger than allowed: 11 > 10 bytes."),
        ({"parameters": [{"key": "aé", "value": [1, 22, 3]}]}, "parameters larger than allowed: 11 > 10 bytes."),
        ({"annotations": [{"key": "aé", "value": [1, 22, 3]}]}, "annotations larger than allowed: 11 > 10 bytes."),
    ],
)
def test_sizes(body: dict[str, Any], text: str) -> None:
    assert refusal(lambda: check_put(put(**body), SMALL, identity()), TooLarge) == text


def test_sizes_at_the_limit_pass() -> None:
    body = put(exec={"kind": "nodejs:20", "code": "x" * 10}, parameters=[{"key": "ab", "value": "cdefgh"}])
    check_put(body, SMALL, identity())


def test_a_namespace_may_have_less_room_for_parameters() -> None:
    body = put(parameters=[{"key": "abc", "value": 1}])
    text = refusal(lambda: check_put(body, SMALL, identity(max_parameter_size="3 B")), TooLarge)
    assert text == "parameters larger than allowed: 4 > 3 bytes."


WIDE = SystemLimits(concurrency=Bounds(1, 10, 1))


@pytest.mark.parametrize(
    ("limits", "own", "text"),
    [
        ({"memory": 1024}, {}, "memory size 1024 MB exceeds allowed threshold of 512 MB"),
        ({"memory": 0}, {}, "memory size 0 MB below allowed threshold of 128 MB"),
        ({"logs": 50}, {}, "log size 50 MB exceeds allowed threshold of 10 MB"),
        ({"logs": -1}, {}, "log size -1 MB below allowed threshold of 0 MB"),
        ({"timeout": 0}, {}, "duration 0 milliseconds below allowed threshold of 100 milliseconds"),
        ({"timeout": 301000}, {}, "duration 301000 milliseconds exceeds allowed threshold of 300000 milliseconds"),
        ({"concurrency": 11}, {}, "concurrency 11 exceeds allowed threshold of 10"),
        ({"concurrency": 0}, {}, "concurrency 0 below allowed threshold of 1"),
        ({"instances": 31}, {}, "Max action instance concurrency must not exceed your namespace concurrency of 30."),
        (
            {"instances": 6},
            {"concurrent_invocations": 5},
            "Max action instance concurrency must not exceed your namespace concurrency of 5.",
        ),
        ({"memory": 1024}, {"max_action_memory": 256}, "memory size 1024 MB exceeds allowed threshold of 256 MB"),
        ({"memory": 300}, {"max_action_memory": 256}, "memory size 300 MB exceeds allowed threshold of 256 MB"),
        ({"memory": 600}, {"max_action_memory": 9999}, "memory size 600 MB exceeds allowed threshold of 512 MB"),
        ({"memory": 130}, {"min_action_memory": 256}, "memory size 130 MB below allowed threshold of 256 MB"),
        (
            {"timeout": 200},
            {"min_action_timeout": 500},
            "duration 200 milliseconds below allowed threshold of 500 milliseconds",
        ),
        ({"logs": 5}, {"max_action_logs": 3}, "log size 5 MB exceeds allowed threshold of 3 MB"),
        ({"concurrency": 4}, {"max_action_concurrency": 3}, "concurrency 4 exceeds allowed threshold of 3"),
    ],
)
def test_limits_against_the_namespace(limits: dict[str, int], own: dict[str, Any], text: str) -> None:
    assert refusal(lambda: check_put(put(limits=limits), WIDE, identity(**own))) == text


def test_limits_at_both_ends_pass() -> None:
    for limits in (
        {"memory": 128, "logs": 0, "timeout": 100, "concurrency": 1, "instances": 0},
        {"memory": 512, "logs": 10, "timeout": 300000, "concurrency": 10, "instances": 30},
    ):
        check_put(put(limits=limits), WIDE, identity())


def test_kinds_are_checked_where_an_exec_is_given() -> None:
    text = refusal(lambda: check_put(put(exec=CODE), SYSTEM, identity(allowed_kinds=["nodejs:20"])), Forbidden)
    assert text.endswith("access actions of kind 'python:3.11'.")
    check_put(put(publish=True), SYSTEM, identity(allowed_kinds=["nodejs:20"]))
