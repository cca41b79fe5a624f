"""What stands between the feed and the Invoker while something is in the way: it is disabled (spec: invoker.md §8), or
containers are not known to work (`canary`).

The feed may bring what it was allowed to bring before: that waits here, in order, neither started nor done, so that it
is for the next life if this one ends. Its units, and those of what ends meanwhile, go back when the gate opens: so
never more waits here than the feed has units.
"""

from collections.abc import Callable

from upcall.model.messages import Message


class Gate:
    """Opens by `deliver`ing what has waited and `pull`ing the units that it owes."""

    def __init__(self, deliver: Callable[[int, Message, bool], None], pull: Callable[[int], None]) -> None:
        self._deliver = deliver
        self._pull = pull
        self.reasons: set[str] = set()
        self._kept: list[tuple[int, Message, bool]] = []
        self._owed = 0
        self.closed = False

    def __len__(self) -> int:
        return len(self._kept)

    def shut(self, reason: str) -> None:
        self.reasons.add(reason)
        self.closed = True

    def open(self, reason: str) -> None:
        """That is not in the way any more."""
        self.reasons.discard(reason)
        if self.closed and not self.reasons:
            self.lift()

    def lift(self) -> None:
        """Open, whatever is in the way."""
        self.reasons.clear()
        self.closed = False
        kept, self._kept = self._kept, []
        owed, self._owed = self._owed, 0
        for delivery in kept:
            self._deliver(*delivery)
        if owed:
            self._pull(owed)

    def keep(self, offset: int, message: Message, started: bool) -> None:
        """`started`: whether an earlier life has."""
        self._kept.append((offset, message, started))

    def owe(self, units: int) -> None:
        self._owed += units
