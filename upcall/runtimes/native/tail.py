"""The output of a program while it runs: its last line is held back, whatever comes before it goes to the log at once.

Only the end tells which line is the last one, so a line is let go when something follows it. A line longer than
`LONGEST` is no result and goes to the log as well. What the program leaves running may keep the pipe open: its end is
the program's, not the pipe's.
"""

import contextlib
import fcntl
import os
import select
import struct
import termios

LONGEST = 8 << 20
"""Bytes."""
_READ = 64 << 10
_LOG = 1


class Tail:
    """`held` is the last line so far, with its newline if that has come; `cut` says that its beginning is gone."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.cut = False

    def feed(self, data: bytes) -> None:
        """Take what comes next."""
        if self.held.endswith(b"\n"):
            self.release()
            self.cut = False
        end = data.rfind(b"\n", 0, -1) + 1
        if end:
            self.held += data[:end]
            self.release()
            self.cut = False
        self.held += data[end:]
        if len(self.held) > LONGEST:
            self.release()
            self.cut = True

    def release(self) -> None:
        """Pass on what is held."""
        log(bytes(self.held), _LOG)
        self.held.clear()


def log(data: bytes, fd: int) -> None:
    """Write all of it, for as long as anybody reads it."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]


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
