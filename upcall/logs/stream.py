"""Bytes of an action's stdout and stderr become log lines (spec: logs.md §1, §3, §4).

`feed` takes what was read from one of the two streams: whole lines are stamped with the time at which they were read
and kept in that order, or in the one that the runtime tells (`order.py`); an incomplete line waits for its rest. `take`
gives what came since the last call, cut at the activation's limit, and starts anew. All that came by then is this
activation's: where sentinels are looked for (`sentinels.py`), they say how long to wait and not where to cut.

What counts towards the limit is, as upstream, the size of the line as Docker would have written it (`size.py`), not
the text alone; but not that of the sentinels, which are none of the action's. That also bounds memory for a flood of
tiny lines: nothing is kept beyond `bound`, later output is only searched for sentinels until the next `take`. A line
longer than 16 KiB becomes several entries, as Docker cuts it (but never inside a character).

Exceeding the limit is not a collection error here, unlike upstream, because it need not cost the container
(logs.md §7). A missing sentinel is, unless it was told not to expect it.
"""

import itertools
import time
from bisect import bisect_right
from collections.abc import Callable

from upcall.logs import order
from upcall.logs.sentinels import SENTINEL, Sentinels, prefix
from upcall.logs.size import written
from upcall.logs.streams import STAMPED, STREAMS, Stream, entry, of
from upcall.model import texts
from upcall.ports import Lines

_LONGEST = 16384


class LogStream:
    """What one container has printed and nobody has taken yet."""

    def __init__(self, bound: int, sentinel: bool = False, clock: Callable[[], int] = time.time_ns) -> None:
        self._bound = bound
        self._sentinels = Sentinels() if sentinel else None
        self._clock = clock
        self._partial: dict[Stream, bytes] = dict.fromkeys(STREAMS, b"")
        self._turns = order.Turns()
        self.guessed = False
        """Whether the last activation that wrote to both streams left their order to whoever reads them."""
        self._begin()

    def _begin(self) -> None:
        self._lines: list[str] = []
        self._sums: list[int] = []
        self._unended: set[int] = set()
        """Entries that no newline follows."""
        self._size = 0
        self._fed: set[Stream] = set()

    @property
    def ended(self) -> bool:
        """Whether both streams have shown their sentinel since the last `take`."""
        return self._sentinels is not None and self._sentinels.ended

    @property
    def full(self) -> bool:
        """Whether everything that comes before the next `take` will be dropped."""
        return self._size > self._bound

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take what was read from `stream`."""
        if self.full:
            self._partial[stream] = self._searched(stream, self._partial[stream] + data)
            return
        self._fed.add(stream)
        head = entry(self._clock(), stream, "")
        if self._partial[stream]:
            data = self._partial[stream] + data
        odd = order.MARK in data or (self._sentinels is not None and SENTINEL in data)  # asked once for all lines
        *whole, rest = data.split(b"\n")
        for line in whole:
            if odd:
                self._odd(head, stream, line)
            elif len(line) > _LONGEST:
                self._add(head, line)
            else:
                self._keep(head, line)
        while len(rest) > _LONGEST:
            rest = self._piece(head, rest)
        self._partial[stream] = rest

    def take(self, limit: int, complete: bool = True) -> Lines:
        """What came since the last call, at most `limit` bytes of it; `complete` is false where sentinels may miss."""
        partial = self._partial["stdout"] or self._partial["stderr"]
        if not (self._size or self._turns or self._sentinels or partial):
            return Lines([])
        if partial:
            self._end_lines()
        shown = self._over(complete)
        if self._turns or len(self._fed) > 1:
            self.guessed = not self._put_in_order()
        lines, cut = self._lines, self._size > limit
        if cut:
            del lines[bisect_right(self._sums, limit) :]
        self._begin()
        if limit <= 0:
            return Lines([])
        if cut:
            lines.append(entry(self._clock(), "stderr", texts.logs_truncated(limit)))
        if not shown:
            lines.append(entry(self._clock(), "stderr", texts.LOGS_MISSING))
        return Lines(lines, failed=not shown)

    def _end_lines(self) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._add(entry(self._clock(), stream, ""), rest, newline=False)
                self._partial[stream] = b""

    def _odd(self, head: str, stream: Stream, line: bytes) -> None:
        """A sentinel, or what is told of the order, and what stands before it because nothing had ended that."""
        if self._sentinels is not None and SENTINEL in line:
            rest = line.partition(SENTINEL)[0]
            if rest:
                self._add(head, rest, newline=False)
            self._sentinels.saw(stream, len(self._lines))
            return
        rest, mark, turns = line.partition(order.MARK)
        if mark:
            self._turns.told(turns)
        if rest or not mark:
            self._add(head, rest, newline=not mark)

    def _add(self, head: str, line: bytes, newline: bool = True) -> None:
        while len(line) > _LONGEST:
            line = self._piece(head, line)
        self._keep(head, line, newline)

    def _piece(self, head: str, data: bytes) -> bytes:
        """Make an entry of the first 16 KiB; gives the rest."""
        end = _LONGEST
        while end > _LONGEST - 4 and data[end] & 0xC0 == 0x80:
            end -= 1
        if self._sentinels is not None:
            end -= prefix(data[:end])
        self._keep(head, data[:end], newline=False)
        return data[end:]

    def _keep(self, head: str, line: bytes, newline: bool = True) -> None:
        size = self._size
        if size > self._bound:
            return
        text = line.decode("utf-8", "replace")
        self._size = size = size + written(line, text, newline)
        self._sums.append(size)
        if newline:
            text = text.removesuffix("\r")
        else:
            self._unended.add(len(self._lines))
        self._lines.append(head + text)

    def _searched(self, stream: Stream, data: bytes) -> bytes:
        """Nothing is kept of it but its sentinels, and what may be the beginning of one."""
        if self._sentinels is None:
            return b""
        self._sentinels.saw(stream, len(self._lines), data.count(SENTINEL))
        return data[len(data) - prefix(data) :]

    def _over(self, due: bool) -> bool:
        """Whether both streams have ended, or need not."""
        if self._sentinels is None:
            return True
        old = self._sentinels.old()
        if old:
            self._arrange(
                [
                    number
                    for number, line in enumerate(self._lines)
                    if not any(number < first and of(line, stream) for stream, first in old.items())
                ]
            )
        return self._sentinels.over(due) or not due

    def _put_in_order(self) -> bool:
        """Arrange the lines by the turns, where these fit; whether they do. The times stay where they are: none is
        earlier than the one before it."""
        if not self._turns:
            return False
        stamps = [line[:STAMPED] for line in self._lines]
        found = self._turns.ordered(self._lines, self._unended)
        if found is not None:
            self._arrange(found)
            self._lines = [stamp + line[STAMPED:] for stamp, line in zip(stamps, self._lines, strict=True)]
        return found is not None

    def _arrange(self, numbers: list[int]) -> None:
        """Keep these entries, in this order."""
        sizes = [end - begin for begin, end in zip([0, *self._sums], self._sums, strict=False)]
        self._lines = [self._lines[number] for number in numbers]
        self._unended = {place for place, number in enumerate(numbers) if number in self._unended}
        self._sums = list(itertools.accumulate(sizes[number] for number in numbers))
        self._size = self._sums[-1] if self._sums else 0
