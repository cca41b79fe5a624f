"""Modules are let into a zygote or refused, each by a process of its own that has a single thread."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
TRY = """
import json, os, sys
sys.path[:0] = sys.argv[1:3]
from upcall.runtimes.python import preload
if len(sys.argv) > 3:
    preload._PATIENCE = float(sys.argv[3])
refused = preload.preload("wanted")
left = [name for name in os.environ if "THREADS" in name]
print("\\n", json.dumps({"refused": refused, "loaded": "wanted" in sys.modules, "left": left}), sep="")
"""
DAEMON = """
import os, pathlib, time
if not os.fork():
    if not os.fork():
        pathlib.Path(__file__).with_name("daemon").write_text(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
"""
PEDANT = """
import random
class Pedant(random.Random):
    def seed(self, wish): pass
pedant = Pedant(1)
"""
FINE = {"refused": "", "loaded": True, "left": []}


def tried(folder: Path, source: str, *patience: str) -> dict[str, Any]:
    """What comes of the import of a module that is `source`."""
    (folder / "wanted.py").write_text(source)
    argv = [sys.executable, "-I", "-c", TRY, str(REPOSITORY), str(folder), *patience]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import not_there", "No module named 'not_there'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("import os; os._exit(0)", "its import ends the process"),
        ("import os; os.abort()", "its import ends the process"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(9,)).start()", "starts threads (1)"),
        ("import subprocess; child = subprocess.Popen(['sleep', '0.5'])", "starts processes (1)"),
        ("file = open('/etc/hostname')", "leaves open: /etc/hostname"),
        ("import os; first = os.pipe()", "leaves open: pipe:["),
        ("import socket; sock = socket.socket()", "leaves open: socket:["),
        ("import os; os.close(0)", "closes: "),
        ("import mmap; memory = mmap.mmap(-1, 4096)", "shares memory with what is forked (1)"),
        ("import multiprocessing; lock = multiprocessing.Lock()", "shares memory with what is forked (1)"),
        ("import signal; signal.signal(signal.SIGUSR1, print)", "changes signals"),
        ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})", "changes signals"),
        ("import signal; signal.setitimer(signal.ITIMER_REAL, 60)", "changes timers"),
        ("import os; os.umask(0o123)", "changes the umask"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", "changes limits"),
        (DAEMON, "starts processes (1)"),
        (f"{DAEMON}import os; os._exit(0)", "its import ends the process"),
        (
            PEDANT,
            "its random numbers have no new seed: TypeError: Pedant.seed() missing 1",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused_with_its_reason_and_not_loaded(tmp_path: Path, source: str, why: str) -> None:
    found = tried(tmp_path, source)
    assert found["refused"].startswith(why)
    assert not found["loaded"]


@pytest.mark.parametrize("end", ["", "os._exit(0)", "time.sleep(1000)"])
def test_nobody_who_was_started_in_a_trial_is_left(tmp_path: Path, end: str) -> None:
    wait = "while not pathlib.Path(__file__).with_name('daemon').exists(): time.sleep(0.001)\n"
    assert tried(tmp_path, f"{DAEMON}{wait}{end}", "1")["refused"]
    assert not Path(f"/proc/{(tmp_path / 'daemon').read_text()}").exists()


def test_a_module_that_can_be_imported_but_once_ends_the_process_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        tried(tmp_path, "open(__file__ + '.mark', 'x').close()")
    said = caught.value.stderr
    assert re.fullmatch(r"FileExistsError: .*wanted.py.mark', but not when it was tried\n", said), said


def test_an_import_that_hangs_is_given_up(tmp_path: Path) -> None:
    found = tried(tmp_path, "import time; time.sleep(1000)", "0.2")
    assert found == {"refused": "its import takes more than 0.2 s", "loaded": False, "left": []}


def test_what_is_closed_and_joined_again_is_let_in(tmp_path: Path) -> None:
    source = "import threading; open('/etc/hostname').close(); t = threading.Thread(); t.start(); t.join()"
    assert tried(tmp_path, source) == FINE


def test_linear_algebra_is_told_to_start_no_threads(tmp_path: Path) -> None:
    assert tried(tmp_path, "import os; assert os.environ['OPENBLAS_NUM_THREADS'] == '1'") == FINE


def test_what_the_operator_must_read_may_be_anything(tmp_path: Path) -> None:
    assert tried(tmp_path, "raise ImportError('\\udc80' * 5000)")["refused"] == "?" * 2000
