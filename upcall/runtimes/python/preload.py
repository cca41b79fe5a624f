"""Modules that the operator wants in the zygote besides the common ones, each tried before it is let in.

An import cannot be taken back, and a process with threads cannot be forked, nor may what it has open be everybody's.
So a fork of the zygote imports the module first. Refused is what fails there, does not come to an end, or leaves
threads, processes or open files behind, memory that forks go on sharing (a lock of `multiprocessing` would be one for
all tenants), or a process that treats signals, files or time differently. What an import computes is done once and is
then the same in every container; random numbers are not (`seeds`).

Libraries of linear algebra start a thread for each processor as soon as they are loaded, unless they are told not to.
"""

import contextlib
import gc
import os
import resource
import select
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from . import linux
from .seeds import Seeds

_PATIENCE = 8.0
"""Seconds; the module is imported twice before the platform, which waits for 20, is answered."""
_ENDING = 0.5
"""Seconds in which threads that have been joined are gone for the kernel, too."""
_WORDS = 2000
_GOOD = b"\0good"
_LIMITS = [getattr(resource, name) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")]
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_MANNERS = {"SigBlk": "signals", "SigIgn": "signals", "SigCgt": "signals", "Umask": "the umask"}
"""Of /proc/self/status."""
_LIBRARYS = 0b11 << 31
"""Signals that the C library catches as soon as there has been a thread."""
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class _State(NamedTuple):
    """What an import must not change."""

    threads: int
    processes: frozenset[str]
    files: frozenset[str]
    shared: frozenset[str]
    manners: dict[str, object]


def preload(name: str) -> str:
    """Import the module into this process; gives why not, and nothing where it is done. Raises SystemExit where it goes
    another way than when it was tried: this process is lost for forking."""
    linux.become_subreaper()
    refusal = _tried(name)
    if not refusal:
        found = _imported(name)
        if found:
            raise SystemExit(f"{found}, but not when it was tried")
    return refusal


def _imported(name: str) -> str:
    """Why the process with this module is none to be forked."""
    try:
        before = _state()
        with _one_thread():
            __import__(name)
        return _left(before)
    except ImportError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - whatever the module raises
        return f"{type(error).__name__}: {error}"


def _tried(name: str) -> str:
    before = _children()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    pid = os.fork()
    if not pid:
        _try(name, writer)
    os.close(writer)
    try:
        refusal = _heard(reader, pid)
    finally:
        os.close(reader)
        _end(pid)
    strays = _end_strays(before)
    return refusal or (f"starts processes ({strays})" if strays else "")


def _heard(reader: int, pid: int) -> str:
    """The one thing that is said; others than the process may keep the pipe open."""
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([reader, pidfd], (), (), _PATIENCE)[0]:
            return f"its import takes more than {_PATIENCE:g} s"
        words = os.read(reader, _WORDS)
    except BlockingIOError:
        words = b""
    finally:
        os.close(pidfd)
    return "" if words == _GOOD else words.decode("utf-8", "replace") or "its import ends the process"


def _end(pid: int) -> None:
    """Kill, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # reaped by the kernel
        os.waitpid(pid, 0)


def _end_strays(before: frozenset[str]) -> int:
    """Kill what has come to us as its parents have ended; gives the number."""
    count = 0
    while strays := _children() - before:
        for stray in strays:
            _end(int(stray))
        count += len(strays)
    return count


def _try(name: str, writer: int) -> NoReturn:
    try:
        refusal = _imported(name) or _unseedable()
        os.write(writer, refusal.encode("utf-8", "replace")[:_WORDS] or _GOOD)
    finally:
        os._exit(0)


def _unseedable() -> str:
    """Why no container would come up with it."""
    try:
        gc.unfreeze()
        Seeds().renew()
    except Exception as error:  # noqa: BLE001 - whatever the module's generators raise
        return f"its random numbers have no new seed: {type(error).__name__}: {error}"
    return ""


def _state() -> _State:
    fds = os.listdir("/proc/self/fd")
    open_ = set()
    for fd in fds:
        with contextlib.suppress(OSError):  # that of the listing itself
            open_.add(f"{os.readlink(f'/proc/self/fd/{fd}')} as {fd}")
    threads = len(os.listdir("/proc/self/task"))
    return _State(threads, _children(), frozenset(open_), _shared(), _manners())


def _children() -> frozenset[str]:
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            found.update(file.read().split())
    return frozenset(found)


def _shared() -> frozenset[str]:
    """Places in memory that may be written, and are the same for parent and child."""
    with open("/proc/self/maps") as file:
        return frozenset(line.split(maxsplit=1)[0] for line in file if line.split(maxsplit=2)[1].startswith("rw-s"))


def _manners() -> dict[str, object]:
    """How the process behaves that no import should change, by what is told of it."""
    found: dict[str, object] = {"limits": [resource.getrlimit(limit) for limit in _LIMITS]}
    with open("/proc/self/status") as file:
        for name, _, value in (line.partition(":") for line in file):
            if name in _MANNERS:
                told = int(value, 16) & ~_LIBRARYS
                found[_MANNERS[name]] = f"{found.get(_MANNERS[name])} {told}"
    found["timers"] = [signal.getitimer(timer) != (0.0, 0.0) for timer in _TIMERS]
    return found


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
    if gone := before.files - after.files:
        return f"closes: {', '.join(sorted(name.rpartition(' as ')[0] for name in gone))}"
    if new := after.shared - before.shared:
        return f"shares memory with what is forked ({len(new)})"
    changed = [name for name, value in after.manners.items() if value != before.manners[name]]
    return f"changes {' and '.join(changed)}" if changed else ""


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
