"""Runtimes whose proxy is a Go program (net/http) with one child that stays, in images FROM scratch: chunked answers, a
second /run beside the first ends the container, logs by the engine's stream.

spec: container.md §2, §3, §7, §8; logs.md §2.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.docker.compiled import action_loop, zipped
from tests.docker.platform import eventually, on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.operating import upcall
from tests.system.serving import Platform
from upcall.model import texts

pytestmark = pytest.mark.usefixtures("inside")

IMAGE = {"prefix": "openwhisk", "name": "action-golang-v1.22", "tag": "loop"}
MANIFEST = {"runtimes": {"go": [{"kind": "go:1.22", "default": True, "image": IMAGE}]}}
SOURCE = {"kind": "go:1.22", "code": "package main"}
SMALL = {"memory": 128}
ROOM = 8
"""Small actions that may run at a time."""


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    action_loop(engine, "openwhisk/action-golang-v1.22:loop")
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("RUNTIMES_MANIFEST", json.dumps(MANIFEST))
        variables.setenv("UPCALL_POOL_PAUSE_GRACE", "500 ms")
        variables.setenv("UPCALL_LIMITS_CONCURRENCY_MAX", "4")
        data = tmp_path_factory.mktemp("loop") / "data"
        with on_docker(engine, data, "--memory", f"{ROOM * 128} MB") as made:
            yield made


def create(platform: Platform, name: str, exec: dict[str, Any] = SOURCE, **limits: int) -> None:
    answer = platform.call("PUT", f"actions/{name}?overwrite=true", {"exec": exec, "limits": {**SMALL, **limits}})
    assert answer.status == 200, answer


def result(record: Any) -> Any:
    return record["response"]["result"]


def paused(platform: Platform) -> int:
    found = upcall("status", "--json", environment={"UPCALL_DATA": str(platform.data)})
    return int(json.loads(found.out)["pool"]["states"].get("paused", 0))


def test_source_and_zip_are_initialised_once_and_run_warm_with_their_logs(platform: Platform) -> None:
    for name, exec, code in (
        ("source", SOURCE, "package main"),
        ("zip", {"kind": "go:1.22", "code": zipped()}, ""),
    ):
        create(platform, name, exec)
        for run in (1, 2, 3):
            record = recorded(platform, name, print=f"hi {run}")
            action = f"/guest/{name}"
            assert result(record) == {"runs": run, "code": code, "action": action, "env": action, "x": ""}
            assert sorted(printed(record)) == [f"stderr: also hi {run}", f"stdout: hi {run}"]


def test_answers_in_chunks_are_taken_whole(platform: Platform) -> None:
    create(platform, "large")
    for size in (10, 3_000, 900_000):
        assert result(recorded(platform, "large", large=size))["x"] == "x" * size
    cut = recorded(platform, "large", large=1_100_000)["response"]
    assert cut["status"] == "application error"
    assert cut["result"]["error"].startswith("The action produced a response that exceeded the allowed length: 1100")
    assert result(recorded(platform, "large", large=1))["runs"] == 5


def test_what_it_says_of_errors_is_passed_on(platform: Platform) -> None:
    create(platform, "errors")
    response = recorded(platform, "errors", answer={"error": {"no": 1}})["response"]
    assert (response["status"], response["result"]) == ("application error", {"error": {"no": 1}})
    response = recorded(platform, "errors", answer="text")["response"]
    told = {"error": "The action did not return a dictionary or array."}
    assert (response["status"], response["result"]) == ("action developer error", told)
    assert result(recorded(platform, "errors"))["runs"] == 1
    assert platform.invoke("errors", {"answer": ["a", 1]}).body == ["a", 1]


def test_source_that_does_not_compile(platform: Platform) -> None:
    create(platform, "broken", {**SOURCE, "code": "syntax error"})
    record = recorded(platform, "broken")
    assert result(record) == {"error": "cannot start action: the action does not compile"}
    assert printed(record) == [f"stderr: {texts.LOGS_DEVELOPER}"]
    create(platform, "nothing", {"kind": "go:1.22", "code": zipped()[:100]})
    assert result(recorded(platform, "nothing"))["error"].startswith("cannot start action: ")


def test_a_child_that_ends_and_one_that_takes_too_long_are_replaced(platform: Platform) -> None:
    create(platform, "ends", timeout=2000)
    record = recorded(platform, "ends", print="last", exit=True)
    assert result(record) == {"error": "command exited"}
    assert sorted(printed(record)) == ["stderr: " + texts.LOGS_DEVELOPER, "stderr: also last", "stdout: last"]
    assert result(recorded(platform, "ends", sleep=4)) == {"error": texts.run_timeout(2000)}
    assert result(recorded(platform, "ends"))["runs"] == 1


def test_twenty_at_a_time_never_meet_in_one_container(platform: Platform) -> None:
    """Where two did it would end, and neither of them had its answer."""
    create(platform, "many", timeout=60_000)
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda n: recorded(platform, "many", print=f"n{n}", sleep=0.05), range(60)))
    assert [record["response"]["status"] for record in found] == ["success"] * 60
    assert [sorted(printed(record)) for record in found] == [
        [f"stderr: also n{number}", f"stdout: n{number}"] for number in range(60)
    ]
    assert max(result(record)["runs"] for record in found) > 60 // ROOM - 1


def test_where_its_limits_let_two_meet_it_ends(platform: Platform) -> None:
    """The proof that the calls of the test above did not."""
    create(platform, "meet", concurrency=4)
    recorded(platform, "meet")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: recorded(platform, "meet", sleep=1), range(4)))
    assert {"error": texts.RUN_DIED} in [result(record) for record in found]


def test_after_a_pause_it_is_as_warm_as_before(platform: Platform) -> None:
    create(platform, "rests")
    for run in (1, 2, 3):
        assert result(recorded(platform, "rests"))["runs"] == run
        eventually(lambda: paused(platform) > 0, lambda: "nothing is paused")
