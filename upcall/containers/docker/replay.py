"""A stream that is read from its beginning once more: which part of it is new.

What was read before is known by its number of lines, and the last of them by their checksums: an engine that ends may
have passed on lines that it did not get into its log. Where the log goes another way than what was read, all is new
from there on. Bytes that are no ASCII do not count, for in the engine's log some are replaced.
"""

from collections import deque
from zlib import crc32

_KEPT = 256
"""Lines that an engine may not have got into its log."""
_OTHER = bytes(range(128, 256))


class Seen:
    """How much of a stream has been read: whole lines, and bytes behind them."""

    def __init__(self) -> None:
        self.lines = self.tail = 0
        self.last: deque[int] = deque(maxlen=_KEPT)
        """Checksums of the last lines."""
        self._sum = 0

    def add(self, data: bytes) -> None:
        self.lines += data.count(b"\n")
        first, *more = data.rsplit(b"\n", _KEPT + 1)
        if not more:
            self.tail += len(data)
            self._sum = _sum(data, self._sum)
            return
        if b"\n" not in first:  # else what counts begins later
            self.last.append(_sum(first, self._sum))
        self.last.extend(map(_sum, more[:-1]))
        self.tail = len(more[-1])
        self._sum = _sum(more[-1])


class Replay:
    """A stream from its beginning on, of which so much was seen."""

    def __init__(self, seen: Seen) -> None:
        self._left = seen.lines
        self._tail = seen.tail
        self._last = seen.last
        self._line = b""
        """The beginning of one that was seen."""

    @property
    def done(self) -> bool:
        """Whether it has come to what is new."""
        return not (self._left or self._tail)

    def new(self, data: bytes) -> bytes:
        """The part of it that was not seen."""
        count = data.count(b"\n")
        if self._left - count > len(self._last):
            self._left -= count
            self._line = data[data.rfind(b"\n") + 1 :] if count else self._line + data
            return b""
        data = self._line + data
        begin = 0
        while self._left and (end := data.find(b"\n", begin)) >= 0:
            if self._left <= len(self._last) and _sum(data[begin:end]) != self._last[-self._left]:
                self._left = self._tail = 0
                break
            self._left -= 1
            begin = end + 1
        data = data[begin:]
        if self._left:
            self._line = data
            return b""
        self._line = b""
        skipped = min(self._tail, len(data))
        self._tail -= skipped
        return data[skipped:]


def _sum(line: bytes, before: int = 0) -> int:
    return crc32(line.translate(None, _OTHER), before)
