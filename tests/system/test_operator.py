"""The operator's command line and routes on a real platform: status, top, log-level, metrics, stories, and its log."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.serving import Platform, running

KEYS = {"UPCALL_LOG_LEVEL": "debug", "UPCALL_LOG_FORMAT": "json"}
BROKEN = "def main(args):\n    raise ValueError(args['secret'])\n"
UNENDING = "import time\n\ndef main(args):\n    time.sleep(60)\n"
INSIDE = """
import os, urllib.error, urllib.request

def main(args):
    host, found = os.environ["__OW_API_HOST"], {}
    for path in args["paths"]:
        request = urllib.request.Request(host + path, headers={"Authorization": args["auth"]})
        try:
            found[path] = urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as error:
            found[path] = error.code
    return found
"""


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("operated") / "data", environment=KEYS) as platform:
        yield platform


def environment(platform: Platform, **variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("UPCALL_", "WSK_", "__OW"))}
    return {**inherited, "UPCALL_DATA": str(platform.data), "HOME": str(platform.data.parent / "home"), **variables}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "upcall", *arguments]


def upcall(platform: Platform, *arguments: str, **variables: str) -> Told:
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(platform, **variables),
    )
    return Told(done.returncode, done.stdout, done.stderr)


def operator_key(platform: Platform) -> str:
    return (platform.data / ".operator").read_text().strip()


def operate(platform: Platform, method: str, path: str) -> tuple[int, Any]:
    connection = platform.connect()
    try:
        headers = {"Authorization": "Basic " + b64encode(operator_key(platform).encode()).decode()}
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    return response.status, json.loads(text) if text[:1] in ("{", "[") else text


def metrics(platform: Platform) -> dict[str, float]:
    connection = platform.connect()
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_status_says_what_the_platform_is_at(platform: Platform) -> None:
    platform.create("hello", "def main(args): return args")
    assert platform.invoke("hello").status == 200
    told = upcall(platform, "status")
    assert (told.code, told.err) == (0, "")
    first, *rest = told.out.splitlines()
    assert first.startswith(f"upcall 0.1.0 at {platform.url}: ready (process {platform.process.pid}, up ")
    titles = [line.split(":")[0].strip() for line in rest]
    assert titles[:8] == [
        "actions",
        "cgroups",
        "kinds",
        "memory",
        "containers",
        "activations",
        "since start",
        "kept",
    ]
    status = json.loads(upcall(platform, "status", "--json").out)
    assert status["state"] == "ready"
    assert status["pid"] == platform.process.pid
    assert status["pool"]["states"]["warm"] >= 1
    assert status["activations"]["taken"] >= 1
    if "memory" in status["cgroups"]:
        assert status["pool"]["memory"]["used"] > 1 << 20


def test_the_key_is_this_users_alone_and_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as platform:
        assert stat.S_IMODE((data / ".operator").stat().st_mode) == 0o600
        user, _, password = operator_key(platform).partition(":")
        assert (user, len(password) > 40) == ("operator", True)
        assert platform.call("GET", "actions", auth=operator_key(platform)).status == 401
    with running(data) as platform:
        assert operator_key(platform) == f"{user}:{password}"
    with running(data, environment={"CONFIG_whisk_invoker_password": "mine", "CONFIG_whisk_invoker_username": "me"}):
        assert (data / ".operator").read_text() == "me:mine\n"


def test_a_status_that_cannot_be_had_is_one_line_and_an_exit_code(platform: Platform, tmp_path: Path) -> None:
    wrong = upcall(platform, "status", UPCALL_OPERATOR="operator:guess")
    assert wrong.code == 1
    assert "does not take the operator's key" in wrong.err
    nowhere = upcall(platform, "status", "--apihost", "http://127.0.0.1:1", UPCALL_OPERATOR="a:b")
    assert nowhere.code == 1
    assert "nothing listens at http://127.0.0.1:1" in nowhere.err
    other = upcall(platform, "status", "--apihost", "http://127.0.0.1:1")
    assert other.code == 2
    assert "no operator's key for http://127.0.0.1:1 is known" in other.err
    for told in (wrong, nowhere, other):
        assert (told.out, len(told.err.splitlines())) == ("", 1)


def test_disabled_it_keeps_what_comes_and_runs_it_afterwards(platform: Platform) -> None:
    platform.create("hello", "def main(args): return args")
    assert operate(platform, "POST", "/disable") == (200, "invoker0 is now disabled.")
    try:
        answer = platform.invoke("hello", {"n": 1}, query="")
        assert answer.status == 202
        told = upcall(platform, "status")
        assert told.code == 1
        assert "disabled" in told.out.splitlines()[0]
        assert "takes no activations, 1 wait" in told.out
        assert platform.call("GET", f"activations/{answer.body['activationId']}").status == 404
    finally:
        assert operate(platform, "POST", "/enable") == (200, "invoker0 is now enabled.")
    for _ in range(500):
        record = platform.call("GET", f"activations/{answer.body['activationId']}")
        if record.status == 200:
            break
        time.sleep(0.01)
    assert record.body["response"]["result"] == {"n": 1}
    assert upcall(platform, "status").code == 0


def test_a_platform_that_stops_is_not_ready(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        platform.create("long", UNENDING)
        platform.invoke("long", query="")
        platform.process.send_signal(signal.SIGTERM)
        told = upcall(platform, "status")
        assert told.code == 1
        assert len(told.err.splitlines()) == 1
        platform.process.send_signal(signal.SIGTERM)


def test_top_shows_actions_and_failures(platform: Platform) -> None:
    platform.create("broken", BROKEN)
    failed = platform.invoke("broken", {"secret": "told-to-nobody"})
    told = upcall(platform, "top", "--once")
    assert told.code == 0
    assert "slowest actions" in told.out
    assert "guest/broken" in told.out
    assert failed.body["activationId"] in told.out
    assert "action developer error" in told.out
    assert "told-to-nobody" not in told.out


def test_top_is_a_line_each_time_where_it_is_no_terminal(platform: Platform) -> None:
    with subprocess.Popen(
        command("top", "--interval", "0.1"), stdout=subprocess.PIPE, text=True, env=environment(platform)
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    for line in lines:
        assert " ready: " in line
        assert "GB promised" in line
    assert "Traceback" not in rest


def test_top_is_a_page_on_a_terminal_which_is_left_as_it_was(platform: Platform) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        variables = environment(platform, TERM="xterm", COLUMNS="120", LINES="40")
        os.execve(sys.executable, command("top", "--interval", "0.1"), variables)
    shown = b""
    try:
        while b"slowest actions" not in shown or shown.count(b"\x1b[H") < 3:
            shown += os.read(terminal, 65536)
        os.kill(pid, signal.SIGINT)
        while True:
            shown += os.read(terminal, 65536)
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"\x1b[?1049h" in shown
    assert b"\x1b[?1049l" in shown
    assert b"Traceback" not in shown


def test_the_level_of_the_log_changes_while_it_runs(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--log-level", "warning") as platform:
        assert upcall(platform, "log-level").out == "warning\n"
        assert upcall(platform, "log-level", "info").out == "ok: log level info\n"
        assert upcall(platform, "log-level").out == "info\n"
        operate(platform, "POST", "/disable")
        operate(platform, "POST", "/enable")
        assert "[INFO] [#tid_sid_unknown] [invoker.service] invoker0 is enabled" in platform.output.read_text()
        assert upcall(platform, "log-level", "loud").code == 2


def test_metrics_tell_what_happened(platform: Platform) -> None:
    platform.create("counted", "def main(args): return args")
    before = metrics(platform)
    for _ in range(3):
        platform.invoke("counted")
    found = metrics(platform)

    def grown(name: str) -> float:
        return found.get(name, 0) - before.get(name, 0)

    starts = "counter_invoker_containerStart_counter_total"
    assert found[f"{starts} counted cold guest guest"] == 1
    assert found[f"{starts} counted warmed guest guest"] == 2
    for name in (
        "counter_invoker_activation_start_total",
        "counter_invoker_activationRun_start_total",
        "histogram_invoker_activationRun_finish_seconds_count",
        "histogram_invoker_collectLogs_finish_seconds_count",
        "upcall_activation_wait_seconds_count",
        "upcall_activations_ended_total success",
        "histogram_http_post_counter_seconds_count 200",
    ):
        assert grown(name) == 3, name
    assert grown("counter_invoker_activationInit_start_total") == 1
    assert grown("histogram_invoker_activationInit_finish_seconds_count") == 1
    assert grown("upcall_container_seconds_count create") >= 1  # a stem cell may have come up meanwhile
    assert grown("counter_database_cacheMiss_counter_total") == 1
    assert grown("counter_database_cacheHit_counter_total") == 2
    assert found["upcall_pool_promised_bytes"] > 0
    assert found["upcall_loop_lag_seconds_count"] > 0
    assert found["upcall_store_trouble"] == 0
    assert "upcall_journal_activations" in found


def test_metrics_without_tags(tmp_path: Path) -> None:
    with running(tmp_path / "data", environment={"METRICS_KAMON_TAGS": "false"}) as platform:
        platform.create("hello", "def main(args): return args")
        platform.invoke("hello")
        found = metrics(platform)
    assert found["counter_invoker_containerStart_cold_counter_total"] == 1
    assert not any("hello" in name for name in found)


def test_a_container_has_its_story(platform: Platform) -> None:
    platform.create("storied", "def main(args): return args")
    id_ = platform.invoke("storied").body["activationId"]
    status, shown = operate(platform, "GET", "/pool/containers")
    assert status == 200
    mine = next(each for each in shown if each["action"] == "guest/storied")
    assert (mine["kind"], mine["namespace"], mine["state"]) == ("python:3", "guest", "warm")
    for name in (mine["number"], mine["id"]):
        status, story = operate(platform, "GET", f"/pool/containers/{name}/story")
        assert status == 200
        assert [each["event"] for each in story][:4] == ["→ Create", "Created", "→ Run", "Inited"]
        assert story[0]["activation"] == id_
    assert operate(platform, "GET", "/pool/count") == (200, str(len(operate(platform, "GET", "/pool/containers")[1])))


def test_actions_reach_none_of_it(platform: Platform) -> None:
    platform.create("inside", INSIDE)
    paths = ["/ping", "/status", "/pool", "/pool/containers", "/isEnabled", "/loglevel", "/metrics", "/activation"]
    auth = "Basic " + b64encode(operator_key(platform).encode()).decode()
    answer = platform.invoke("inside", {"paths": paths, "auth": auth}, query="blocking=true&result=true")
    assert answer.body == {path: 200 if path == "/ping" else 404 for path in paths}


def test_lines_about_an_activation_have_its_ids_and_none_has_a_key(platform: Platform) -> None:
    platform.create("broken", BROKEN)
    platform.create("killed", "import os\n\ndef main(args):\n    os._exit(1)\n")
    for name in ("broken", "killed", "missing"):
        platform.invoke(name, {"secret": "of-a-user"})
    platform.call("GET", "actions", auth=f"{platform.auth[:36]}:{'x' * 64}")
    upcall(platform, "status")
    upcall(platform, "log-level", "info")
    bad = {"kind": "nodejs:20", "code": "this is no code"}
    platform.call("PUT", "actions/unreadable?overwrite=true", {"exec": bad})
    platform.invoke("unreadable")
    text = platform.output.read_text()
    secrets = [platform.auth, platform.auth[37:], operator_key(platform), operator_key(platform).split(":")[1]]
    secrets += [b64encode(secret.encode()).decode() for secret in (platform.auth, operator_key(platform))]
    for secret in [*secrets, "x" * 64, "of-a-user"]:
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    for line in lines:
        if "activation" in line:
            assert {"transid", "namespace", "action"} <= line.keys()


def test_a_container_that_cannot_be_had_is_logged_with_the_ids_of_its_activation(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--prewarm", "none", environment=KEYS) as platform:
        image = {"kind": "blackbox", "image": "somebody/image"}
        platform.call("PUT", "actions/image?overwrite=true", {"exec": image})
        id_ = platform.invoke("image").body["activationId"]
        lines = [json.loads(line) for line in platform.output.read_text().splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line["message"].startswith("no container for blackbox")]
        assert line["level"] == "warning"
        assert line["activation"] == id_
        assert (line["namespace"], line["action"]) == ("guest", "guest/image")
        assert len(line["transid"]) == 32
