"""The counter of system calls, on a process whose calls are known."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.calls import Untraced, counted, parsed, sorted_out, told

CODE = """
import os, threading
def work():
    for _ in range(500):
        os.write(out, os.read(source, 1))
        os.pwrite(file, b"x", 0)
pairs = [os.pipe() for _ in range(2)]
source, out = pairs[0][0], pairs[0][1]
file = os.memfd_create("file")
os.write(out, b"x")
print(flush=True)
os.read(0, 1)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(flush=True)
os.read(0, 1)
"""
SUMMARY = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000300           3       100           write
 30.00    0.000200           1       210        10 read
 10.00    0.000100          10         5           epoll_pwait
------ ----------- ----------- --------- --------- ----------------
100.00    0.000600           1       315        10 total
"""


@contextmanager
def a_process() -> Iterator["subprocess.Popen[bytes]"]:
    """One that waits for a byte, works in another thread, and waits again."""
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_calls_of_all_threads_are_counted() -> None:
    with a_process() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with counted(process.pid) as calls:
                process.stdin.write(b"x")
                process.stdin.flush()
                process.stdout.readline()
        except Untraced as reason:
            pytest.skip(str(reason))
    found = sorted_out(calls, 500)
    assert found["writes to files"] == 1.0
    assert 1.0 <= found["reads"] < 1.02  # and what asks the process to begin and says that it has ended
    assert 1.0 <= found["writes"] < 1.02
    assert found["others"] > 0


def test_what_cannot_be_traced_is_told() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(Untraced, match="strace"), counted(process.pid):
        pass


def test_a_table_of_strace_is_understood() -> None:
    calls = parsed(SUMMARY)
    assert calls == {"write": 100, "read": 210, "epoll_pwait": 5}
    assert sorted_out(calls, 100) == pytest.approx(
        {"reads": 2.1, "writes": 1.0, "writes to files": 0.0, "others": 0.05}
    )
    assert told(calls, 100) == "epoll_pwait 0.05"
