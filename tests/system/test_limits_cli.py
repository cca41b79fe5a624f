"""`upcall limits`: wskadmin's texts, and what a running platform makes of them (spec: cli-admin.md §1)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.operating import Caller, Outcome, upcall
from tests.system.serving import Platform, running

NONE = (0, "No limits found, default system limits apply\n", "")
ALL = {
    "invocationsPerMinute": "61",
    "firesPerMinute": "62",
    "concurrentInvocations": "63",
    "minActionMemory": "128",
    "maxActionMemory": "256",
    "minActionLogs": "0",
    "maxActionLogs": "5",
    "minActionTimeout": "100",
    "maxActionTimeout": "1000",
    "minActionConcurrency": "1",
    "maxActionConcurrency": "2",
    "maxParameterSize": "1 MB",
    "maxPayloadSize": "2 MB",
    "truncationSize": "1024 KB",
}


def set_(data: Path, *words: str) -> Outcome:
    return upcall("limits", "set", "alice", *words, data=data)


def get(data: Path) -> Outcome:
    return upcall("limits", "get", "alice", data=data)


def test_set_get_update_delete(tmp_path: Path) -> None:
    done = (0, 'Limits successfully set for "alice"\n', "")
    assert set_(tmp_path, "--invocationsPerMinute", "5") == done
    assert get(tmp_path) == (0, "invocationsPerMinute = 5\n", "")
    words = ["--storeActivations", "false", "--concurrentInvocations", "3", "--firesPerMinute", "2"]
    assert set_(tmp_path, *words) == done
    assert get(tmp_path).out.splitlines() == [
        "invocationsPerMinute = 5",
        "firesPerMinute = 2",
        "concurrentInvocations = 3",
        "storeActivations = False",
    ]
    assert upcall("limits", "get", "other", data=tmp_path) == NONE
    assert upcall("limits", "delete", "alice", data=tmp_path) == (0, "Limits deleted\n", "")
    assert get(tmp_path) == NONE
    gone = upcall("limits", "delete", "alice", data=tmp_path)
    assert gone == (1, "Failed to delete limits (not found)\n", "")


def test_every_option(tmp_path: Path) -> None:
    words = [word for name, value in ALL.items() for word in (f"--{name}", value)]
    kinds = ["--allowedKinds", "nodejs:20", "blackbox", "--storeActivations", "true"]
    assert upcall("limits", "set", "alice", *kinds, *words, data=tmp_path).code == 0
    lines = get(tmp_path).out.splitlines()
    assert set(lines) == {
        *(f"{name} = {value}" for name, value in ALL.items()),
        "allowedKinds = ['nodejs:20', 'blackbox']",
        "storeActivations = True",
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "at least one limit"),
        (["--invocationsPerMinute", "-1"], "--invocationsPerMinute"),
        (["--invocationsPerMinute", "many"], "--invocationsPerMinute"),
        (["--maxPayloadSize", "ten"], "'ten' is no size"),
        (["--storeActivations", "perhaps"], "--storeActivations"),
        (["--allowedKinds"], "--allowedKinds"),
        (["--allowedKinds", "--firesPerMinute", "3"], "--allowedKinds"),
        (["--perSecond", "3"], "--perSecond"),
    ],
)
def test_what_makes_no_sense_is_refused_and_makes_nothing(tmp_path: Path, words: list[str], why: str) -> None:
    code, out, err = upcall("limits", "set", "alice", *words, "--data", str(tmp_path / "data"))
    assert (code, out) == (2, "")
    assert why in err
    assert not (tmp_path / "data").exists()


def test_names_that_no_namespace_can_have(tmp_path: Path) -> None:
    assert upcall("limits", "get", " ", data=tmp_path) == (2, "Namespace must not be empty\n", "")
    refused = (2, "The namespace contains illegal characters.\n", "")
    assert upcall("limits", "set", "a/b", "--firesPerMinute", "3", data=tmp_path) == refused


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("limits") / "data") as platform:
        yield platform


def test_limits_work_at_once_on_a_warm_connection(platform: Platform) -> None:
    data = platform.data
    caller = Caller(platform, upcall("user", "create", "alice", data=data).out.strip())
    caller.make()
    assert [caller.invoke() for _ in range(3)] == [200] * 3
    assert set_(data, "--invocationsPerMinute", "0").code == 0
    status, body = caller.call("POST", "actions/hello?blocking=true", {})
    assert status == 429
    assert "allowed: 0" in body["error"]
    assert set_(data, "--invocationsPerMinute", "1000", "--maxPayloadSize", "1 KB").code == 0
    assert caller.invoke() == 200
    assert caller.call("POST", "actions/hello?blocking=true", {"a": "x" * 2000})[0] == 413
    assert upcall("limits", "delete", "alice", data=data).code == 0
    assert caller.call("POST", "actions/hello?blocking=true", {"a": "x" * 2000})[0] == 200
    caller.close()


def test_activations_are_not_stored_where_the_limits_say_so(platform: Platform) -> None:
    caller = Caller(platform, upcall("user", "create", "quiet", data=platform.data).out.strip())
    caller.make()
    seen = caller.call("POST", "actions/hello?blocking=true", {})[1]["activationId"]
    assert upcall("limits", "set", "quiet", "--storeActivations", "false", data=platform.data).code == 0
    hidden = caller.call("POST", "actions/hello?blocking=true", {})[1]["activationId"]
    assert caller.call("GET", f"activations/{seen}")[0] == 200
    assert caller.call("GET", f"activations/{hidden}")[0] == 404
    caller.close()
