"""The main job on the real platform: actions made and called over REST, in sandboxes, with logs and records."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.serving import Platform, running

HELLO = """
import sys
def main(args):
    print("hello", args.get("name"))
    print("a warning", file=sys.stderr)
    return {"greeting": "Hello " + args.get("name", "stranger") + "!"}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("serve") / "data") as started:
        yield started


def test_a_blocking_invoke_answers_with_the_record(platform: Platform) -> None:
    assert platform.create("hello", HELLO).status == 200
    answer = platform.invoke("hello", {"name": "Ada"})
    assert answer.status == 200
    assert answer.body["response"] == {
        "status": "success",
        "success": True,
        "result": {"greeting": "Hello Ada!"},
        "size": len('{"greeting":"Hello Ada!"}'),
    }
    assert answer.headers["x-openwhisk-activation-id"] == answer.body["activationId"]


def test_result_true_answers_with_the_result_alone(platform: Platform) -> None:
    platform.create("hello", HELLO)
    assert platform.invoke("hello", {"name": "Bob"}, "blocking=true&result=true").body == {"greeting": "Hello Bob!"}


def test_a_non_blocking_invoke_is_recorded_with_its_logs(platform: Platform) -> None:
    platform.create("hello", HELLO)
    accepted = platform.invoke("hello", {"name": "Eve"}, "blocking=false")
    assert accepted.status == 202
    record = await_record(platform, accepted.body["activationId"])
    assert record["response"]["result"] == {"greeting": "Hello Eve!"}
    lines = [re.fullmatch(r"(\S{30}) (stdout|stderr): (.*)", line) for line in record["logs"]]
    assert all(lines)
    assert {(line[2], line[3]) for line in lines if line} == {("stdout", "hello Eve"), ("stderr", "a warning")}
    path = f"activations/{record['activationId']}"
    assert platform.call("GET", f"{path}/logs").body == {"logs": record["logs"]}
    assert platform.call("GET", f"{path}/result").body["result"] == {"greeting": "Hello Eve!"}
    listed = platform.call("GET", "activations?name=hello&limit=1").body
    assert [entry["activationId"] for entry in listed] == [record["activationId"]]


def await_record(platform: Platform, activation_id: str) -> dict[str, Any]:
    for _ in range(500):
        answer = platform.call("GET", f"activations/{activation_id}")
        if answer.status == 200:
            body: dict[str, Any] = answer.body
            return body
    raise AssertionError(f"no record of {activation_id}")


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("def main(a): return {'error': 'mine'}", "application error", "^mine$"),
        ("def main(a): raise ValueError('x')", "action developer error", "^An error has occurred"),
        ("def main(a): return 5", "action developer error", ""),
        ("def main(a):\n  return {", "action developer error", "initiali|locate|syntax"),
        ("x = 1", "action developer error", ""),
        ("", "action developer error", "Missing main/no code to execute."),
        (
            "import os; os._exit(1)",
            "action developer error",
            r"^The action did not initialize and exited unexpectedly\.$",
        ),
        (
            "import os\ndef main(a): os._exit(1)",
            "action developer error",
            r"^The action did not produce a valid response and exited unexpectedly\.$",
        ),
    ],
)
def test_each_way_to_fail_is_told_and_the_next_call_works(
    platform: Platform, code: str, status: str, says: str
) -> None:
    platform.create("broken", code)
    answer = platform.invoke("broken")
    assert answer.status == 502
    assert answer.body["response"]["status"] == status
    assert re.search(says, answer.body["response"]["result"]["error"])
    platform.create("broken", HELLO)
    assert platform.invoke("broken").status == 200


def test_an_action_that_takes_too_long_is_ended(platform: Platform) -> None:
    platform.create("slow", "import time\ndef main(a): time.sleep(60)", limits={"timeout": 300})
    answer = platform.invoke("slow")
    assert answer.status == 502
    assert answer.body["response"]["result"] == {"error": "The action exceeded its time limits of 300 milliseconds."}


def test_an_action_that_takes_too_much_memory_is_ended(platform: Platform) -> None:
    code = "def main(a):\n  x = bytearray(1 << 30)\n  return {'n': sum(x[::4096])}"
    platform.create("hungry", code, limits={"memory": 128})
    answer = platform.invoke("hungry")
    assert answer.status == 502
    error = answer.body["response"]["result"]["error"]
    assert re.search(r"exhausted its memory|MemoryError|An error has occurred", error)
    platform.create("hello", HELLO)
    assert platform.invoke("hello").status == 200


def test_arguments_parameters_and_environment_reach_the_action(platform: Platform) -> None:
    code = (
        "import os\ndef main(a):\n"
        "  return {'args': a, 'env': {k: v for k, v in os.environ.items() if k.startswith('__OW_')}}"
    )
    platform.create("echo", code, parameters=[{"key": "a", "value": 1}, {"key": "b", "value": "ü"}])
    result = platform.invoke("echo", {"a": 2}, "blocking=true&result=true").body
    assert result["args"] == {"a": 2, "b": "ü"}
    environment = result["env"]
    assert environment["__OW_ACTION_NAME"] == "/guest/echo"
    assert environment["__OW_NAMESPACE"] == "guest"
    assert environment["__OW_API_HOST"] == "http://192.0.2.1"
    assert "__OW_API_KEY" not in environment
    assert platform.auth not in str(environment)


def test_an_updated_action_runs_its_new_code_at_once(platform: Platform) -> None:
    for number in range(3):
        platform.create("changing", f"def main(a): return {{'n': {number}}}")
        assert platform.invoke("changing", None, "blocking=true&result=true").body == {"n": number}


def test_wrong_credentials_are_refused(platform: Platform) -> None:
    uuid, _, key = platform.auth.partition(":")
    answer = platform.call("GET", "actions", auth=f"{uuid}:{key[::-1]}")
    assert (answer.status, answer.body["error"]) == (401, "The supplied authentication is invalid")
    answer = platform.call("POST", "actions/hello", {}, auth=f"{uuid}:{key[::-1]}")
    assert (answer.status, answer.body["error"]) == (401, "The supplied authentication is invalid")


def test_the_key_is_never_logged(platform: Platform) -> None:
    platform.call("GET", "actions", auth=platform.auth + "x")
    output = platform.output.read_text()
    assert platform.auth.partition(":")[2] not in output
    assert (platform.data / ".wskprops").stat().st_mode & 0o777 == 0o600


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        first.create("kept", HELLO)
        record = first.invoke("kept").body
        auth = first.auth
    with running(tmp_path / "data") as second:
        assert second.auth == auth
        assert second.call("GET", f"activations/{record['activationId']}").body["response"] == record["response"]
        assert second.invoke("kept").status == 200


def test_a_given_key_is_the_guests(tmp_path: Path) -> None:
    auth = f"12345678-1234-1234-1234-123456789abc:{'k' * 64}"
    with running(tmp_path / "data", "--auth", auth) as started:
        assert started.auth == auth
        assert started.call("GET", "actions").body == []


def test_a_second_platform_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        with pytest.raises(AssertionError) as caught:
            Platform(tmp_path / "data")
        assert f"process {first.process.pid}" in str(caught.value)
        assert "Traceback" not in str(caught.value)
