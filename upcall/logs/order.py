"""Which of the two streams was written to first, no pipe can tell. A runtime that knows says so in a line of its own:
`MARK` and numbers, so many lines of stdout, so many of stderr, of stdout again. Where the numbers are those of the
lines that came, these are put in that order; else they stay in the order in which they were read. Of what is told only
so much is kept: anybody inside can tell without end.
"""

import itertools
import re

from upcall.logs import streams

MARK = b"\0order "
_TURNS = re.compile(rb"[0-9]{1,9}( [0-9]{1,9})*")
_MOST = 1 << 16
"""Our runtimes follow 10,000 in an activation; several may be under way."""


class Turns:
    """What was told since the last `ordered`."""

    def __init__(self) -> None:
        self._turns: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._turns)

    def told(self, turns: bytes) -> None:
        """Take the numbers, as they stand behind the mark."""
        if len(self._turns) < _MOST and _TURNS.fullmatch(turns):
            self._turns += map(int, turns.split())
            self._turns += [0] * (len(self._turns) % 2)  # what may follow begins with stdout

    def ordered(self, lines: list[str], unended: set[int]) -> list[int] | None:
        """The numbers of the entries as the turns have them; None where these are of other lines. Entries that no
        newline follows belong to the next of their stream, or to its end."""
        turns, self._turns = self._turns, []
        if sum(turns) != len(lines) - len(unended):  # to look at each line would take long, and this is a sure sign
            return None
        queues: tuple[list[list[int]], list[list[int]]] = ([[]], [[]])
        for number, line in enumerate(lines):
            queue = queues[streams.of(line, "stderr")]
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
