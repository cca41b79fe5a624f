"""Tells every process of a data folder, at once, that subjects or limits have changed: eight bytes beside the database.

The bytes are a number, mapped into memory, so that looking costs no system call. It is even while nothing changes; who
changes something takes the file's lock, makes it odd, commits, makes it even again. An identity is kept only if the
number was even and the same before and after it was read, and as long as it stays: so none outlives a change.

The kernel drops the lock of a writer that dies; its number stays odd, which costs readers their caches and nothing
else. Whoever finds it so and gets the lock (`heal`) makes it even. The file never shrinks: it may be mapped.
"""

import fcntl
import mmap
import os
from pathlib import Path

SIZE = 8


class Changes:
    """Of one process. Raises OSError where the file cannot be made."""

    def __init__(self, file: int) -> None:
        self._file = file
        if os.fstat(file).st_size < SIZE:
            os.posix_fallocate(file, 0, SIZE)  # a hole could not be filled on a full disk: the kernel would kill us
        self._map = mmap.mmap(file, SIZE)
        self.number = memoryview(self._map).cast("Q")
        """One element, the number as it is now."""
        self._open = 0

    def begin(self) -> bool:
        """Whether this process may change something now; then `end` follows, once for each."""
        if self._open == 0:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self.number[0] |= 1
        self._open += 1
        return True

    def end(self) -> None:
        """It is committed, or it failed."""
        self._open -= 1
        if self._open == 0:
            self.number[0] = (self.number[0] + 1) % 2**64
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def heal(self) -> None:
        """Where a writer died, make the number even; where it is at work, leave it."""
        if self.number[0] & 1 and self._open == 0 and self.begin():
            self.end()

    def close(self) -> None:
        """What is still open then stays odd."""
        self.number.release()
        self._map.close()
        os.close(self._file)


def changes_file(database: Path) -> Path:
    return database.with_name(f"{database.name}-accounts")
