"""A log ahead of the database: what is written here outlives the process though no transaction holds it yet.

One `os.pwrite` into the page cache is enough against kill -9, and takes 1 us where a commit takes 100. So whatever was
told to a client is here before it is told, and in the database some milliseconds later; the next start puts into the
database what it finds here (`upcall.store.replay`). A loss of power is another matter: with `durability="full"` there
is no such log, and everything waits for its commit.

Two files take turns. When a group of writes is formed that has all entries of the current file (`turn`), what comes
next goes to the other one; when the group is committed (`clear`) the first is empty. A group that fails leaves both as
they are, and the turn waits for the one that succeeds. Who can wait with a turn does so until it is `due`.

    file   = magic, number of its pass                        16 bytes; emptying a file begins a new pass
    entry  = length, crc32 of the data begun with the pass    8 bytes, then the data

What lies behind the last entry is of an earlier pass or torn, and its sum says so. The first 512 KiB of each file are
taken from the disk at the start, so that a disk that fills up does not break promises. Emptying keeps the file's size.
"""

import contextlib
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


class _File:
    """One of the two."""

    __slots__ = ("end", "fd", "seed")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.end = 0
        self.seed = 0

    @property
    def empty(self) -> bool:
        return self.end == _HEAD.size

    def begin(self, number: int) -> None:
        """Raises OSError."""
        os.pwrite(self.fd, _HEAD.pack(MAGIC, number), 0)
        self.end, self.seed = _HEAD.size, _seed(number)

    def append(self, data: bytes) -> bool:
        entry = _ENTRY.pack(len(data), crc32(data, self.seed)) + data
        size, end = len(entry), self.end
        if end + size > BOUND:
            return False
        try:
            if os.pwrite(self.fd, entry, end) != size:
                return False
        except OSError:
            return False
        self.end = end + size
        return True


class Ahead:
    """Of one sort of entries, from pass `number` on. `paths` are its two files: what they hold is forgotten. Raises
    OSError where they cannot be made."""

    def __init__(self, paths: Iterable[Path], number: int = 1) -> None:
        self._current, self._other = (_File(private_file(path)) for path in paths)
        self._number = number
        for file in (self._current, self._other):
            os.posix_fallocate(file.fd, 0, RESERVED)
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
            os.close(file.fd)

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
