"""Runtimes, zygote, guardian and platform are killed at every bad moment: each activation ends once, nothing is left.

Run by root, `ordinary` runs this file as an ordinary user, too.
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.remains import Remains, family, process, processes_of, wait_until
from tests.system.serving import Platform, running
from tests.system.trials import is_cold, record

DIED = "The action did not {} and exited unexpectedly."
NAMED = """
import ctypes, os, sys, time
def main(args):
    ctypes.CDLL(None).prctl(15, args["mark"].encode(), 0, 0, 0)
    while args.get("flood"):
        os.write(1, b"line\\n" * 1000)
    time.sleep(args.get("s", 0))
    return {"ok": 1}
"""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


@pytest.fixture
def mark() -> str:
    """A name for processes that no other test has."""
    return f"up{time.time_ns() % 10**12}"


def quick(grace: str = "10 s", idle: str = "10 m") -> dict[str, str]:
    return {"UPCALL_POOL_PAUSE_GRACE": grace, "UPCALL_POOL_IDLE_CONTAINER": idle}


def stopped(pid: int) -> bool:
    """Frozen by its cgroup, or stopped by init."""
    return process(pid).parts[0] in ("D", "T")


@pytest.mark.parametrize("paused", [False, True])
def test_a_runtime_killed_while_it_rests_costs_nobody_an_activation(tmp_path: Path, mark: str, paused: bool) -> None:
    with running(tmp_path / "data", environment=quick("10 ms" if paused else "10 s")) as platform:
        platform.create("named", NAMED)
        for _ in range(10):
            assert platform.invoke("named", {"mark": mark}).status == 200
            wait_until(lambda: len(processes_of(mark)) == 1)  # the last round's may not have been reaped yet
            (pid,) = processes_of(mark)
            if paused:
                wait_until(lambda pid=pid: stopped(pid))  # type: ignore[misc]
            os.kill(pid, signal.SIGKILL)
            answer = platform.invoke("named", {"mark": mark})
            assert (answer.status, is_cold(platform, answer)) == (200, True), answer.body
            platform.invoke("named", {"mark": f"{mark}x"})  # so that the next round has a process of its own


def test_a_zygote_killed_under_load_ends_each_activation_once(
    tmp_path: Path, mark: str, threads: ThreadPoolExecutor
) -> None:
    environment = {"LIMITS_ACTIONS_INVOKES_CONCURRENT": "100"}
    with running(tmp_path / "data", "--memory", "1024", environment=environment) as platform:
        platform.create("named", NAMED, limits={"memory": 128})
        calls = [threads.submit(platform.invoke, "named", {"mark": mark, "s": 0.6}) for _ in range(30)]
        wait_until(lambda: len(processes_of(mark)) == 8)
        remains = Remains(platform)
        os.kill(zygote_of(processes_of(mark)[0]), signal.SIGKILL)
        answers = [call.result() for call in calls]
        texts = {answer.status: answer.body["response"]["result"] for answer in answers}
        assert texts.get(502) == {"error": DIED.format("produce a valid response")}
        assert {200, 502} >= {answer.status for answer in answers}
        assert sum(answer.status == 502 for answer in answers) == 8
        for answer in answers:
            assert record(platform, answer.body["activationId"])["response"] == answer.body["response"]
        assert platform.call("GET", "activations?name=named&count=true").body == {"activations": 30}
        assert platform.invoke("named", {"mark": mark}).status == 200
        platform.stop()
    remains.check()


def test_a_zygote_killed_again_and_again_fails_nothing_that_had_not_begun(
    tmp_path: Path, mark: str, threads: ThreadPoolExecutor
) -> None:
    """Cold starts of many actions all the while, so that it dies at every step of making a container."""
    environment = {"LIMITS_ACTIONS_INVOKES_CONCURRENT": "200", "LIMITS_ACTIONS_INVOKES_PERMINUTE": "1000"}
    with running(tmp_path / "data", "--memory", "1024", environment=environment) as platform:
        names = [f"named{number}" for number in range(60)]
        for name in names:
            platform.create(name, NAMED, limits={"memory": 128})
        remains = Remains(platform)
        calls = [threads.submit(platform.invoke, name, {"mark": mark, "s": 0.02}) for name in names]
        kills = 0
        while not all(call.done() for call in calls):
            if kills < 8 and (found := processes_of(mark)):
                with contextlib.suppress(OSError, IndexError):  # its runtime has ended meanwhile
                    zygote = zygote_of(found[0])
                    if process(zygote) in family(platform.process.pid):  # or that has ended, too
                        os.kill(zygote, signal.SIGKILL)
                        kills += 1
            time.sleep(0.03)
        answers = [call.result() for call in calls]
        assert kills >= 3
        errors = {answer.body["response"]["result"]["error"] for answer in answers if answer.status != 200}
        assert errors <= {DIED.format("produce a valid response"), DIED.format("initialize")}, errors
        assert sum(answer.status == 200 for answer in answers) >= len(names) - 8 * kills
        assert platform.call("GET", "activations?count=true").body == {"activations": len(names)}
        assert platform.invoke("named0", {"mark": mark}).status == 200
        platform.stop()
    remains.check()


def zygote_of(runtime: int) -> int:
    """The parent of a container's init, which is the parent of its runtime."""
    init = int(process(runtime).parts[1])
    return int(process(init).parts[1])


def test_rest_is_paused_thawed_removed_and_its_memory_is_free_again(tmp_path: Path, mark: str) -> None:
    with running(tmp_path / "data", environment=quick("50 ms", "500 ms")) as platform:
        platform.create("named", NAMED)
        platform.invoke("named", {"mark": mark})
        (pid,) = processes_of(mark)
        wait_until(lambda: stopped(pid))
        answer = platform.invoke("named", {"mark": mark})
        assert (answer.status, is_cold(platform, answer), processes_of(mark)) == (200, False, [pid])
        init = process(int(process(pid).parts[1]))
        wait_until(lambda: not processes_of(mark))
        wait_until(lambda: not init.alive)
        assert "does not end" not in platform.output.read_text()


def test_memory_is_counted_as_promised_and_the_oldest_at_rest_gives_way(tmp_path: Path, mark: str) -> None:
    with running(tmp_path / "data", "--memory", "512") as platform:
        for name in "abc":
            platform.create(name, NAMED, limits={"memory": 256})
            platform.invoke(name, {"mark": mark + name})
        wait_until(lambda: not processes_of(f"{mark}a"))
        assert [len(processes_of(mark + name)) for name in "abc"] == [0, 1, 1]
        answers = [platform.invoke(name, {"mark": mark + name}) for name in "cba"]
        assert [is_cold(platform, answer) for answer in answers] == [False, False, True]
        wait_until(lambda: [len(processes_of(mark + name)) for name in "abc"] == [1, 1, 0])


@pytest.mark.parametrize("moment", ["paused", "running", "creating", "flooding"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_whatever_was_going_on(
    tmp_path: Path, mark: str, threads: ThreadPoolExecutor, moment: str, number: signal.Signals
) -> None:
    options = ("--grace", "100 ms", "--memory", "2048")
    with running(tmp_path / "data", *options, environment=quick("10 ms")) as platform:
        platform.create("named", NAMED, limits={"memory": 128})
        platform.invoke("named", {"mark": mark})
        (pid,) = processes_of(mark)
        remains = Remains(platform)
        arguments = {"mark": mark, "s": 0 if moment == "paused" else 1000, "flood": moment == "flooding"}
        if moment == "paused":
            wait_until(lambda: stopped(pid))
        else:
            calls = [threads.submit(platform.invoke, "named", arguments) for _ in range(12)]
            wait_until(lambda: len(processes_of(mark)) >= (2 if moment == "creating" else 12))
        remains.look_again(platform)
        assert len(remains.left()) >= len(remains.family)
        platform.stop(number)
        remains.check()
        assert not re.search("Traceback|does not end", platform.output.read_text())
        if moment != "paused":
            ends = [call.exception() or call.result().status for call in calls]
            told = {202, 500} if moment == "creating" else {500}  # what has not begun is for the next life
            assert all(isinstance(end, OSError) if number == signal.SIGKILL else end in told for end in ends), ends
    with running(tmp_path / "data") as platform:
        assert platform.invoke("named", {"mark": mark}).status == 200


def test_a_guardian_killed_is_followed_by_one_that_does_its_work(tmp_path: Path, mark: str) -> None:
    with running(tmp_path / "data") as platform:
        platform.create("named", NAMED)
        platform.invoke("named", {"mark": mark})
        guardian = guardian_of(platform)
        os.kill(guardian, signal.SIGKILL)
        wait_until(lambda: guardian_of(platform) not in (0, guardian))
        remains = Remains(platform)
        platform.stop(signal.SIGKILL)
        remains.check()


def guardian_of(platform: Platform) -> int:
    """The process that watches over the platform; 0 while there is none."""
    for one in Remains(platform).family:
        try:
            line = Path(f"/proc/{one.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"/sandbox/guardian.py" in line and one.alive:
            return one.pid
    return 0
