"""What a pod has printed while nobody was attached to it: found in its log, which has no marks of what was read.

The log's end is compared with the last lines that were read: where most of them agree, what stands behind is new. A log
that repeats itself agrees in many places: then the number of all lines decides where the log was read whole, else the
time. Both streams are one there, so their order is left out of account.
"""

from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from zlib import crc32

import msgspec

from upcall.logs.streams import Stream

KEPT = 256
"""Lines that are remembered."""
_LONGEST = 64 << 10
"""Bytes of a line that are waited for."""


class Line(msgspec.Struct, frozen=True):
    """Of a pod's log; `at` in nanoseconds since 1970 by the node's clock."""

    at: int
    text: bytes
    ended: bool = True
    """Whether a newline follows."""


class Seen:
    """What was read of both streams of one container."""

    def __init__(self) -> None:
        self.lines = 0
        self.heard = 0
        """When the last of it came, in nanoseconds since 1970."""
        self._last: deque[int] = deque(maxlen=KEPT)
        self._sums: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        """Of the unended lines."""

    def add(self, stream: Stream, data: bytes, now: int) -> None:
        self.heard = now
        self.lines += data.count(b"\n")
        first, *more = data.rsplit(b"\n", KEPT + 1)
        _, newline, first = first.rpartition(b"\n")
        first_sum = crc32(first, 0 if newline else self._sums[stream])
        if more:
            self._last.append(first_sum)
            self._last.extend(map(crc32, more[:-1]))
            first_sum = crc32(more[-1])
        self._sums[stream] = first_sum

    def new(self, log: Sequence[Line], whole: bool) -> Sequence[Line]:
        """The part of the log that was not read; `whole`: it begins with the first line that was printed."""
        if not self._last:
            return log
        sums = [crc32(line.text) for line in log]
        best, places = 0, [0]
        for place, agreed in enumerate(_agreements(Counter(self._last), len(self._last), sums), 1):
            if agreed > best:
                best, places = agreed, [place]
            elif agreed == best and best:
                places.append(place)
        if whole and self.lines in places:
            return log[self.lines :]
        return log[min(places, key=lambda place: abs(log[place - 1].at - self.heard) if place else 0) :]


class Stamped:
    """A log with timestamps, as it comes. Lines without an end do not take memory."""

    def __init__(self) -> None:
        self._part = b""
        self._inside = 0
        """The time of the line of which a part is gone; 0: there is none."""

    def feed(self, data: bytes) -> list[Line]:
        *whole, part = (self._part + data).split(b"\n")
        found = [self._line(each, True) for each in whole]
        if len(part) > _LONGEST:
            found.append(self._line(part, False))
            part = b""
        self._part = part
        return found

    def _line(self, text: bytes, ended: bool) -> Line:
        """`2026-01-02T03:04:05.123456789Z hello`, or more of it."""
        at = self._inside
        if not at:
            stamp, _, text = text.partition(b" ")
            at = moment(stamp.decode("ascii", "replace"))
        self._inside = 0 if ended else at
        return Line(at, text, ended)


def moment(stamp: str) -> int:
    """In nanoseconds since 1970; 0 where it is none."""
    head, _, tail = stamp.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        seconds = datetime.fromisoformat(head + tail[len(digits) :]).timestamp()
    except ValueError:
        return 0
    return int(seconds) * 1_000_000_000 + int(digits.ljust(9, "0")[:9])


def _agreements(known: Counter[int], size: int, sums: Sequence[int]) -> Sequence[int]:
    """How many of the last `size` lines up to each place are among those that are known."""
    left, agreed, found = Counter(known), 0, []
    for place, sum in enumerate(sums):
        agreed += left[sum] > 0
        left[sum] -= 1
        if place >= size:
            gone = sums[place - size]
            left[gone] += 1
            agreed -= left[gone] > 0
        found.append(agreed)
    return found
