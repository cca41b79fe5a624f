"""Whose a folder is: locks that the kernel drops when their holder dies, and notes that say who that is.

A data folder is held by one process (`owned`), a database's folder by one platform: `upcall serve` alone, or Invokers
and controllers together (`shared`). Each of these has a lock of its own, too, in `lock-<name>`: no name is there twice,
and whether a name's last holder is dead can be seen (`vacant`). Who comes first is alone until it lets others in.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from upcall.errors import Misconfigured

LOCK = "lock"
LOOKS = 50
"""How often, 10 ms apart, the lock is tried."""
NAMES, OPENINGS = 200, 1000
"""The same, where somebody may be taking over what a name's last holder has left, or be migrating a database."""


class Owner(msgspec.Struct):
    """Who holds a folder; `port` is 0 until it listens. `memory`: MB that its actions may take."""

    pid: int
    port: int = 0
    memory: int = 0


class Ownership:
    """Held as long as its file is open."""

    def __init__(self, file: int) -> None:
        self._file = file

    def announce(self, port: int, memory: int = 0) -> None:
        """Write down who this is, for whoever comes next."""
        note = msgspec.json.encode(Owner(os.getpid(), port, memory))
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, note, 0)


def private_folder(folder: Path) -> Path:
    """The folder's absolute path; made where it is missing, and for this user's eyes alone unless somebody else's files
    are there already. Raises Misconfigured."""
    folder = folder.absolute()
    try:
        _make(folder)
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


def _make(folder: Path) -> None:
    """With the folders above that are missing, all for this user alone."""
    for missing in reversed([path for path in folder.parents if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


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


class Membership(Ownership):
    """Beside others. `first`: nobody else is there, and nobody comes before `let_in`."""

    def __init__(self, file: int, all: int, first: bool) -> None:
        super().__init__(file)
        self._all = all
        self.first = first

    def let_in(self) -> None:
        """From now on others may come. Raises OSError where somebody is alone by now."""
        if self.first:
            self.first = False
            _lock(self._all, fcntl.LOCK_SH, LOOKS)


@contextlib.contextmanager
def shared(folder: Path, name: str) -> Iterator[Membership]:
    """Hold the folder as `name`, beside others that do. Raises Misconfigured where a process is alone there, or has the
    name."""
    with contextlib.ExitStack() as stack:
        try:
            all, own = (_opened(stack, folder / file) for file in (LOCK, f"{LOCK}-{name}"))
        except OSError as error:
            raise unusable(folder, error) from error
        try:
            _lock(own, fcntl.LOCK_EX, NAMES)
        except OSError as error:
            raise Misconfigured(
                f"{name} works with the folder {folder} already: {_holder(own)}, or give this one another --id"
            ) from error
        membership = Membership(own, all, _first(folder, name, all))
        try:
            membership.announce(0)
        except OSError as error:
            raise unusable(folder, error) from error
        yield membership


def _opened(stack: contextlib.ExitStack, path: Path) -> int:
    file = private_file(path)
    stack.callback(os.close, file)
    return file


def _first(folder: Path, name: str, file: int) -> bool:
    """Hold it alone if nobody is there, else beside those who are. Raises Misconfigured."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    try:
        _lock(file, fcntl.LOCK_SH, OPENINGS if _members(folder, name) else LOOKS)
    except OSError as error:
        raise Misconfigured(
            f"the folder {folder} is in use by {_holder(file)}, or name another database with --store"
        ) from error
    return False


@contextlib.contextmanager
def vacant(folder: Path, name: str) -> Iterator[bool]:
    """Whether nobody has that name; nobody gets it meanwhile. Raises OSError."""
    file = private_file(folder / f"{LOCK}-{name}")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(file)


def held(folder: Path) -> bool:
    """Whether a process holds the folder now, alone or beside others."""
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def holders(folders: Iterable[Path]) -> dict[str, Owner]:
    """Who holds these folders now, by their names."""
    found = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            if held(folder) and (owner := _note((folder / LOCK).read_bytes())):
                found[folder.name] = owner
    return found


def _lock(file: int, how: int, looks: int) -> None:
    """Whoever only looks (`held`) is gone in no time."""
    for _ in range(looks):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
    fcntl.flock(file, how | fcntl.LOCK_NB)


def _locked(folder: Path, file: int) -> Ownership:
    try:
        _lock(file, fcntl.LOCK_EX, LOOKS)
    except OSError as error:
        members = " and ".join(_members(folder))
        who = f"{members}; stop them" if members else _holder(file)
        raise Misconfigured(
            f"the data folder {folder} is in use by {who}, or name another folder with --data"
        ) from error
    ownership = Ownership(file)
    try:
        ownership.announce(0)
    except OSError as error:
        raise unusable(folder, error) from error
    return ownership


def _members(folder: Path, but: str = "") -> list[str]:
    """Those who have names in the folder, in words."""
    found = []
    for path in sorted(set(folder.glob(f"{LOCK}-*")) - {folder / f"{LOCK}-{but}"}):
        name = path.name.removeprefix(f"{LOCK}-")
        with contextlib.suppress(OSError), vacant(folder, name) as dead:
            if not dead:
                owner = _note(path.read_bytes())
                found.append(f"process {owner.pid} ({name})" if owner else name)
    return found


def _holder(file: int) -> str:
    """And what to do about it."""
    owner = _note(os.pread(file, 1000, 0))
    if owner is None:
        return "another process; stop it"
    where = f" on port {owner.port}" if owner.port else ""
    return f"process {owner.pid}{where}; stop it (kill {owner.pid})"


def _note(data: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(data, type=Owner)
    except msgspec.MsgspecError:
        return None
