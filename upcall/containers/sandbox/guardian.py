"""Leaves nothing behind when the platform dies: thaw, kill, remove.

Run as a process of its own session with one end of a pipe as standard input; the end of that pipe is the end of the
platform, by whatever death. Processes frozen by cgroup version 1 ignore SIGKILL, which is why dying with the parent is
not enough and somebody has to be left to thaw them. The sweep at start (`lives`, `clean`) is the same code, for the
case that the guardian was killed too.

Imports little: it is a process per platform that does nothing. SIGTERM and SIGINT are ignored because a supervisor
sends them to everybody while the platform still drains.
"""

import contextlib
import os
import signal
import sys
import time

_PATIENCE = 10.0


def main() -> None:
    """`guardian.py FOLDER CGROUP…`: wait for the end of standard input, then clean up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, *cgroups = sys.argv[1:]
    while os.read(0, 4096):
        pass
    clean(cgroups, folder)
    leave(cgroups)


def leave(cgroups: list[str]) -> None:
    """Remove the folders in which lives have theirs, if this was the last life."""
    for path in cgroups:
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))


def clean(cgroups: list[str], folder: str | None) -> None:
    """Remove the cgroups of one life with every process in them, and its folder."""
    deadline = time.monotonic() + _PATIENCE
    while [path for path in cgroups if not _emptied(path)] and time.monotonic() < deadline:
        time.sleep(0.002)
    if folder is not None:
        remove(folder)


def remove(folder: str) -> None:
    """Remove a folder of ours with all that is in it; links are not followed."""
    for parent, folders, files in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            for name in files:
                os.unlink(os.path.join(parent, name))
        for name in folders:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                (os.unlink if os.path.islink(path) else os.rmdir)(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _emptied(top: str) -> bool:
    """One round of thaw, kill, remove below `top`; true when it is gone: at once where nobody is left in it."""
    with contextlib.suppress(OSError):
        os.rmdir(top)
        return True
    for folder, _, _ in os.walk(top, topdown=False):
        _write(folder, "freezer.state", "THAWED")
        _write(folder, "cgroup.freeze", "0")
        for pid in _pids(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not os.path.isdir(top)


def _pids(folder: str) -> list[int]:
    with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs")) as file:
        return [pid for pid in map(int, file.read().split()) if pid > 1]
    return []


def _write(folder: str, name: str, text: str) -> None:
    path = os.path.join(folder, name)
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


if __name__ == "__main__":
    main()
