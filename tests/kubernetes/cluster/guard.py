"""Starts a cluster, and takes it down when nobody uses it any more: users hold a lock that ends with their processes.

    python -m tests.kubernetes.cluster.guard        prints `ready`, or why not

Files to be locked, in /run/lock/upcall-kubernetes:

    N.lock          by the guard of the cluster at place N
    CHECKOUT.users  by all users of this checkout's, shared; by its guard alone, while it takes the cluster down. In
                    it is where the cluster is
    CHECKOUT.turn   by whoever is about to join

A guard that was killed leaves its cluster behind; the next guard on this machine removes it.
"""

import contextlib
import fcntl
import signal
import sys
import traceback
from typing import IO

from tests.kubernetes.cluster.node import Node, remove
from tests.kubernetes.cluster.place import ROOM, Place, held, lock, of_checkout


def guard() -> int:
    place, kept = _room()
    with kept:
        if not _start(place):
            return 1
        of_checkout("users").write_text(str(place.number))
        print("ready", flush=True)
        sys.stdout.close()
        with held(of_checkout("users")) as users:
            users.truncate(0)
            remove(place)
    return 0


def _start(place: Place) -> bool:
    try:
        Node(place).start()
    except Exception as failure:  # noqa: BLE001 - whoever waits has to know
        print(failure if isinstance(failure, RuntimeError) else traceback.format_exc(), flush=True)
        remove(place)
        return False
    return True


def _room() -> tuple[Place, IO[str]]:
    """A free place, and the file whose lock says that it is taken; waits until there is one."""
    free = [(place, file) for place in map(Place, range(ROOM)) if (file := _take(place, fcntl.LOCK_NB)) is not None]
    for place, _ in free:
        if place.folder.exists():
            remove(place)
    for _, file in free[1:]:
        file.close()
    if free:
        return free[0]
    place = Place(0)
    file = _take(place, 0)
    assert file is not None
    return place, file


def _take(place: Place, how: int) -> IO[str] | None:
    file = lock(f"{place.number}.lock").open("w")
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | how)
        return file
    file.close()
    return None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(guard())
