"""Modules that the operator wants in the zygote besides the common ones, each tried before it is let in.

An import cannot be taken back, and a process with threads cannot be forked, nor may what it has open be everybody's.
So a fork of the zygote imports the module first. Refused is what fails there, does not come to an end, or leaves
threads, processes or open files behind. What an import computes is done once and is then the same in every container;
random numbers are not (`seeds`).

Libraries of linear algebra start a thread for each processor as soon as they are loaded, unless they are told not to.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

_PATIENCE = 8.0
"""Seconds; the module is imported twice before the platform, which waits for 20, is answered."""
_ENDING = 0.5
"""Seconds in which threads that have been joined are gone for the kernel, too."""
_WORDS = 2000
_GOOD = b"\0good"
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class _State(NamedTuple):
    """What an import must not change."""

    threads: int
    processes: frozenset[str]
    files: frozenset[str]


def preload(name: str) -> str:
    """Import the module into this process; gives why not, and nothing where it is done."""
    refusal = _tried(name)
    if not refusal:
        before = _state()
        with _one_thread():
            __import__(name)
        if found := _left(before):  # only now: this process is lost for forking
            raise SystemExit(f"the module {name} {found}, but did not when it was tried")
    return refusal


def _tried(name: str) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        _try(name, writer)
    os.close(writer)
    words = b""
    try:
        while select.select([reader], (), (), _PATIENCE)[0]:
            more = os.read(reader, _WORDS)
            if not more:
                return _verdict(words)
            words += more
        return f"its import takes more than {_PATIENCE:g} s"
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _verdict(words: bytes) -> str:
    return "" if words == _GOOD else words.decode("utf-8", "replace") or "its import ends the process"


def _try(name: str, writer: int) -> NoReturn:
    try:
        before = _state()
        with _one_thread():
            __import__(name)
        found = _left(before)
        os.write(writer, found.encode()[:_WORDS] or _GOOD)
    except BaseException as error:  # noqa: BLE001 - whatever the module raises
        text = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        os.write(writer, text.encode("utf-8", "replace")[:_WORDS])
    finally:
        os._exit(0)


def _state() -> _State:
    fds = os.listdir("/proc/self/fd")
    open_ = set()
    for fd in fds:
        with contextlib.suppress(OSError):  # that of the listing itself
            open_.add(f"{os.readlink(f'/proc/self/fd/{fd}')} as {fd}")
    tasks = os.listdir("/proc/self/task")
    children: set[str] = set()
    for task in tasks:
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            children.update(file.read().split())
    return _State(len(tasks), frozenset(children), frozenset(open_))


def _left(before: _State) -> str:
    """What an import has left behind; a process with it cannot be forked for everybody."""
    deadline = time.monotonic() + _ENDING
    while (after := _state()).threads > before.threads and time.monotonic() < deadline:
        time.sleep(0.005)
    if after.threads != before.threads:
        return f"starts threads ({after.threads - before.threads})"
    if new := after.processes - before.processes:
        return f"starts processes ({len(new)})"
    if new := after.files - before.files:
        return f"leaves open: {', '.join(sorted(name.rpartition(' as ')[0] for name in new))}"
    return ""


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The variables are not left to the containers."""
    ours = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
