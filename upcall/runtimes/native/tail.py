"""The output of a program while it runs: its last line is held back, whatever comes before it goes to the log at once.

Only the end tells which line is the last one, so a line is let go when something follows it. A line that begins like
no result, or is longer than `LONGEST`, goes to the log as well: should the program hang, its last words are there.
What the program leaves running may keep the pipe open: its end is the program's, not the pipe's.
"""

import contextlib
import fcntl
import os
import re
import select
import struct
import termios

from ..python.order import OUTPUT

LONGEST = 8 << 20
"""Bytes."""
_READ = 64 << 10
_LOG = 1
_RESULT = re.compile(rb"\s*(?:[{\[]|\Z)")
"""How a line begins that may become one."""


class Tail:
    """`held` is the last line so far, with its newline if that has come; `cut` says that its beginning is gone for its
    length."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.cut = False
        self._words = False
        """Whether the line is none that may be a result."""
        self._whole = False

    def feed(self, data: bytes) -> None:
        """Take what comes next."""
        if self._whole:
            self._begin()
        end = data.rfind(b"\n", 0, -1) + 1
        if end:
            self.held += data[:end]
            self._begin()
        self.held += data[end:]
        self._whole = data.endswith(b"\n")
        self._words = self._words or not (self.cut or _RESULT.match(self.held))
        self.cut = self.cut or len(self.held) > LONGEST
        if self._words or len(self.held) > LONGEST:
            self.release()

    def _begin(self) -> None:
        """Another line: the one before it was not the last."""
        self.release()
        self.cut = self._words = False

    def release(self) -> None:
        """Pass on what is held."""
        log(bytes(self.held), _LOG)
        self.held.clear()


def log(data: bytes, fd: int) -> None:
    """Write all of it, for as long as anybody reads it."""
    with contextlib.suppress(OSError):
        while data:
            written = os.write(fd, data)
            OUTPUT.note(fd - 1, data[:written])
            data = data[written:]


def read_to_end(pipe: int, pid: int) -> Tail:
    """Read `pipe` until the process has ended, and then what is left in it by now."""
    tail, poll, ending = Tail(), select.poll(), os.pidfd_open(pid)
    poll.register(pipe, select.POLLIN)
    poll.register(ending, select.POLLIN)
    try:
        while ending not in dict(poll.poll()):
            data = os.read(pipe, _READ)
            if not data:
                poll.unregister(pipe)
            else:
                tail.feed(data)
    finally:
        os.close(ending)
    left = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    while left > 0 and (data := os.read(pipe, min(left, _READ))):
        tail.feed(data)
        left -= len(data)
    return tail
