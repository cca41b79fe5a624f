"""Native executables through the REST API, as `wsk action create --native` makes them (spec: container.md §1 to §3)."""

import base64
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.system.serving import Answer, Platform, running

LOGS_DEVELOPER = "The action did not initialize or run as expected. Log data might be missing."


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("native") / "data", "--memory", "2048") as made:
        yield made
    assert "Traceback" not in made.output.read_text()


def put(platform: Platform, name: str, code: str, image: str = "openwhisk/dockerskeleton", **members: Any) -> Answer:
    action = {"exec": {"kind": "blackbox", "image": image, "code": code}, **members}
    return platform.call("PUT", f"actions/{name}?overwrite=true", action)


def script(platform: Platform, name: str, body: str, **members: Any) -> None:
    assert put(platform, name, f"#!/bin/sh\n{body}\n", **members).status == 200


def failure(answer: Answer) -> tuple[str, str]:
    """Status and text of an activation that failed."""
    assert answer.status == 502, answer
    response = answer.body["response"]
    return response["status"], response["result"]["error"]


def logs(platform: Platform, answer: Answer) -> list[str]:
    found = platform.call("GET", f"activations/{answer.body['activationId']}/logs")
    return [line[31:] for line in found.body["logs"]]


def test_a_script_answers_and_its_other_lines_are_the_log(platform: Platform) -> None:
    script(platform, "hello", """echo "got $1"; echo "oops" >&2; echo '{"hello": "Ada"}'""")
    answer = platform.invoke("hello", {"n": 1})
    assert (answer.status, answer.body["response"]["result"]) == (200, {"hello": "Ada"})
    assert sorted(logs(platform, answer)) == ["stderr: oops", 'stdout: got {"n": 1}']
    annotations = {entry["key"]: entry["value"] for entry in answer.body["annotations"]}
    assert annotations["kind"] == "blackbox"
    assert "initTime" in annotations
    warm = platform.invoke("hello")
    assert "initTime" not in {entry["key"] for entry in warm.body["annotations"]}


def test_an_executable_is_stored_as_base64_and_runs(platform: Platform) -> None:
    code = base64.b64encode(Path(shutil.which("echo") or "").read_bytes()).decode()
    made = put(platform, "binary", code)
    assert (made.status, made.body["exec"]["binary"]) == (200, True)
    assert platform.invoke("binary", {"x": "☃"}).body["response"]["result"] == {"x": "☃"}


def test_the_environment_has_the_context_and_the_arguments_of_init(platform: Platform) -> None:
    parameters = [{"key": "TOKEN", "value": {"a": [1]}, "init": True}, {"key": "plain", "value": 1}]
    names = "TOKEN __OW_NAMESPACE __OW_ACTION_NAME __OW_ACTION_VERSION __OW_ACTIVATION_ID __OW_API_KEY __OW_API_HOST"
    body = f"""for name in {names}; do eval "value=\\$$name"; printf '%s=%s\\n' $name "$value"; done; echo "$1" """
    script(platform, "environment", body, parameters=parameters)
    for _ in range(2):  # cold and warm
        answer = platform.invoke("environment")
        assert answer.body["response"]["result"] == {"plain": 1}
        seen = dict(line.removeprefix("stdout: ").split("=", 1) for line in logs(platform, answer))
        assert seen["TOKEN"] == '{"a":[1]}'
        assert seen["__OW_NAMESPACE"] == "guest"
        assert seen["__OW_ACTION_NAME"] == "/guest/environment"
        assert seen["__OW_ACTION_VERSION"] == "0.0.1"
        assert seen["__OW_ACTIVATION_ID"] == answer.body["activationId"]
        assert seen["__OW_API_KEY"] == ""
        assert seen["__OW_API_HOST"].startswith("http://")


def test_large_arguments_come_on_standard_input(platform: Platform) -> None:
    script(platform, "large", 'echo "[$#, $(wc -c)]"')
    assert platform.invoke("large", {"x": "y" * 200_000}).body == [0, 200_009]
    assert platform.invoke("large", {"x": "y" * 100_000}).body == [1, 100_009]


def test_a_result_beyond_the_limit_is_cut_as_any_actions(platform: Platform) -> None:
    script(platform, "long", """printf '{"x": "'; head -c 1048576 /dev/zero | tr '\\0' x; echo '"}'""")
    status, text = failure(platform.invoke("long"))
    assert status == "application error"
    assert text.startswith(
        "The action produced a response that exceeded the allowed length: 1048585 > 1048576 bytes. "
        'The truncated response was: {"x": "xx'
    )


@pytest.mark.parametrize("body", ["true", "echo text", "echo 5; exit 1", "kill -SEGV $$"])
def test_no_result_is_a_developer_error(platform: Platform, body: str) -> None:
    script(platform, "none", body)
    answer = platform.invoke("none")
    assert failure(answer) == ("action developer error", "The action did not return a dictionary or array.")
    log = logs(platform, answer)
    assert any(line.startswith("stderr: The program ended ") for line in log)
    assert log[-1] == f"stderr: {LOGS_DEVELOPER}"


def test_an_error_in_the_result_is_the_applications(platform: Platform) -> None:
    script(platform, "application", """echo '{"error": {"code": 7}, "more": 1}'; exit 1""")
    answer = platform.invoke("application")
    assert answer.body["response"]["status"] == "application error"
    assert answer.body["response"]["result"] == {"error": {"code": 7}}


def test_code_that_is_no_program_fails_its_initialisation_with_the_cause(platform: Platform) -> None:
    put(platform, "noprogram", "echo no first line")
    status, text = failure(platform.invoke("noprogram"))
    assert status == "action developer error"
    assert text.startswith("The action's code is no program: it is neither a script that begins with `#!` nor an exec")


def test_a_killed_program_exits_unexpectedly(platform: Platform) -> None:
    script(platform, "killed", "kill -KILL $$")
    text = "The action did not produce a valid response and exited unexpectedly."
    assert failure(platform.invoke("killed")) == ("action developer error", text)


def test_a_program_over_its_time_ends_with_all_that_it_started(platform: Platform) -> None:
    script(platform, "slow", "sleep 1234.5 & setsid sleep 1234.5", limits={"timeout": 500})
    text = "The action exceeded its time limits of 500 milliseconds."
    assert failure(platform.invoke("slow")) == ("action developer error", text)
    script(platform, "quick", "echo {}")
    assert platform.invoke("quick").status == 200
    await_end("1234.5")


def await_end(argument: str) -> None:
    """Returns when no process of this host has the argument; the test's time-out is the limit."""
    while any(argument.encode() in arguments(process) for process in Path("/proc").glob("[0-9]*")):
        pass


def arguments(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def test_a_program_over_its_memory_is_told_so(platform: Platform) -> None:
    if "no cgroups may be used here" in platform.output.read_text():
        pytest.skip("no memory controller may be used here")
    script(platform, "greedy", "tail /dev/zero", limits={"memory": 128})
    text = "The action exhausted its memory and was aborted."
    assert failure(platform.invoke("greedy")) == ("action developer error", text)


def test_what_a_program_leaves_behind_holds_up_nobody(platform: Platform) -> None:
    script(platform, "leaves", "sleep 1000 &\necho '{}'")
    for _ in range(2):
        assert platform.invoke("leaves").body["response"]["result"] == {}


def test_one_container_runs_one_activation_at_a_time(platform: Platform) -> None:
    script(platform, "alone", "mkdir /tmp/lock && sleep 0.2 && rmdir /tmp/lock && echo {}")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: platform.invoke("alone"), range(6)))
    assert [answer.status for answer in answers] == [200] * 6


def test_another_image_is_stored_and_its_activation_names_it(platform: Platform) -> None:
    assert put(platform, "image", "", "me/img:1").status == 200
    answer = platform.invoke("image")
    assert failure(answer) == (
        "action developer error",
        "Failed to pull container image 'me/img:1'. The process driver runs no images, only native executables as "
        "openwhisk/dockerskeleton; images need the Docker driver.",
    )
