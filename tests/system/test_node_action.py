"""Node.js actions through the REST API, and the containers that wait for them (spec: container.md §1, §3, §6.4)."""

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract.language import NODE
from tests.system.remains import wait_until
from tests.system.serving import Answer, Platform, running
from tests.system.trials import is_cold, lines, record

EXHAUSTED = "The action exhausted its memory and was aborted."
ALLOWED = {"CONFIG_whisk_concurrencyLimit_max": "50"}
DIED = "The action did not produce a valid response and exited unexpectedly."


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(
        tmp_path_factory.mktemp("node") / "data", "--memory", "8192", "--prewarm", "none", environment=ALLOWED
    ) as made:
        yield made
    assert "Traceback" not in made.output.read_text()


def put(platform: Platform, name: str, code: str, kind: str = NODE, **members: Any) -> Answer:
    exec_ = {"kind": kind, "code": code, **members.pop("exec", {})}
    return platform.call("PUT", f"actions/{name}?overwrite=true", {"exec": exec_, **members})


def families(platform: Platform) -> dict[str, Any]:
    """What `GET /` says of kinds."""
    with urllib.request.urlopen(platform.url) as answer:
        found: dict[str, Any] = json.load(answer)["runtimes"]
    return found


def response(answer: Answer) -> tuple[int, str, Any]:
    """HTTP status, and status and result of the activation."""
    told = answer.body["response"]
    return answer.status, told["status"], told["result"]


def test_the_kind_is_listed_is_its_familys_default_and_no_other_runs(platform: Platform) -> None:
    assert [(one["kind"], one["default"]) for one in families(platform)["nodejs"]] == [(NODE, True)]
    made = put(platform, "default", "const main = () => ({});", "nodejs:default")
    assert (made.status, made.body["exec"]["kind"]) == (200, NODE)
    refused = put(platform, "other", "const main = () => ({});", "nodejs:6")
    assert refused.status == 400
    assert refused.body["error"].endswith(f"'{NODE}', 'sequence', 'blackbox'.")


def test_an_action_runs_cold_and_warm_with_its_log_and_its_environment(platform: Platform) -> None:
    code = """
const seen = process.env.TOKEN;
function main(args) {
  console.log('called');
  const { __OW_ACTIVATION_ID: id, __OW_ACTION_NAME: name, __OW_DEADLINE: deadline } = process.env;
  return { args, seen, id, name, late: Number(deadline) > Date.now() };
}
"""
    parameters = [{"key": "TOKEN", "value": {"a": [1]}, "init": True}, {"key": "plain", "value": 1}]
    assert put(platform, "hello", code, parameters=parameters).status == 200
    for cold in (True, False):
        answer = platform.invoke("hello", {"n": "☃"})
        id = answer.body["activationId"]
        expected = {"args": {"plain": 1, "n": "☃"}, "seen": '{"a":[1]}', "id": id, "name": "/guest/hello", "late": True}
        assert response(answer) == (200, "success", expected)
        assert lines(record(platform, id)) == ["stdout: called"]
        assert is_cold(platform, answer) is cold


@pytest.mark.parametrize(
    ("body", "status", "result"),
    [
        ("return Promise.reject({ code: 1 })", "application error", {"error": {"code": 1}}),
        ("return { error: 'mine', x: 1 }", "application error", {"error": "mine"}),
        ("throw new Error('boom')", "action developer error", {"error": "An error has occurred: Error: boom"}),
        ("process.exit(1)", "action developer error", {"error": DIED}),
        (
            "return null",
            "action developer error",
            {"error": "The action did not produce a valid JSON or JSON Array response: null"},
        ),
        ("return 'x'", "action developer error", {"error": "The action did not return a dictionary or array."}),
        ("for (;;);", "action developer error", {"error": "The action exceeded its time limits of 1000 milliseconds."}),
    ],
)
def test_each_way_to_fail_is_told(platform: Platform, body: str, status: str, result: Any) -> None:
    assert put(platform, "failing", f"function main() {{ {body}; }}", limits={"timeout": 1000}).status == 200
    assert response(platform.invoke("failing")) == (502, status, result)


def test_code_that_does_not_load_is_told(platform: Platform) -> None:
    put(platform, "broken", "require('nowhere');")
    _, status, result = response(platform.invoke("broken"))
    assert status == "action developer error"
    assert result["error"].startswith("Initialization has failed due to: Error: Cannot find module 'nowhere'")


@pytest.mark.parametrize(
    "body",
    [
        "const a = []; for (;;) a.push(new Array(1000).fill(a.length))",
        "const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))",
    ],
)
def test_too_much_memory_ends_the_action_and_the_next_one_runs(platform: Platform, body: str) -> None:
    code = f"function main(args) {{ if (args.ok) return args; {body}; }}"
    put(platform, "greedy", code, limits={"memory": 128, "timeout": 60000})
    assert response(platform.invoke("greedy")) == (502, "action developer error", {"error": EXHAUSTED})
    assert response(platform.invoke("greedy", {"ok": 1})) == (200, "success", {"ok": 1})


def test_activations_run_side_by_side_in_one_process_where_the_limit_allows_it(platform: Platform) -> None:
    code = """
let waiting = [];
async function main({ all }) {
  await new Promise((done) => { waiting.push(done); if (waiting.length === all) waiting.forEach((go) => go()); });
  return { id: process.env.__OW_ACTIVATION_ID, count: waiting.length };
}
"""
    assert put(platform, "together", code, limits={"concurrency": 5}).status == 200
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: platform.invoke("together", {"all": 5}), range(5)))
    assert [answer.body["response"]["result"]["id"] for answer in answers] == [
        answer.body["activationId"] for answer in answers
    ]
    assert {answer.body["response"]["result"]["count"] for answer in answers} == {5}


def nodes(platform: Platform) -> int:
    """Processes of Node.js that the platform has."""
    return sum(below(pid) for pid in children(platform.process.pid))


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def below(pid: int) -> int:
    try:
        own = os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "node"
    except OSError:
        own = False
    return own + sum(below(child) for child in children(pid))


def test_a_container_waits_with_its_process_and_the_stock_is_refilled_after_use(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--memory", "2048") as platform:
        wait_until(lambda: nodes(platform) == 1)
        for number in range(3):
            put(platform, f"a{number}", "const main = () => ({ pid: process.pid });")
            assert platform.invoke(f"a{number}").body["response"]["result"] == {"pid": 2}
            wait_until(lambda: nodes(platform) == number + 2)  # noqa: B023 - called at once


def test_what_waits_goes_where_an_action_needs_its_memory(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--memory", "512", "--prewarm", f"{NODE}=2") as platform:
        wait_until(lambda: nodes(platform) == 2)
        made = put(platform, "large", "def main(args):\n    return {}\n", "python:3", limits={"memory": 512})
        assert made.status == 200
        assert platform.invoke("large").status == 200
        assert nodes(platform) == 0


def test_without_node_the_other_kinds_run_and_the_package_is_named(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bwrap", "env"):
        (tools / name).symlink_to(shutil.which(name) or "")
    with running(tmp_path / "data", environment={"PATH": str(tools)}) as platform:
        assert platform.create("python", "def main(args):\n    return {}\n").status == 200
        assert platform.invoke("python").status == 200
        refused = put(platform, "node", "const main = () => ({});")
        assert refused.status == 400
        assert refused.body["error"].endswith("(apt-get install nodejs) and a new start.")
        assert "apt-get install nodejs" in platform.output.read_text()
        assert list(families(platform)) == ["python"]


def test_a_wish_that_cannot_be_had_stops_the_start_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="prewarm: the kind nodejs:1 does not run here"):
        Platform(tmp_path / "data", "--prewarm", "nodejs:1=1")


def test_thirty_cold_starts_at_once_all_end_well(platform: Platform) -> None:
    put(platform, "many", "const main = async () => { await new Promise((r) => setTimeout(r, 300)); return {}; }")
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: platform.invoke("many"), range(30)))
    assert {answer.status for answer in answers} == {200}
