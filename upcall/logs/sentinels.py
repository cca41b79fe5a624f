"""The lines by which a runtime says, on each of its streams, that an activation has ended (spec: logs.md §1).

A line that *contains* the text counts, as in upstream on Docker. An action that prints it to both streams is therefore
not waited for: what it has written by the time of its answer is its log, and what its runtime writes afterwards comes
with the next one's. What stands before the text on its line is kept, which upstream loses.

A stream that did not show its sentinel in time owes it: when two come with the next activation, the first of them and
what stood before it are the earlier one's, and go.
"""

from upcall.logs.streams import STREAMS, Stream

TEXT = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
SENTINEL = TEXT.encode()


def prefix(data: bytes) -> int:
    """So many bytes at its end may be the beginning of a sentinel."""
    longest = min(len(data), len(SENTINEL) - 1)
    return next((size for size in range(longest, 0, -1) if data.endswith(SENTINEL[:size])), 0)


class Sentinels:
    """What one container's streams have shown since the last `over`."""

    def __init__(self) -> None:
        self._owing: frozenset[Stream] = frozenset()
        self._begin()

    def _begin(self) -> None:
        self._seen: dict[Stream, int] = dict.fromkeys(STREAMS, 0)
        self._first: dict[Stream, int] = {}

    def saw(self, stream: Stream, entries: int, count: int = 1) -> None:
        """So many sentinels, behind so many entries of both streams."""
        if count:
            self._first.setdefault(stream, entries)
            self._seen[stream] += count

    @property
    def ended(self) -> bool:
        """Whether both have shown theirs, and what they owed."""
        return all(self._seen[stream] > (stream in self._owing) for stream in STREAMS)

    def old(self) -> dict[Stream, int]:
        """For streams that have made up for what they owed: their entries before this number are the earlier
        activation's."""
        return {stream: self._first[stream] for stream in self._owing if self._seen[stream] > 1}

    def over(self, due: bool) -> bool:
        """The activation has been collected; gives whether each stream has shown one. `due`: they should have."""
        missing = frozenset(stream for stream in STREAMS if not self._seen[stream])
        self._owing = missing if due else frozenset()
        self._begin()
        return not missing
