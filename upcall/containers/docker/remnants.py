"""What an engine forgets: processes of a container whose start was cut off.

Where the engine or its containerd dies while it starts a container, the program that does the work (runc) may go on.
The next engine knows nothing of the process that it has made then, and the container's removal does not end it. So for
a while the control group of such a container, which is where those of others are, is looked at; what is in it goes.
"""

import contextlib
import logging
import os
import signal
import time
from pathlib import Path

from upcall.containers.docker.freezer import Freezer

log = logging.getLogger(__name__)

KEPT = 120.0
"""Seconds in which a container is suspected."""


def clear(freezer: Freezer, suspects: dict[str, float]) -> None:
    """Kill what is in the control groups of containers, by their ids, each with the moment (of the monotonic clock)
    since which it is suspected; those of long ago are dropped. Blocks for some 100 µs each."""
    for id, since in list(suspects.items()):
        grip = freezer.known(id)
        if grip is not None:
            with contextlib.suppress(OSError):
                grip.thaw()
            if killed := max((_kill(path) for path in grip.paths), default=0):
                log.warning("%d processes of a container that the engine has forgotten are killed: %s", killed, id[:12])
            grip.close()
        if time.monotonic() - since > KEPT:
            del suspects[id]


def _kill(group: Path) -> int:
    """How many those were."""
    killed = 0
    for pid in _members(group):
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                if pid in _members(group):  # it is still the same process
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(pidfd)
    return killed


def _members(group: Path) -> list[int]:
    with contextlib.suppress(OSError):  # the group has gone
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    return []
