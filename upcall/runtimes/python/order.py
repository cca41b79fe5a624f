"""In which order stdout and stderr were written to: two pipes cannot tell.

`sys.stdout` and `sys.stderr` count their lines into `turns`: so many of stdout, then so many of stderr, then of stdout
again. With the answer the numbers are told to the platform, if both streams were used, as a line behind all others on
the pipe of stderr: a zero byte, `order`, the turns. The platform takes them where they fit what it has read. They do
not where others have written, too (subprocesses, `os.write`): then the lines stay as they were read.

Without output this costs nothing, with it less than a microsecond for each write.
"""

import contextlib
import io
import itertools
import os
import sys
from typing import Any

MARK = b"\0order "
_MOST = 10_000
"""Turns; who takes more is not followed any further."""
_AT_ONCE = 512
"""Turns in a line, which the kernel then writes in one piece."""


class Order:
    """The turns since the last `tell`; the even ones are of stdout."""

    def __init__(self) -> None:
        self._turns = [0]
        self._pipe = -1

    def follow(self) -> None:
        """Put streams that are counted in place of the interpreter's; they write a line when it ends."""
        for stream, name in enumerate(("stdout", "stderr")):
            raw = _Counted(self, stream, f"<{name}>")
            text = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
            text.mode = "w"  # type: ignore[misc]
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)

    def begin(self) -> None:
        """The container's pipe is there: keep it, for user code may put another file in its place."""
        self._pipe = os.dup(2)

    def note(self, stream: int, lines: int) -> None:
        """`lines` were written to `stream`: 0 or 1."""
        turns = self._turns
        if len(turns) % 2 == stream and len(turns) <= _MOST:
            turns.append(0)
        turns[-1] += lines

    def tell(self) -> None:
        """Hand the turns over, and start anew."""
        turns = self._turns
        if len(turns) == 1 and not turns[0]:
            return
        self._turns = [0]
        if len(turns) > _MOST or not (any(turns[::2]) and any(turns[1::2])):
            return
        for first in range(0, len(turns), _AT_ONCE):
            numbers = itertools.islice(turns, first, first + _AT_ONCE)
            with contextlib.suppress(OSError):
                os.write(self._pipe, MARK + b" ".join(b"%d" % number for number in numbers) + b"\n")


class _Counted(io.FileIO):
    """A standard stream's descriptor whose lines are noted."""

    def __init__(self, order: Order, stream: int, name: str) -> None:
        super().__init__(stream + 1, "wb", closefd=False)
        self.name = name
        self._order = order
        self._stream = stream

    def write(self, data: Any) -> Any:
        written = super().write(data)
        self._order.note(self._stream, bytes(data[:written]).count(b"\n"))
        return written


OUTPUT = Order()
"""Of this process."""
