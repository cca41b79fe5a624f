"""A log ahead of the database: what is written here outlives the process though no transaction holds it yet.

The page cache is enough against kill -9, and takes 1 us where a commit takes 100. So whatever was told to a client is
here before it is told, and in the database some milliseconds later; the next start puts into the database what it finds
here (`upcall.store.replay`). A loss of power is another matter: with `durability="full"` there is no such log, and
everything waits for its commit.

Two files take turns. When a group of writes is formed that has all entries of the current file (`turn`), what comes
next goes to the other one; when the group is committed (`clear`) the first is empty. A group that fails leaves both as
they are, and the turn waits for the one that succeeds. Who can wait with a turn does so until it is `due`.

    file   = magic, number of its pass                        16 bytes; emptying a file begins a new pass
    entry  = length, crc32 of the data begun with the pass    8 bytes, then the data

What lies behind the last entry is of an earlier pass or torn, and its sum says so. The first 512 KiB of each file are
taken from the disk at the start, so that a disk that fills up does not break promises. Emptying keeps the file's size.

Where the file system keeps room that is taken, the files are mapped into memory, and an entry is no system call, of
which an activation has but four otherwise. A disk that breaks so that a page cannot be read back kills the process.
"""

import contextlib
import errno
import mmap
import os
from collections.abc import Iterable, Iterator
from glob import escape
from pathlib import Path
from struct import Struct
from zlib import crc32

from upcall.ownership import private_file

MAGIC = b"upcaahd1"
_HEAD = Struct("<8sQ")
_ENTRY = Struct("<II")
BOUND = 8 * 1024 * 1024
"""Bytes of one file."""
RESERVED = 512 * 1024
IN_PLACE = ("ext4", "tmpfs")
MOUNTS = Path("/proc/self/mountinfo")


class _File:
    """One of the two, its head and `RESERVED` bytes on the disk. Raises OSError."""

    __slots__ = ("_room", "end", "fd", "seed")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.end = 0
        self.seed = 0
        self._room = RESERVED
        os.posix_fallocate(fd, 0, RESERVED)

    @property
    def empty(self) -> bool:
        return self.end == _HEAD.size

    def begin(self, number: int) -> None:
        """Raises OSError."""
        self._write(_HEAD.pack(MAGIC, number), 0)
        self.end, self.seed = _HEAD.size, _seed(number)

    def append(self, data: bytes) -> bool:
        entry = _ENTRY.pack(len(data), crc32(data, self.seed)) + data
        at = self.end
        end = at + len(entry)
        if end > self._room and not self._grow(end):
            return False
        try:
            self._write(entry, at)
        except OSError:
            return False
        self.end = end
        return True

    def close(self) -> None:
        os.close(self.fd)

    def _write(self, data: bytes, at: int) -> None:
        """Raises OSError."""
        if os.pwrite(self.fd, data, at) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _grow(self, end: int) -> bool:
        """Whether there is room up to `end` now."""
        room = min(BOUND, max(2 * self._room, end))
        if end > room:
            return False
        try:
            self._take(room)
        except OSError:
            return False
        self._room = room
        return True

    def _take(self, room: int) -> None:
        """Take room from the disk. Raises OSError."""
        os.posix_fallocate(self.fd, 0, room)


class _Mapped(_File):
    """The same without a system call."""

    __slots__ = ("_map",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._map = mmap.mmap(fd, RESERVED)

    def begin(self, number: int) -> None:
        super().begin(number)
        if self._room > RESERVED:  # else what a burst has touched would count as this process's memory for good
            self._map.madvise(mmap.MADV_DONTNEED, RESERVED, self._room - RESERVED)

    def close(self) -> None:
        self._map.close()
        super().close()

    def _write(self, data: bytes, at: int) -> None:
        self._map[at : at + len(data)] = data

    def _take(self, room: int) -> None:
        super()._take(room)
        self._map.resize(room)


def _file(fd: int) -> _File:
    return _Mapped(fd) if _stays_allocated(fd) else _File(fd)


def _stays_allocated(fd: int) -> bool:
    """Whether the file system writes where the file has its room, and so never refuses: it could only kill us then.
    Not where it writes elsewhere (btrfs, ZFS, XFS after a copy by reference), nor what we do not know."""
    device = os.fstat(fd).st_dev
    with contextlib.suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            mount, _, kind = line.partition(" - ")
            if mount.split()[2] == f"{os.major(device)}:{os.minor(device)}":
                return kind.split()[0] in IN_PLACE
    return False


class Ahead:
    """Of one sort of entries, from pass `number` on. `paths` are its two files: what they hold is forgotten. Raises
    OSError where they cannot be made."""

    def __init__(self, paths: Iterable[Path], number: int = 1) -> None:
        self._current, self._other = (_file(private_file(path)) for path in paths)
        self._number = number
        for file in (self._current, self._other):
            self._begin(file)

    @property
    def due(self) -> bool:
        """Whether much of what is reserved is used."""
        return self._current.end > RESERVED * 3 // 4

    def append(self, data: bytes) -> bool:
        """Whether it is safe now; False where the file is full or the disk refuses: it has to wait for its commit."""
        return self._current.append(data)

    def turn(self, carried: Iterable[bytes] = ()) -> None:
        """A group is formed, and has all entries but those `carried` over."""
        fresh = self._other
        if self._current.empty or not fresh.empty:
            return
        if all(fresh.append(data) for data in carried):
            self._current, self._other = fresh, self._current
        else:
            self.clear()

    def clear(self) -> None:
        """The group is committed."""
        if not self._other.empty:
            with contextlib.suppress(OSError):  # it is tried again with the next group
                self._begin(self._other)

    def close(self) -> None:
        for file in (self._current, self._other):
            file.close()

    def _begin(self, file: _File) -> None:
        file.begin(self._number)
        self._number += 1


def paths(database: Path, sort: str, member: str = "") -> list[Path]:
    """The two files of one sort of entries, of a process that has a name or of one that is alone."""
    of = f"{member}-{sort}" if member else sort
    return [database.with_name(f"{database.name}-ahead-{of}-{number}") for number in (0, 1)]


def members(database: Path, sort: str) -> list[str]:
    """Names of all whose files are there."""
    start, end = f"{database.name}-ahead-", f"-{sort}-0"
    files = database.parent.glob(f"{escape(start)}?*{end}")
    return sorted(file.name.removeprefix(start).removesuffix(end) for file in files)


def read(files: Iterable[Path]) -> tuple[list[bytes], int]:
    """The entries, oldest first, and the number of the pass that comes next. Raises OSError."""
    found = []
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            if len(data) >= _HEAD.size:
                magic, number = _HEAD.unpack_from(data)
                if magic == MAGIC:
                    found.append((number, data))
    found.sort()
    entries = [entry for number, data in found for entry in _entries(data, _seed(number))]
    return entries, found[-1][0] + 1 if found else 1


def _entries(data: bytes, seed: int) -> Iterator[bytes]:
    at = _HEAD.size
    while at + _ENTRY.size <= len(data):
        length, checksum = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        entry = data[at : at + length]
        if not length or len(entry) != length or crc32(entry, seed) != checksum:
            return
        yield entry
        at += length


def _seed(number: int) -> int:
    return crc32(number.to_bytes(8, "little"))
