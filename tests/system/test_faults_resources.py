"""Actions that use up what their sandbox has: each by its own means, so root and an ordinary user see different ends.

Run by root, `ordinary` runs this file as an ordinary user, too.
"""

import os
from collections.abc import Iterator

import pytest

from tests.contract.language import NODE
from tests.system.fault import (
    DEVELOPER,
    EXHAUSTED,
    NATIVE,
    NOT_OBJECT,
    PYTHON,
    RUN_DIED,
    RUN_LATE,
    Case,
    Fault,
    ended,
    node,
    python,
    shell,
)
from tests.system.remains import processes_of, wait_until
from tests.system.serving import Platform, running
from tests.system.trials import GOOD, attempt, is_cold
from upcall.containers.sandbox import cgroups

CONTROLLED = "memory" in cgroups.detect()
TRACE = r"stderr: Traceback \(most recent call last\):\n(?:stderr:   .*\n)+stderr: MemoryError\n"
TOLD = DEVELOPER if CONTROLLED else TRACE + DEVELOPER
"""Where a controller kills nobody is left to tell where it was."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("faults") / "data", "--memory", "2048") as made:
        made.create("good", GOOD)
        yield made
    assert "Traceback" not in made.output.read_text()


MEMORY = (
    Fault(
        name="memory in init",
        in_init=True,
        says=EXHAUSTED,
        logs=TOLD,
        limits={"memory": 128},
        cases={PYTHON: Case("eaten = bytearray(300 << 20)\n")},
    ),
    Fault(
        name="memory",
        says=EXHAUSTED,
        logs=TOLD,
        limits={"memory": 128},
        cases={
            PYTHON: Case(python("eaten = []\nwhile True:\n    eaten.append(bytearray(1 << 20))")),
            NODE: Case(
                node("const eaten = []; while (true) eaten.push(Buffer.alloc(1 << 20, 1))"),
                EXHAUSTED if CONTROLLED else RUN_DIED,
                DEVELOPER if CONTROLLED else rf"(?:stderr: .*\n)+{DEVELOPER}",
            ),
            NATIVE: Case(
                shell("tail /dev/zero"),
                EXHAUSTED if CONTROLLED else NOT_OBJECT,
                rf"stderr: Killed\n{ended('with exit code 137')}"
                if CONTROLLED
                else rf"stderr: tail: memory exhausted\n{ended('with exit code 1')}",
            ),
        },
    ),
    Fault(
        name="memory of a child",
        status="success",
        result={"ok": False},
        kept=True,
        limits={"memory": 128},
        cases={
            PYTHON: Case(
                python(
                    "command = [sys.executable, '-c', 'bytearray(300 << 20)']\n"
                    "return {'ok': subprocess.run(command, capture_output=True).returncode == 0}",
                    "import subprocess, sys",
                )
            )
        },
    ),
)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [pytest.param(fault, kind, id=f"{fault.name}, {kind}") for fault in MEMORY for kind in fault.cases],
)
def test_more_memory_than_promised_ends_the_activation_alone(platform: Platform, fault: Fault, kind: str) -> None:
    """By upstream's text wherever it is the kernel that kills."""
    attempt(platform, fault, kind)


def test_a_fork_bomb_ends_with_its_sandbox(platform: Platform) -> None:
    """It may die of its memory before its time is over."""
    bomb = Fault(
        name="fork bomb",
        late=True,
        says=RUN_LATE,
        logs=DEVELOPER,
        limits={"timeout": 300, "memory": 512},
        cases={
            PYTHON: Case(
                python("while True:\n    try:\n        os.fork()\n    except OSError:\n        pass", "import os"),
            )
        },
    )
    attempt(platform, bomb, PYTHON)


FULL = """
import os
def main(args):
    try:
        for number in range(1000):
            with open(f"/tmp/{number}", "wb") as file:
                file.write(bytes(4 << 20))
    except OSError as error:
        return {"errno": error.errno}
"""


def test_a_full_tmp_is_told_and_is_empty_for_the_next_container(platform: Platform) -> None:
    """Temporary files count as memory: where a controller counts, it kills before the folder is full."""
    platform.create("full", FULL, limits={"memory": 128})
    answer = platform.invoke("full")
    if CONTROLLED:
        assert answer.status == 502
        assert answer.body["response"]["result"] == {"error": EXHAUSTED.replace("\\", "")}
    else:
        assert (answer.status, answer.body["response"]["result"]) == (200, {"errno": 28})
    platform.create("look", "import os\ndef main(args):\n    return {'seen': os.listdir('/tmp')}\n")
    assert platform.invoke("look").body["response"]["result"] == {"seen": []}


THREADS = """
import threading
def main(args):
    go, made = threading.Event(), []
    try:
        for _ in range(args["n"]):
            one = threading.Thread(target=go.wait, daemon=True)
            one.start()
            made.append(one)
    except RuntimeError:
        return {"made": len(made), "refused": True}
    finally:
        go.set()
        for one in made:
            one.join()
    return {"made": len(made), "refused": False}
"""


def test_1000_threads_run_or_are_refused_to_the_action_alone(platform: Platform) -> None:
    """A stack counts whole where only resource limits bound the memory."""
    platform.create("threads", THREADS, limits={"memory": 256})
    for _ in range(2):
        answer = platform.invoke("threads", {"n": 1000})
        assert answer.status == 200
        made = answer.body["response"]["result"]
        assert made == {"made": 1000, "refused": False} if CONTROLLED else made["made"] > 200
    answer = platform.invoke("threads", {"n": 2000})
    assert answer.body["response"]["result"]["refused"] is True
    assert not is_cold(platform, answer)


def test_sockets_left_open_are_bounded_and_the_container_still_answers(platform: Platform) -> None:
    code = """
import socket
kept = []
def main(args):
    try:
        while True:
            kept.append(socket.socket())
    except OSError as error:
        return {"errno": error.errno, "kept": len(kept)}
"""
    platform.create("sockets", code)
    answers = [platform.invoke("sockets") for _ in range(3)]
    assert [answer.body["response"]["result"]["errno"] for answer in answers] == [24] * 3
    assert 400 < answers[-1].body["response"]["result"]["kept"] < 1024
    assert [is_cold(platform, answer) for answer in answers] == [True, False, False]


LEAVE = """
import ctypes, os, time
def main(args):
    if args.get("exit"):
        os._exit(1)
    if not os.fork():
        ctypes.CDLL(None).prctl(15, args["mark"].encode(), 0, 0, 0)
        os.setsid()
        time.sleep(1000)
    return {"ok": 1}
"""


def test_children_left_behind_live_with_the_sandbox_and_no_longer(platform: Platform) -> None:
    mark = f"left{os.getpid()}"
    platform.create("leave", LEAVE)
    assert platform.invoke("leave", {"mark": mark}).status == 200
    wait_until(lambda: len(processes_of(mark)) == 1)
    assert platform.invoke("leave", {"mark": mark}).status == 200
    wait_until(lambda: len(processes_of(mark)) == 2)
    assert platform.invoke("leave", {"exit": True}).status == 502
    wait_until(lambda: not processes_of(mark))
