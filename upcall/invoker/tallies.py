"""What is counted for each action and invoking namespace, which are the tags of OpenWhisk's metrics (metrics.md §3).

The way of a warm activation is one look-up by the pool's key, which it has at hand, and numbers that grow. Keys change
with each version of an action, so they lead to tallies by name. Names are bounded: when there are too many, what was
not used since the last time goes into one tally for all others, which has no name.
"""

from typing import get_args

from upcall.core.events import ActionKey, Start
from upcall.measures import Histogram
from upcall.model.messages import ActivationMessage

NAMES, KEYS = 1000, 4096
"""Tallies by name, some 600 bytes each; keys that are remembered for them."""
Name = tuple[str, str, str]
"""Invoking namespace, the action's namespace with its package, its name."""
OTHERS: Name = ("", "", "")


class Tally:
    """Each number only ever grows."""

    __slots__ = ("name", "outcomes", "seen", "starts", "times")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.starts: dict[Start, int] = dict.fromkeys(get_args(Start), 0)
        """by how the container was found"""
        self.outcomes = [0, 0, 0, 0]
        """of what ran or tried to, by status"""
        self.times = Histogram()
        """of each /run that was answered"""
        self.seen = 0

    @property
    def ended(self) -> int:
        return sum(self.outcomes)

    @property
    def started(self) -> int:
        return sum(self.starts.values())

    def take(self, other: "Tally") -> None:
        """Add another one's numbers."""
        for start, count in other.starts.items():
            self.starts[start] += count
        self.outcomes = [mine + its for mine, its in zip(self.outcomes, other.outcomes, strict=True)]
        self.times += other.times


class Tallies:
    """Of one Invoker."""

    def __init__(self, names: int = NAMES, keys: int = KEYS) -> None:
        self._names, self._keys = names, keys
        self._others = Tally(OTHERS)
        self._refused = 0
        self._by_name: dict[Name, Tally] = {}
        self.by_key: dict[ActionKey, Tally] = {}
        """For the warm path; `of` fills it."""

    def of(self, key: ActionKey, message: ActivationMessage) -> Tally:
        """The tally of a message; `key` is the pool's."""
        action = message.action
        name = (message.user.namespace.name, action.path, action.name)
        tally = self._by_name.get(name) or self._new(name)
        if len(self.by_key) >= self._keys:
            self.by_key.clear()
        self.by_key[key] = tally
        return tally

    def all(self) -> list[Tally]:
        others = [self._others] if self._others.started else []
        return [*self._by_name.values(), *others]

    def _new(self, name: Name) -> Tally:
        if len(self._by_name) >= self._names:
            self._refused += 1
            if self._refused % self._names == 1:  # it looks at all of them
                self._fold()
        if len(self._by_name) >= self._names:
            return self._others
        tally = self._by_name[name] = Tally(name)
        return tally

    def _fold(self) -> None:
        self.by_key.clear()
        for name, tally in list(self._by_name.items()):
            if tally.started == tally.seen:
                self._others.take(tally)
                del self._by_name[name]
            else:
                tally.seen = tally.started
