"""A stop of `upcall serve` while there is work of every sort: what is finished, what is refused, what the next life
gets (D8)."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.system.remains import Remains, wait_until
from tests.system.serving import Answer, Platform, running
from tests.system.trials import record
from upcall.app.folders import run_folder
from upcall.model import texts

SLEEP = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'slept': args['s']}\n"
STARTED = 0.3
"""Seconds in which a warm action runs."""
PYTHON_3 = {"kind": "python:3", "code": "def main(args): return args"}


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def prepare(platform: Platform) -> None:
    platform.create("sleep", SLEEP, limits={"timeout": 60000, "memory": 256})
    assert platform.invoke("sleep", {"s": 0}).status == 200


def begin(platform: Platform, threads: ThreadPoolExecutor, seconds: float) -> Future[Answer]:
    """A blocking call, which runs when this returns."""
    call = threads.submit(platform.invoke, "sleep", {"s": seconds})
    time.sleep(STARTED)
    return call


def signalled(platform: Platform, number: signal.Signals = signal.SIGTERM) -> None:
    """Send it, and return when the platform has begun to stop."""
    platform.process.send_signal(number)
    wait_until(lambda: "stopping: running activations" in platform.output.read_text())


def assert_refused(answer: Answer) -> None:
    assert answer.status == 503
    assert answer.body == {"error": texts.STOPPING, "code": answer.headers["x-request-id"]}
    assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "5")


def raw(platform: Platform, method: str, path: str, body: bytes = b"", length: int | None = None) -> bytes:
    auth = b64encode(platform.auth.encode()).decode()
    head = (
        f"{method} /api/v1/namespaces/_/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {auth}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


def responses(connection: socket.socket) -> list[tuple[int, Any]]:
    """All that comes until the end: status and body."""
    found = []
    with connection.makefile("rb") as file:
        while line := file.readline():
            headers = http.client.parse_headers(file)
            body = file.read(int(headers["content-length"]))
            found.append((int(line.split()[1]), json.loads(body)))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [[], ["--tls", "self-signed"]], ids=["http", "https"])
def test_running_calls_are_answered_and_new_ones_refused(
    tmp_path: Path, threads: ThreadPoolExecutor, number: signal.Signals, options: list[str]
) -> None:
    with running(tmp_path / "data", *options) as platform:
        prepare(platform)
        remains = Remains(platform)
        idle = platform.connect()
        idle.request("GET", "/ping")
        idle.getresponse().read()
        call = begin(platform, threads, 1.5)
        remains.look_again(platform)
        signalled(platform, number)
        assert_refused(platform.invoke("sleep", {"s": 0}))
        assert_refused(platform.invoke("sleep", {"s": 0}, query=""))
        assert_refused(platform.call("PUT", "actions/other", {"exec": PYTHON_3}))
        assert_refused(platform.call("GET", "actions"))
        assert idle.sock is not None
        assert idle.sock.recv(1) == b"", "idle connections are closed"
        idle.close()
        assert not call.done()
        answer = call.result()
        assert (answer.status, answer.body["response"]["result"]) == (200, {"slept": 1.5})
        assert answer.headers["connection"] == "close"
        assert platform.process.wait(20) == 0
    remains.check()
    assert "Traceback" not in platform.output.read_text()
    with running(tmp_path / "data", *options) as platform:
        assert record(platform, answer.body["activationId"])["response"]["result"] == {"slept": 1.5}
        assert platform.call("GET", "actions/other").status == 404


def test_what_runs_for_nobody_ends_and_has_its_record(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        prepare(platform)
        id = platform.invoke("sleep", {"s": 1}, query="").body["activationId"]
        time.sleep(STARTED)
        assert platform.stop() == 0
    with running(tmp_path / "data") as platform:
        assert record(platform, id)["response"]["result"] == {"slept": 1}


def test_what_has_not_started_runs_in_the_next_life(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """The memory is that of one action; blocking calls that wait have their turn, while there is time."""
    with running(tmp_path / "data", "--memory", "256 MB") as platform:
        prepare(platform)
        first = begin(platform, threads, 1)
        queued = [platform.invoke("sleep", {"s": 0.01}, query="").body["activationId"] for _ in range(20)]
        assert platform.stop() == 0
        assert first.result().status == 200
    text = platform.output.read_text()
    assert "accepted activations have not started; they will with the next start" in text
    with running(tmp_path / "data", "--memory", "256 MB") as platform:
        for id in queued:
            assert record(platform, id)["response"]["result"] == {"slept": 0.01}


def test_a_caller_whose_call_has_not_started_in_time_is_told_its_id(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with running(tmp_path / "data", "--memory", "256 MB", "--grace", "1 s") as platform:
        prepare(platform)
        first = begin(platform, threads, 30)
        second = threads.submit(platform.invoke, "sleep", {"s": 0.02})
        time.sleep(STARTED)
        assert platform.stop() == 0
        assert (first.result().status, second.result().status) == (500, 202)
    with running(tmp_path / "data", "--memory", "256 MB") as platform:
        assert record(platform, second.result().body["activationId"])["response"]["result"] == {"slept": 0.02}


def test_pipelined_requests_are_answered_in_their_turn_and_new_ones_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        prepare(platform)
        with socket.create_connection(("127.0.0.1", platform.port)) as client:
            whole = raw(platform, "POST", "actions/sleep?blocking=true&result=true", b'{"s":1}')
            client.sendall(whole + whole)
            time.sleep(STARTED)
            signalled(platform)
            client.sendall(raw(platform, "GET", "actions"))
            found = responses(client)
        assert [status for status, _ in found[:2]] == [200, 200]
        assert [status for status, _ in found[2:]] in ([], [503]), "reading pauses while a second request waits"
        assert platform.process.wait(20) == 0


def test_a_new_request_behind_a_running_one_is_refused_in_its_turn(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        prepare(platform)
        with socket.create_connection(("127.0.0.1", platform.port)) as client:
            client.sendall(raw(platform, "POST", "actions/sleep?blocking=true&result=true", b'{"s":1}'))
            time.sleep(STARTED)
            signalled(platform)
            client.sendall(raw(platform, "GET", "actions"))
            (first, result), (second, refusal) = responses(client)
        assert (first, result, second, refusal["error"]) == (200, {"slept": 1}, 503, texts.STOPPING)
        assert platform.process.wait(20) == 0


def test_an_upload_that_goes_on_is_taken_and_one_that_does_not_is_refused(tmp_path: Path) -> None:
    code = json.dumps({"exec": PYTHON_3}).encode()
    with running(tmp_path / "data") as platform, socket.create_connection(("127.0.0.1", platform.port)) as slow:
        slow.sendall(raw(platform, "PUT", "actions/slow", code[:20], len(code)))
        with socket.create_connection(("127.0.0.1", platform.port)) as halting:
            halting.sendall(raw(platform, "PUT", "actions/halting", code[:20], len(code)))
            time.sleep(0.3)
            signalled(platform)
            slow.sendall(code[20:])
            assert [status for status, _ in responses(slow)] == [200]
            ((status, body),) = responses(halting)
            assert (status, body["error"]) == (503, texts.STOPPING)
        assert platform.process.wait(20) == 0
    with running(tmp_path / "data") as platform:
        assert platform.call("GET", "actions/slow").status == 200
        assert platform.call("GET", "actions/halting").status == 404


# --- the signals


def test_a_second_signal_ends_the_wait_for_requests(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with running(tmp_path / "data") as platform:
        prepare(platform)
        remains = Remains(platform)
        call = begin(platform, threads, 30)
        remains.look_again(platform)
        signalled(platform)
        assert platform.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert call.exception() is not None
    remains.check()
    assert "stopped at once by a second signal" in platform.output.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """At steps of 50 ms from the moment at which it touches anything."""
    command = [sys.executable, "-m", "upcall", "serve", "--port", "0", "--data"]
    for step in range(8):
        data = tmp_path / f"data{step}"
        process = subprocess.Popen([*command, str(data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(data.exists)
        time.sleep(0.05 * step)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in errors) == (0, False), (step, errors)
        assert not run_folder(data).exists()


# --- calls of actions that run

CALLER = """
import base64, http.client, os, time
def main(args):
    time.sleep(args["before"])
    connection = http.client.HTTPConnection(os.environ["__OW_API_HOST"].partition("//")[2], timeout=20)
    key = base64.b64encode(os.environ["__OW_API_KEY"].encode()).decode()
    head = {"Authorization": "Basic " + key, "Content-Type": "application/json"}
    path = "/api/v1/namespaces/_/actions/sleep?result=true&blocking=" + str(args["wait"]).lower()
    connection.request("POST", path, '{"s":0.3}', head)
    answer = connection.getresponse()
    return {"status": answer.status, "body": answer.read().decode()}
"""
KEYED = [{"key": "provide-api-key", "value": True}]


@pytest.mark.parametrize("query", ["blocking=true", ""], ids=["blocking", "non-blocking"])
def test_what_runs_may_call_and_waits_for_the_answer(tmp_path: Path, threads: ThreadPoolExecutor, query: str) -> None:
    with running(tmp_path / "data") as platform:
        prepare(platform)
        platform.create("caller", CALLER, annotations=KEYED)
        call = threads.submit(platform.invoke, "caller", {"before": 1, "wait": True}, query)
        time.sleep(0.7)
        signalled(platform)
        assert_refused(platform.invoke("sleep", {"s": 0}))
        assert platform.process.wait(20) == 0
    with running(tmp_path / "data") as platform:
        outer = record(platform, call.result().body["activationId"])
        assert outer["response"]["result"] == {"status": 200, "body": '{"slept":0.3}'}


def test_what_is_called_and_not_waited_for_runs_in_the_next_life(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with running(tmp_path / "data") as platform:
        prepare(platform)
        platform.create("caller", CALLER, annotations=KEYED)
        call = threads.submit(platform.invoke, "caller", {"before": 1, "wait": False})
        time.sleep(0.7)
        signalled(platform)
        result = call.result().body["response"]["result"]
        assert result["status"] == 202
        assert platform.process.wait(20) == 0
    with running(tmp_path / "data") as platform:
        inner = record(platform, json.loads(result["body"])["activationId"])
        assert inner["response"]["result"] == {"slept": 0.3}
