"""What one platform process has on the host besides its containers: run folder, cgroups, guardian.

The run folder holds a lock (one platform per folder) and one folder per life, named by the time and the process, with
the sockets and the synthetic /etc. The cgroups of a life carry a tag of the run folder's path and the same name, so
that a later life of the same folder recognises them, and a guardian that is late touches nothing of its successor.
"""

import contextlib
import fcntl
import hashlib
import os
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

from upcall.containers.sandbox import cgroups, guardian, pod
from upcall.errors import Misconfigured

_LONGEST = 80
"""Bytes of the run folder's path: a unix socket's path has 107 at most, and ours add about 25."""


class Host:
    """Made by `start`, which blocks: run it in a thread."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lock = -1
        self._guardian: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self.life = Path()
        self._made = False
        self.cgroups: cgroups.Life | None = None

    def start(self) -> None:
        """Lock the run folder, remove what earlier lives left, make ours. Raises Misconfigured."""
        if len(os.fsencode(self._run)) > _LONGEST:
            raise Misconfigured(f"The path of the run folder is longer than {_LONGEST} bytes: {self._run}")
        private_run(self._run)
        self._lock = os.open(self._run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Misconfigured(f"Another upcall runs on the folder {self._run}.") from error
        _raise_descriptors()
        pod.open_cgroups()
        places = cgroups.detect()
        tag = hashlib.sha256(os.fsencode(self._run.resolve())).hexdigest()[:12]
        self._sweep(places, tag)
        name = f"{time.time_ns() // 1000:x}-{os.getpid()}"
        self.life = self._run / name
        self.life.mkdir(mode=0o700)
        self._made = True
        if places:
            self.cgroups = cgroups.Life(places, f"{tag}-{name}")
            self.cgroups.make()
        self.guard()

    def guard(self) -> None:
        """Start the guardian, again if it died."""
        if self._pipe >= 0:
            os.close(self._pipe)
        reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        paths = [str(path) for path in self.cgroups.paths] if self.cgroups else []
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", "-E", guardian.__file__, str(self.life), *paths],
            stdin=reader,
            start_new_session=True,
            cwd="/",
            env={},
        )
        os.close(reader)

    def guardian_pid(self) -> int:
        assert self._guardian is not None
        return self._guardian.pid

    def reap_guardian(self) -> None:
        if self._guardian is not None:
            self._guardian.wait()

    def close(self) -> None:
        """End this life; blocks until nothing of it is left."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
            self.reap_guardian()
        if self._made:
            self._made = False
            paths = [str(path) for path in self.cgroups.paths] if self.cgroups else []
            guardian.clean(paths, str(self.life))
            guardian.leave(paths)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _sweep(self, places: dict[str, cgroups.Place], tag: str) -> None:
        groups: list[str] = []
        for folder in {place.folder for place in places.values()}:
            with contextlib.suppress(FileNotFoundError):
                groups += [entry.path for entry in os.scandir(folder) if entry.name.startswith(f"{tag}-")]
        guardian.clean(groups, None)
        for entry in os.scandir(self._run):
            if entry.is_dir(follow_symlinks=False):
                guardian.remove(entry.path)


def private_run(run: Path) -> None:
    """Make a run folder where it is missing. One that somebody else may replace is refused: under /tmp anybody may have
    made it before us. Raises Misconfigured."""
    run.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    run.mkdir(mode=0o700, exist_ok=True)
    own, above = run.lstat(), run.parent.stat()
    open_to_all = above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX
    if not stat.S_ISDIR(own.st_mode) or own.st_uid != os.geteuid():
        raise Misconfigured(f"The run folder {run} belongs to somebody else; remove it.")
    if above.st_uid not in (0, os.geteuid()) or open_to_all:
        raise Misconfigured(f"The run folder {run} is not safe: others may change {run.parent}.")


def _raise_descriptors() -> None:
    """Have as many descriptors as may be had. Besides room for connections that is the right to send some to the zygote
    while an ordinary user's containers, which share its count of those in flight, do their worst (`confine._limit`)."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
