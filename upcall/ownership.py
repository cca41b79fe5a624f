"""One platform per data folder: a lock that the kernel drops when its owner dies, and a note that says who that is."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from upcall.errors import Misconfigured

LOCK = "lock"
LOOKS = 50
"""How often, 10 ms apart, the lock is tried."""


class Owner(msgspec.Struct):
    """Who holds a folder; `port` is 0 until it listens."""

    pid: int
    port: int = 0


class Ownership:
    """Held as long as its file is open."""

    def __init__(self, file: int) -> None:
        self._file = file

    def announce(self, port: int) -> None:
        """Write down who this is, for whoever comes next."""
        note = msgspec.json.encode(Owner(os.getpid(), port))
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, note, 0)


def private_folder(folder: Path) -> Path:
    """The folder's absolute path; made where it is missing, and for this user's eyes alone unless somebody else's files
    are there already. Raises Misconfigured."""
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(folder))
        if (folder / LOCK).exists() or not any(folder.iterdir()):
            with contextlib.suppress(PermissionError):
                folder.chmod(0o700)
    except OSError as error:
        raise unusable(folder, error) from error
    return folder


def private_file(path: Path) -> int:
    """An open file that this user alone may read, made where it is missing; root makes it for the folder's owner, who
    has to use it too. Raises OSError."""
    made = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if made and os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(file, folder.st_uid, folder.st_gid)
    return file


def unusable(folder: Path, why: str | OSError) -> Misconfigured:
    why = why if isinstance(why, str) else why.strerror or str(why)
    return Misconfigured(f"the data folder {folder} cannot be used: {why}; name another with --data")


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[Ownership]:
    """Hold the folder. Raises Misconfigured where another process does, by its number and port."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(folder, f"{LOCK}: {error.strerror}") from error
    try:
        yield _locked(folder, file)
    finally:
        os.close(file)


def held(folder: Path) -> bool:
    """Whether a process holds the folder now."""
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _lock(file: int) -> None:
    """Whoever only looks (`held`) is gone in no time."""
    for _ in range(LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(folder: Path, file: int) -> Ownership:
    try:
        _lock(file)
    except OSError as error:
        raise Misconfigured(f"the data folder {folder} is in use by {_holder(file)}") from error
    ownership = Ownership(file)
    try:
        ownership.announce(0)
    except OSError as error:
        raise unusable(folder, error) from error
    return ownership


def _holder(file: int) -> str:
    try:
        owner = msgspec.json.decode(os.pread(file, 1000, 0), type=Owner)
    except msgspec.MsgspecError:
        return "another process; stop it, or name another folder with --data"
    where = f" on port {owner.port}" if owner.port else ""
    return f"process {owner.pid}{where}; stop it (kill {owner.pid}), or name another folder with --data"
