"""One kind of count by namespace, kept by several controllers: what each has, what it told, what may be added.

Each controller counts its own and tells the others (`upcall.controller.cluster`). Between two tellings all may add, so
a limit holds only if nobody adds more than a share of what is left. What is left is known to everybody differently, but
a controller knows for sure what all others have heard of it (`floor`), and has itself heard at least what they may call
theirs. With `size` controllers, `others` the sum of what the others told, one may go up to `count` where

    size * count + others <= limit + (size - 1) * floor

Proof: that is `count - floor <= (limit - others - floor) / size`, and `others` is no less than the others' floors, so
all counts together are at most `limit`. No clock and no delay is in it. Where it does not hold, the controller has to
ask, and to wait until all have heard its count: then `floor` is `count`, and the condition is what it should be. What
makes that exact is the order of one topic, the same for all: of those who asked, the last has heard everybody.
"""

from collections.abc import Iterable, Mapping

MOST = 100_000
"""Counts of others that are kept; namespaces beyond are counted here alone."""
_UNTOLD = -1
_REMEMBERED = 16
"""Messages that not all have heard."""


class Told:
    """What was said of one namespace: `count` at last, and in `says` numbers of messages with their counts, the oldest
    being the last that all others have heard for sure."""

    __slots__ = ("count", "says")

    def __init__(self) -> None:
        self.count = 0
        self.says = [(0, 0)]

    def say(self, number: int, count: int) -> None:
        self.count = count
        self.says.append((number, count))
        if len(self.says) > _REMEMBERED:
            self.says[1:3] = [(self.says[2][0], min(self.says[1][1], self.says[2][1]))]

    def floor(self, seen: int) -> int:
        """The least of what was said since the last that all have heard, and that."""
        says = self.says
        while len(says) > 1 and says[1][0] <= seen:
            del says[0]
        return min(count for _, count in says)

    def forget(self) -> None:
        self.count = _UNTOLD
        self.says = [(0, 0)]


class Counts:
    """`own` grows and shrinks elsewhere. `touched` are namespaces of which there may be something to tell."""

    def __init__(self, own: Mapping[str, int]) -> None:
        self.own = own
        self.others: dict[str, int] = {}
        """The sum of what the others told."""
        self.touched: set[str] = set()
        self._told: dict[str, Told] = {}
        self._by: dict[str, dict[str, int]] = {}
        self._kept = 0
        """Counts in it."""

    def safe(self, uuid: str, count: int, limit: int, size: int, seen: int) -> bool:
        """Whether all controllers together stay within the limit with `count` of ours, whatever the others do by the
        same rule. `seen` is the number of our last message that all others have heard."""
        missing = size * count + self.others.get(uuid, 0) - limit
        return missing <= 0 or missing <= (size - 1) * min(count, self.floor(uuid, seen))

    def floor(self, uuid: str, seen: int) -> int:
        """The least that others may take our count for."""
        told = self._told.get(uuid)
        return told.floor(seen) if told else 0

    def changes(self) -> list[str]:
        """Namespaces whose count is another one than was told."""
        self.touched = {uuid for uuid in self.touched if self.own.get(uuid, 0) != self._said(uuid)}
        return list(self.touched)

    def tell(self, uuids: Iterable[str], number: int) -> dict[str, int]:
        """What message `number` says of them."""
        said = {uuid: self.own.get(uuid, 0) for uuid in uuids}
        for uuid, count in said.items():
            self.touched.discard(uuid)
            self._told.setdefault(uuid, Told()).say(number, count)
        return said

    def tell_again(self) -> None:
        """Somebody has not heard it, or not all: to be told from nothing."""
        for told in self._told.values():
            told.forget()
        self.touch_all()

    def touch_all(self) -> None:
        self.touched.update(self.own, self._told)

    def settle(self, seen: int) -> None:
        """What all have heard to be nothing need not be remembered."""
        for uuid in [uuid for uuid, told in self._told.items() if told.count == 0 and told.says[-1][0] <= seen]:
            del self._told[uuid]

    def hear(self, controller: str, counts: Mapping[str, int]) -> None:
        mine = self._by.setdefault(controller, {}) if counts else {}
        for uuid, count in counts.items():
            before = mine.pop(uuid, 0)
            self._kept -= bool(before)
            told = count if self._kept < MOST else 0
            self._add(uuid, told - before)
            if told:
                mine[uuid] = told
                self._kept += 1

    def forget(self, controller: str) -> None:
        """It has none any more."""
        mine = self._by.pop(controller, {})
        self._kept -= len(mine)
        for uuid, count in mine.items():
            self._add(uuid, -count)

    def start(self) -> None:
        """From nothing, as `own` does."""
        self.others.clear()
        self.touched.clear()
        self._told.clear()
        self._by.clear()
        self._kept = 0

    def _said(self, uuid: str) -> int:
        told = self._told.get(uuid)
        return told.count if told else 0

    def _add(self, uuid: str, count: int) -> None:
        total = self.others.get(uuid, 0) + count
        if total:
            self.others[uuid] = total
        else:
            self.others.pop(uuid, None)
