"""Packages, triggers, rules, sequences and conductors on a real platform, with real actions."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.serving import Platform, running

KEY = base64.b64encode(bytes(range(16))).decode()
CONDUCTOR = """
def main(args):
    step = args.pop("step", 0)
    if step == 2:
        return {"params": args}
    return {"action": ["work/add", "/_/twice"][step], "params": args, "state": {"step": step + 1}}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(
        tmp_path_factory.mktemp("compositions") / "data",
        environment={"UPCALL_PARAMETER_ENCRYPTION": "aes-128", "UPCALL_PARAMETER_KEYS_AES_128": KEY},
    ) as platform:
        put(platform, "packages/work", {"parameters": [{"key": "by", "value": 1}], "publish": True})
        body = {"exec": {"kind": "python:default", "code": "def main(a): return {'n': a['n'] + a['by']}"}}
        put(platform, "actions/work/add", body)
        binding = {"binding": {"namespace": "_", "name": "work"}, "parameters": [{"key": "by", "value": 10}]}
        put(platform, "packages/bound", binding)
        platform.create("twice", "def main(a): return {'n': a['n'] * 2}")
        components = {"kind": "sequence", "components": ["/_/work/add", "/_/twice", "/_/bound/add"]}
        put(platform, "actions/chain", {"exec": components})
        yield platform


def put(platform: Platform, path: str, body: Any) -> Any:
    answer = platform.call("PUT", path, body)
    assert answer.status == 200, answer.body
    return answer.body


def recorded(platform: Platform, id: str) -> Any:
    end = time.monotonic() + 30
    while True:
        answer = platform.call("GET", f"activations/{id}")
        if answer.status == 200:
            return answer.body
        assert time.monotonic() < end, answer.body
        time.sleep(0.01)


def annotations(record: Any) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in record["annotations"]}


def test_a_bound_action_runs_with_what_it_inherits(platform: Platform) -> None:
    answer = platform.invoke("bound/add", {"n": 1}, "blocking=true")
    assert (answer.status, answer.body["response"]["result"]) == (200, {"n": 11})
    found = annotations(answer.body)
    assert (found["path"], found["binding"]) == ("guest/work/add", "guest/bound")
    listed = platform.call("GET", "activations?name=bound/add").body
    assert [entry["activationId"] for entry in listed] == [answer.body["activationId"]]


def test_parameters_are_locked_in_the_store_and_plain_for_the_action(platform: Platform) -> None:
    (parameter,) = platform.call("GET", "packages/work").body["parameters"]
    assert parameter["encryption"] == "aes-128"
    assert len(base64.b64decode(parameter["value"])) == 4 + 12 + 1 + 16
    answer = platform.invoke("work/add", {"n": 1, "by": 5}, "blocking=true&result=true")
    assert answer.body == {"n": 6}


def test_a_sequence_runs_with_records_of_all(platform: Platform) -> None:
    answer = platform.invoke("chain", {"n": 1}, "blocking=true")
    assert (answer.status, answer.body["response"]["result"]) == (200, {"n": 14})
    record = recorded(platform, answer.body["activationId"])
    steps = [recorded(platform, id) for id in record["logs"]]
    assert [step["name"] for step in steps] == ["add", "twice", "add"]
    assert {step["cause"] for step in steps} == {record["activationId"]}
    assert record["duration"] == sum(step["duration"] for step in steps)
    assert annotations(steps[2])["binding"] == "guest/bound"
    failed = platform.invoke("chain", {}, "blocking=true&result=true")
    assert (failed.status, "error" in failed.body) == (502, True)
    later = platform.call("POST", "actions/chain", {"n": 2})
    assert later.status == 202
    assert recorded(platform, later.body["activationId"])["response"]["result"] == {"n": 16}


def test_a_conductor_leads_through_its_states(platform: Platform) -> None:
    body = {
        "exec": {"kind": "python:default", "code": CONDUCTOR},
        "annotations": [{"key": "conductor", "value": True}],
    }
    put(platform, "actions/lead", body)
    answer = platform.invoke("lead", {"n": 1}, "blocking=true")
    assert (answer.status, answer.body["response"]["result"]) == (200, {"n": 4})
    assert len(recorded(platform, answer.body["activationId"])["logs"]) == 5


def test_a_trigger_calls_actions_and_sequences(platform: Platform) -> None:
    put(platform, "triggers/door", {"parameters": [{"key": "n", "value": 5}]})
    for rule, action in (("one", "work/add"), ("many", "chain")):
        put(platform, f"rules/{rule}", {"trigger": "/_/door", "action": f"/_/{action}"})
    fired = platform.call("POST", "triggers/door", {"who": "bob"})
    assert (fired.status, fired.headers["x-openwhisk-activation-id"]) == (202, fired.body["activationId"])
    lines = recorded(platform, fired.body["activationId"])["logs"]
    assert len(lines) == 2
    ids = {line["rule"]: line["activationId"] for line in map(json.loads, lines)}
    assert recorded(platform, ids["guest/one"])["response"]["result"] == {"n": 6}
    assert recorded(platform, ids["guest/many"])["response"]["result"] == {"n": 22}
