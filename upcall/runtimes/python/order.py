"""What two pipes cannot tell: in which order stdout and stderr were written to, and where an activation's output ends.

`sys.stdout` and `sys.stderr` count their lines into `turns`: so many of stdout, then so many of stderr, then of stdout
again. With the answer the numbers are told to the platform, if both streams were used, as a line behind all others on
the pipe of stderr: a zero byte, `order`, the turns. The platform takes them where they fit what it has read. They do
not where others have written, too (subprocesses, `os.write`): then the lines stay as they were read.

In an image under somebody else's Invoker both streams get a line of their own when an activation ends instead, the
sentinel (spec: logs.md §1), which it waits for. What the user's code has printed without a newline becomes a line
first. A platform of ours is told at the beginning that it need not wait: what was printed before an answer is there
when the answer is (`WHOLE`).

Without output the counting costs nothing, with it less than a microsecond for each write.
"""

import contextlib
import io
import itertools
import os
import sys
from typing import Any

MARK = b"\0order "
WHOLE = b"\0whole\n"
SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
_MOST = 10_000
"""Turns; who takes more is not followed any further."""
_AT_ONCE = 512
"""Turns in a line, which the kernel then writes in one piece."""


class Order:
    """The turns since the last `tell`; the even ones are of stdout."""

    def __init__(self) -> None:
        self._turns = [0]
        self._unended = [False, False]
        """Whether the last line of a stream still lacks its newline."""
        self._pipes: tuple[int, ...] = ()
        self._marks = False

    def follow(self) -> None:
        """Put streams that are counted in place of the interpreter's; they write a line when it ends."""
        for stream, name in enumerate(("stdout", "stderr")):
            raw = _Counted(self, stream, f"<{name}>")
            text = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
            text.mode = "w"  # type: ignore[misc]
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)

    def begin(self, marks: bool = False) -> None:
        """The container's pipes are there: keep them, for user code may put other files in their place. `marks`: not
        the turns, but ends of activations."""
        self._marks = marks
        self._pipes = (os.dup(1) if marks else -1, os.dup(2))

    def promise(self) -> None:
        """Before anything else is printed: `WHOLE`."""
        _write(1, WHOLE)

    def note(self, stream: int, data: bytes) -> None:
        """`data` was written to `stream`: 0 or 1."""
        turns = self._turns
        if len(turns) % 2 == stream and len(turns) <= _MOST:
            turns.append(0)
        turns[-1] += data.count(b"\n")
        if data:
            self._unended[stream] = not data.endswith(b"\n")

    def end(self, last: bool) -> None:
        """An answer is due; `last`: no other one of this activation comes after it."""
        marks = self._marks and last
        if marks:
            self._end_lines()
        self._tell()
        if marks:
            for pipe in self._pipes:
                _write(pipe, SENTINEL)

    def _end_lines(self) -> None:
        for stream, unended in enumerate(self._unended):
            if unended:
                _write(self._pipes[stream], b"\n")
                self.note(stream, b"\n")

    def _tell(self) -> None:
        """Hand the turns over, and start anew."""
        turns = self._turns
        if len(turns) == 1 and not turns[0]:
            return
        self._turns = [0]
        if self._marks or len(turns) > _MOST or not (any(turns[::2]) and any(turns[1::2])):
            return
        for first in range(0, len(turns), _AT_ONCE):
            numbers = itertools.islice(turns, first, first + _AT_ONCE)
            _write(self._pipes[1], MARK + b" ".join(b"%d" % number for number in numbers) + b"\n")


def _write(pipe: int, line: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(pipe, line)


class _Counted(io.FileIO):
    """A standard stream's descriptor whose lines are noted."""

    def __init__(self, order: Order, stream: int, name: str) -> None:
        super().__init__(stream + 1, "wb", closefd=False)
        self.name = name
        self._order = order
        self._stream = stream

    def write(self, data: Any) -> Any:
        written = super().write(data)
        self._order.note(self._stream, bytes(data[:written]))
        return written


OUTPUT = Order()
"""Of this process."""
