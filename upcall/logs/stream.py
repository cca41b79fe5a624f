"""Bytes of an action's stdout and stderr become log lines (spec: logs.md §1, §3, §4).

`feed` takes what was read from one of the two streams: whole lines are stamped with the time at which they were read
and kept in that order; an incomplete line waits for its rest. `take` gives what came since the last call, cut at the
activation's limit, and starts anew.

What counts towards the limit is, as upstream, the size of the line as Docker would have written it: a JSON object with
text, stream and time, not the text alone. That also bounds memory for a flood of tiny lines: nothing is kept beyond
`bound`, later output is only counted until the next `take`. A line longer than 16 KiB becomes several entries, as
Docker cuts it (but never inside a character).

Exceeding the limit is not a collection error here, unlike upstream, because it need not cost the container
(logs.md §7). Runtimes that mark the end of an activation are told apart by `sentinel`: `ended` is true when both
streams have said so, and `take` complains when they have not, unless it was told not to expect it.

Which of the two streams was written to first no pipe can tell. A runtime that knows says so in a line of its own
(`ORDER` and numbers: so many lines of stdout, so many of stderr, of stdout again), which is no log line. Where the
numbers are those of the lines that came, `take` puts these in that order; else they stay in the order in which they
were read. Of what is told only so much is kept: anybody inside can tell without end.
"""

import itertools
import re
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

from upcall.model import texts
from upcall.ports import Lines

Stream = Literal["stdout", "stderr"]

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
_SENTINEL = SENTINEL.encode()
ORDER = b"\0order "
_TURNS = re.compile(rb"[0-9]{1,9}( [0-9]{1,9})*")
_MOST_TURNS = 1 << 16
"""Our runtimes follow 10,000 in an activation; several may be under way."""
_LONGEST = 16384
_ENVELOPE = len('{"log":"\\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}\n')
_STAMPED = 31
"""Characters before the name of the stream."""
_ESCAPED = re.compile(rb'["\\\x00-\x1f]')


def stamp(ns: int) -> str:
    """Docker's form of a time: UTC with nine digits."""
    seconds, rest = divmod(ns, 1_000_000_000)
    if seconds != _Second.number:
        _Second.number = seconds
        _Second.text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{_Second.text}.{rest:09d}Z"


def entry(ns: int, stream: Stream, text: str) -> str:
    """One line of an activation's log: the time padded to 30 characters."""
    return f"{stamp(ns):<30} {stream}: {text}"


class LogStream:
    """What one container has printed and nobody has taken yet."""

    def __init__(self, bound: int, sentinel: bool = False, clock: Callable[[], int] = time.time_ns) -> None:
        self._bound = bound
        self._sentinel = sentinel
        self._clock = clock
        self._partial: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._begin()

    def _begin(self) -> None:
        self._lines: list[str] = []
        self._sums: list[int] = []
        self._unended: set[int] = set()
        """Entries that no newline follows."""
        self._turns: list[int] = []
        self._size = 0
        self._ends = 0

    @property
    def ended(self) -> bool:
        """Whether both streams have shown their sentinel since the last `take`."""
        return self._ends >= 2

    @property
    def full(self) -> bool:
        """Whether everything that comes before the next `take` will be dropped."""
        return self._size > self._bound

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take what was read from `stream`."""
        if self.full and not self._sentinel:
            self._partial[stream] = b""
            return
        head = entry(self._clock(), stream, "")
        data = self._partial[stream] + data
        told = ORDER in data  # asked once for all lines
        *whole, rest = data.split(b"\n")
        for line in whole:
            if told and ORDER in line:
                self._turn(head, line)
            else:
                self._add(head, line)
        while len(rest) > _LONGEST:
            rest = self._piece(head, rest)
        self._partial[stream] = rest

    def take(self, limit: int, complete: bool = True) -> Lines:
        """What came since the last call, at most `limit` bytes of it; `complete` is false where sentinels may miss."""
        if not (self._size or self._turns or self._sentinel or any(self._partial.values())):
            return Lines([])
        for stream, rest in self._partial.items():
            if rest:
                self._add(entry(self._clock(), stream, ""), rest)
                self._unended.add(len(self._lines) - 1)
                self._partial[stream] = b""
        if self._turns:
            self._put_in_order()
        lines, ended, cut = self._lines, self.ended, self._size > limit
        if cut:
            del lines[bisect_right(self._sums, limit) :]
        self._begin()
        if limit <= 0:
            return Lines([])
        if cut:
            lines.append(entry(self._clock(), "stderr", texts.logs_truncated(limit)))
        failed = self._sentinel and complete and not ended
        if failed:
            lines.append(entry(self._clock(), "stderr", texts.LOGS_MISSING))
        return Lines(lines, failed)

    def _piece(self, head: str, data: bytes) -> bytes:
        """Make an entry of the first 16 KiB; gives the rest."""
        end = _LONGEST
        while end > _LONGEST - 4 and data[end] & 0xC0 == 0x80:
            end -= 1
        self._keep(head, data[:end])
        self._unended.add(len(self._lines) - 1)
        return data[end:]

    def _add(self, head: str, line: bytes) -> None:
        if self._sentinel and line.rstrip(b"\r") == _SENTINEL:
            self._ends += 1
            return
        while len(line) > _LONGEST:
            line = self._piece(head, line)
        self._keep(head, line)

    def _keep(self, head: str, line: bytes) -> None:
        if self._size > self._bound:
            return
        self._size += _ENVELOPE + len(line) + len(_ESCAPED.findall(line))
        self._sums.append(self._size)
        self._lines.append(head + line.removesuffix(b"\r").decode("utf-8", "replace"))

    def _turn(self, head: str, line: bytes) -> None:
        """Take what is told, and what stands before it on the same line because nothing had ended that."""
        rest, _, turns = line.partition(ORDER)
        if rest:
            self._add(head, rest)
            self._unended.add(len(self._lines) - 1)
        if len(self._turns) < _MOST_TURNS and _TURNS.fullmatch(turns):
            self._turns += map(int, turns.split())
            self._turns += [0] * (len(self._turns) % 2)  # what may follow begins with stdout

    def _put_in_order(self) -> None:
        """Arrange the lines by the turns, where these fit. The times stay where they are: none is earlier than the one
        before it."""
        found = ordered(self._lines, self._unended, self._turns)
        if found is None:
            return
        lines, sums = self._lines, self._sums
        sizes = [end - begin for begin, end in zip([0, *sums], sums, strict=False)]
        self._lines = [line[:_STAMPED] + lines[number][_STAMPED:] for line, number in zip(lines, found, strict=True)]
        self._sums = list(itertools.accumulate(sizes[number] for number in found))


def ordered(lines: list[str], unended: set[int], turns: list[int]) -> list[int] | None:
    """The numbers of the entries as the turns have them; None where these are of other lines. Entries that no newline
    follows belong to the next of their stream, or to its end."""
    if sum(turns) != len(lines) - len(unended):  # to look at each line would take long, and this is a sure sign
        return None
    queues: tuple[list[list[int]], list[list[int]]] = ([[]], [[]])
    for number, line in enumerate(lines):
        queue = queues[line.startswith("stderr", _STAMPED)]
        queue[-1].append(number)
        if number not in unended:
            queue.append([])
    if any(sum(turns[stream::2]) != len(queues[stream]) - 1 for stream in (0, 1)):
        return None
    parts = [iter(queue) for queue in queues]
    found = [
        number
        for turn, count in enumerate(turns)
        for part in itertools.islice(parts[turn % 2], count)
        for number in part
    ]
    return found + [number for queue in queues for number in queue[-1]]


class _Second:
    """The last second that was formatted: lines come in bursts."""

    number = -1
    text = ""
