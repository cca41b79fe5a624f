"""`upcall serve` as its operator meets it: what it refuses and how, signals, streams, what is left behind."""

import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.remains import groups
from tests.system.serving import Answer, Platform, running
from upcall.app.folders import run_folder
from upcall.model import texts

SLEEP = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'slept': args['s']}\n"
KEY = f"12345678-1234-1234-1234-123456789abc:{'k3Y' * 21}k"
SERVE = [sys.executable, "-m", "upcall", "serve", "--port", "0", "--data"]


def refusal(*options: str, environment: dict[str, str] | None = None, data: Path = Path("/nowhere")) -> str:
    """The one line that it says instead of starting."""
    done = subprocess.run(
        [*SERVE, str(data), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={**os.environ, **(environment or {})},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("upcall: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--memory", "100"],
            r"--memory: 100 MB .* is less than the 256 MB that one action usually takes .*: set more",
        ),
        (["--host", "192.0.2.1"], r"cannot listen on 192\.0\.2\.1 port 0: Cannot assign.*; name another .*--host"),
        (["--config", "/nowhere/upcall.toml"], r"/nowhere/upcall\.toml cannot be read: No such file or directory$"),
        (["--auth", f"not-a-uuid:{KEY[37:]}"], "--auth: credentials are UUID:KEY"),
        (["--grace", "soon"], "--grace: 'soon' is no duration"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(options: list[str], says: str, tmp_path: Path) -> None:
    told = refusal(*options, data=tmp_path)
    assert re.search(says, told)
    assert KEY[37:] not in told


def test_a_port_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = refusal("--port", port, data=tmp_path / "data")
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; name another" in told


def test_a_second_owner_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as platform:
        pid = platform.process.pid
        told = refusal(data=data)
        assert f"data folder {data} is in use by process {pid} on port {platform.port}; stop it (kill {pid})" in told
        assert platform.call("GET", "actions").status == 200
        platform.process.kill()
        platform.process.wait()
    with running(data) as platform:
        assert platform.process.pid != pid, "what a killed owner has left of its lock is no obstacle"


def test_a_data_folder_that_cannot_be_used_is_named_with_the_cause(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert f"data folder {file} cannot be used: File exists; name another with --data" in refusal(data=file)
    (tmp_path / "lock").mkdir()
    assert f"data folder {tmp_path} cannot be used: lock: Is a directory;" in refusal(data=tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_at_start_is_told_and_leaves_no_trace_back(tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o size=64k none {tmp_path} && head -c 100000 /dev/zero > {tmp_path}/fill; exec $0 $@"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, *SERVE, f"{tmp_path}/data"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert re.search(r"^upcall: .*data cannot be used: No space left on device; name another", done.stderr, re.M)
    assert "Traceback" not in done.stderr


def test_somebody_elses_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    tmp_path.chmod(0o755)
    with running(tmp_path) as platform:
        assert tmp_path.stat().st_mode & 0o777 == 0o755
        private = [path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077 == 0]
        assert {"lock", ".wskprops", "upcall.db"} <= set(private)
    platform.output.unlink()


def test_an_address_that_others_reach_is_remarked(tmp_path: Path) -> None:
    with running(tmp_path / "open", "--host", "0.0.0.0") as platform:
        assert "--host 0.0.0.0: other machines reach the API" in platform.output.read_text()
    with running(tmp_path / "local") as platform:
        assert "other machines" not in platform.output.read_text()


# --- signals


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def begin(platform: Platform, threads: ThreadPoolExecutor, seconds: float) -> Future[Answer]:
    """A blocking call of an action, which runs when this returns."""
    platform.create("sleep", SLEEP, limits={"timeout": 60000})
    platform.invoke("sleep", {"s": 0})
    call = threads.submit(platform.invoke, "sleep", {"s": seconds})
    time.sleep(0.3)
    return call


def left(data: Path) -> list[str]:
    """What a platform has left of itself on this host."""
    run = run_folder(data)
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(data) in line or os.fsencode(run) in line:
            processes.append(line.decode())
    return [*groups(run), *processes, *(path.name for path in run.glob("*") if path.name != "lock")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_running_calls_finish(
    tmp_path: Path, threads: ThreadPoolExecutor, number: signal.Signals
) -> None:
    with running(tmp_path / "data") as platform:
        call = begin(platform, threads, 1)
        assert platform.stop(number) == 0
        assert (call.result().status, call.result().body["response"]["result"]) == (200, {"slept": 1})
    assert left(tmp_path / "data") == []
    assert not run_folder(tmp_path / "data").exists()
    assert "Traceback" not in platform.output.read_text()


@pytest.mark.parametrize("grace", ["300 ms", "0 s"])
def test_what_takes_longer_than_the_grace_is_told_so(tmp_path: Path, threads: ThreadPoolExecutor, grace: str) -> None:
    with running(tmp_path / "data", "--grace", grace) as platform:
        call = begin(platform, threads, 50)
        began = time.monotonic()
        assert platform.stop() == 0
        assert time.monotonic() - began < 20
        answer = call.result()
        assert answer.status == 500
        assert answer.body["response"]["result"] == {"error": texts.SHUTDOWN}
    assert left(tmp_path / "data") == []
    assert "1 activations do not end in time" in platform.output.read_text()
    with running(tmp_path / "data") as platform:
        record = platform.call("GET", f"activations/{answer.body['activationId']}").body
    assert (record["response"]["status"], record["response"]["result"]) == (
        "whisk internal error",
        {"error": texts.SHUTDOWN},
    )


def test_a_second_signal_stops_at_once_and_leaves_nothing(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with running(tmp_path / "data") as platform:
        call = begin(platform, threads, 50)
        platform.process.send_signal(signal.SIGHUP)
        platform.process.send_signal(signal.SIGHUP)  # a closing terminal sends it more than once
        time.sleep(0.3)
        assert platform.process.poll() is None
        assert platform.stop(signal.SIGINT) == 128 + signal.SIGINT
        assert call.exception() is not None
    eventually_nothing(tmp_path / "data")


def test_a_killed_platform_leaves_its_data_and_nothing_else(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with running(tmp_path / "data") as platform:
        call = begin(platform, threads, 50)
        platform.stop(signal.SIGKILL)
        assert call.exception() is not None
    eventually_nothing(tmp_path / "data")
    with running(tmp_path / "data") as platform:
        assert platform.invoke("sleep", {"s": 0}).status == 200


def eventually_nothing(data: Path) -> None:
    deadline = time.monotonic() + 10
    while left(data):
        assert time.monotonic() < deadline, left(data)
        time.sleep(0.02)


def test_half_a_request_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data") as platform,
        socket.create_connection(("127.0.0.1", platform.port)) as half,
        socket.create_connection(("127.0.0.1", platform.port)),
    ):
        half.send(b"POST /api/v1/namespaces/_/actions/a HTTP/1.1\r\nHos")
        time.sleep(0.1)
        began = time.monotonic()
        assert platform.stop() == 0
        assert time.monotonic() - began < 10  # the grace is 30
        assert half.recv(100).startswith(b"HTTP/1.1 503 ")


# --- streams


def ready_and_stopped(data: Path, redirections: str) -> tuple[int, str]:
    """Run with the shell's redirections; the exit code after SIGTERM, and what was said on stderr if it is open."""
    errors = data.parent / "stderr"
    command = f"exec $0 $@ 2>{errors} {redirections}"
    process = subprocess.Popen(["sh", "-c", command, *SERVE, str(data)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    deadline = time.monotonic() + 20
    while process.poll() is None and not (data / ".wskprops").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.terminate()
    return process.wait(20), errors.read_text()


@pytest.mark.parametrize("redirections", ["", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_and_pipes_without_a_reader_are_no_trouble(tmp_path: Path, redirections: str) -> None:
    code, errors = ready_and_stopped(tmp_path / "data", redirections)
    assert code == 0
    assert not re.search("Traceback|Error|Assertion", errors)


def test_a_closed_terminal_stops_it(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execv(SERVE[0], [*SERVE, str(tmp_path / "data")])
    while b"stop it" not in os.read(terminal, 4096):
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert left(tmp_path / "data") == []


def test_it_takes_as_many_open_files_as_it_may(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with running(tmp_path / "data") as platform:
            assert resource.prlimit(platform.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- keys


def test_the_key_is_in_no_log_and_no_command_line_of_ours(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    environment = {"UPCALL_AUTH": KEY, "UPCALL_LOG_LEVEL": "debug"}
    with running(tmp_path / "data", environment=environment) as platform:
        assert platform.auth == KEY
        call = begin(platform, threads, 0.5)
        platform.call("GET", "actions", auth=KEY[:-1])
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert [line for line in lines if KEY[37:60].encode() in line] == []
        assert call.result().status == 200
    assert KEY[37:60] not in platform.output.read_text()


def test_without_bubblewrap_the_package_is_named(tmp_path: Path) -> None:
    told = refusal(data=tmp_path / "data", environment={"PATH": str(tmp_path)})
    assert "apt-get install bubblewrap" in told
